"""Train nnU-Net for a given time by its own plan and predict: SCRIPT TASK ANSWER.

Planner, preprocessing, network, loss, augmentation, optimiser and the step are nnU-Net's own, on all training images
("fold all"). Its schedule is fitted to the time: the learning rate falls by its polynomial with the share of the time
that is gone instead of the share of 1,000 epochs. Its validation on the way is left out, which gives it more steps.
What comes before the first step (planning, preprocessing) and the prediction do not count as training time.
"""

import json
import os
import time
from pathlib import Path

from protocol import answer, task

TASK = task()
for name in ("raw", "preprocessed", "results"):  # nnU-Net reads these at import
    folder = Path(TASK["folder"]) / name
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[f"nnUNet_{name}"] = str(folder)
os.environ["nnUNet_n_proc_DA"] = "1"
os.environ["nnUNet_def_n_proc"] = "2"
os.environ["nnUNet_compile"] = "f"

import numpy as np  # noqa: E402
import torch  # noqa: E402

LEARNING_RATE, POWER = 1e-2, 0.9
"""nnU-Net's schedule: initial rate and the exponent of its polynomial."""


def prepare() -> None:
    """Plan and preprocess, once for all trainings of a data set."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess_dataset,
    )

    done = Path(TASK["folder"]) / "preprocessed" / "done"
    if done.exists():
        return
    number = int(TASK["dataset"][len("Dataset") :].split("_")[0])
    extract_fingerprints([number], num_processes=2, show_progress_bar=False)
    plan_experiments([number])
    preprocess_dataset(number, configurations=(TASK["configuration"],), num_processes=(2,), show_progress_bar=False)
    done.touch()


def train():
    """The trainer after `seconds` of steps, and what happened."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    base = Path(TASK["folder"])
    plans = json.loads((base / "preprocessed" / TASK["dataset"] / "nnUNetPlans.json").read_text())
    description = json.loads((base / "raw" / TASK["dataset"] / "dataset.json").read_text())
    plans["continue_training"] = False
    plan = dict(plans["configurations"][TASK["configuration"]])
    torch.manual_seed(TASK["seed"])
    np.random.seed(TASK["seed"])
    trainer = nnUNetTrainer(plans, TASK["configuration"], "all", description, device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.network.train()
    steps, losses, started = 0, [], time.monotonic()
    while (progress := (time.monotonic() - started) / TASK["seconds"]) < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - progress) ** POWER
        losses.append(float(trainer.train_step(next(trainer.dataloader_train))["loss"]))
        steps += 1
    seconds = time.monotonic() - started
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if hasattr(loader, "_finish"):
            loader._finish()
    told = {
        "steps": steps,
        "seconds": seconds,
        "last_loss": float(np.mean(losses[-10:])),
        "patch": [int(size) for size in plan["patch_size"]],
        "batch": int(plan["batch_size"]),
    }
    return trainer, told


def predict(trainer) -> float:
    """Write an answer for each test image; the seconds an image, files included."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    out = Path(TASK["out"])
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for name, file in TASK["test"].items():
        predictor.predict_from_files_sequential([[file]], [str(out / name)], save_probabilities=TASK["probabilities"])
    seconds = (time.monotonic() - started) / len(TASK["test"])
    if TASK["probabilities"]:
        for name in TASK["test"]:
            values = np.load(out / f"{name}.npz")["probabilities"]
            np.save(out / f"{name}.npy", values.astype(np.float32)[:, 0] if values.shape[1] == 1 else values)
    return seconds


def main() -> None:
    started = time.monotonic()
    prepare()
    preparing = time.monotonic() - started
    trainer, told = train()
    answer({**told, "seconds_preparing": preparing, "seconds_an_image": predict(trainer)})


if __name__ == "__main__":  # nnU-Net starts processes
    main()
