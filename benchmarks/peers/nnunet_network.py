"""nnU-Net: the network of its own plan for images of 256x256, or that plan with the widths and depth of the others.

The plan is made by nnU-Net's planner from two images of noise, in a temporary folder. The step is that of its trainer
(Dice and cross-entropy, deep supervision, SGD); the prediction that of its predictor (steps of half a patch, Gaussian
weights), without mirroring.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="nnunet-"))
for name in ("raw", "preprocessed", "results"):  # nnU-Net reads these at import
    (FOLDER / name).mkdir()
    os.environ[f"nnUNet_{name}"] = str(FOLDER / name)
os.environ["nnUNet_compile"] = "f"

import shutil  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from plain_network import batch_of  # noqa: E402
from protocol import main  # noqa: E402

PLAN_SIDE = 256


def trainer_of(spec: dict):
    """An initialised trainer; it leaves no file."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess_dataset,
    )
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    raw = FOLDER / "raw" / "Dataset001_noise"
    generator = np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    for number in range(2):
        image = generator.integers(0, 256, (PLAN_SIDE, PLAN_SIDE), dtype=np.uint8)
        Image.fromarray(image).save(raw / "imagesTr" / f"case{number}_0000.png")
        Image.fromarray((image > 127).astype(np.uint8)).save(raw / "labelsTr" / f"case{number}.png")
    description = {
        "channel_names": {"0": "gray"},
        "labels": {"background": 0, "cell": 1},
        "numTraining": 2,
        "file_ending": ".png",
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    extract_fingerprints([1], num_processes=1, show_progress_bar=False)
    plan_experiments([1])
    preprocess_dataset(1, configurations=("2d",), num_processes=(1,), show_progress_bar=False)
    plans = json.loads((FOLDER / "preprocessed" / raw.name / "nnUNetPlans.json").read_text())
    plan = plans["configurations"]["2d"]
    plan["batch_size"] = spec.get("batch", 4)
    if not spec["own"]:
        levels = 5
        widths = [spec["width"] * 2**level for level in range(levels)]
        plan["architecture"]["arch_kwargs"] |= {
            "n_stages": levels,
            "features_per_stage": widths,
            "kernel_sizes": [[3, 3]] * levels,
            "strides": [[1, 1], *([[2, 2]] * (levels - 1))],
            "n_conv_per_stage": [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
        }
    plans["continue_training"] = False
    torch.manual_seed(0)
    trainer = nnUNetTrainer(plans, "2d", "all", description, device=torch.device("cpu"))
    trainer.initialize()
    print(json.dumps(plan["architecture"]["arch_kwargs"], default=str), file=sys.stderr)
    shutil.rmtree(FOLDER)
    return trainer


def step(spec: dict):
    trainer = trainer_of(spec)
    image, target = batch_of(spec)
    scales = trainer._get_deep_supervision_scales()
    targets = []
    for scale in scales:
        factor = round(1 / scale[0])
        targets.append(target[:, None, ::factor, ::factor].float())
    trainer.network.train()
    return lambda: trainer.train_step({"data": image, "target": targets})


def predict(spec: dict):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer = trainer_of(spec)
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        "nnUNetTrainer",
        None,
    )
    image = torch.randn(1, 1, spec["side"], spec["side"])

    def work():
        with torch.inference_mode():
            return predictor.predict_logits_from_preprocessed_data(image).softmax(dim=0)

    return work


if __name__ == "__main__":
    main(step=step, predict=predict)
