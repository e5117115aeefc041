"""Segue's own step and its own prediction, called as its trainings and its users call them, but for the optimiser."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from plain_network import DEPTHS, axes_of, batch_of, count_flops
from protocol import Rounds, measure_once

from segue.arrays import Image, Space
from segue.augment.compose import default_augmentation
from segue.io.images import write_image
from segue.loss import LossConfig
from segue.memory import keep_freed_memory
from segue.model.file import ModelHeader
from segue.model.unet import UNet, UNetConfig, isotropic_config
from segue.normalize import Normalization
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.predict.infer import autocast_dtype
from segue.simulate import simulate_membranes
from segue.targets.prepare import TargetConfig
from segue.train.batches import Batch, PatchBatches
from segue.train.examples import make_example
from segue.train.fusing import compiled_kernels, fuse
from segue.train.loop import Observer, train
from segue.train.schedule import StepPace
from segue.train.settings import BatchConfig, TrainConfig
from segue.trained import Model

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does; read at the first tensor


def config_of(spec: dict) -> UNetConfig:
    """The network of `plain_network`, checked by its number of parameters."""
    axes = axes_of(spec)
    config = isotropic_config(
        spatial_axes=axes, depth=DEPTHS[axes], channels=1, outputs=2, width=spec["width"], widest=16 * spec["width"],
        padding="same", normalization="batch", dropout=0.0,
    )  # fmt: skip
    own = sum(p.numel() for p in UNet(config).parameters())
    plain = count_flops(
        {
            "batch": 1,
            "side": 64,
            **spec,
        }
    )["parameters"]
    if own != plain:
        raise SystemExit(f"Segue's network has {own:,} parameters, the plain one {plain:,}: they cannot be compared")
    return config


class SameBatch:
    """The same batch for every step."""

    def __init__(self, spec: dict) -> None:
        image, target = batch_of(spec)
        weights = torch.ones(target.shape)
        self._batch = Batch(image=image, target=target, weights=weights, maps=None, dtype=autocast_dtype("auto"))

    def batch(self, step: int) -> Batch:
        return self._batch


def augmented(spec: dict):
    """Batches as in a training: sampled from simulated images and augmented."""
    patch = (spec["side"],) * 2
    examples = []
    for seed in range(4):
        image, labels = simulate_membranes((512, 512), seed=seed)
        examples.append(make_example(image.pixels, labels, TargetConfig(w0=10.0), seed=seed))
    config = BatchConfig(patch=patch, batch=spec["batch"])
    augment = default_augmentation(patch, rgb=False)
    return PatchBatches(examples, config, augment=augment, seed=0, margin=(0, 0), dtype=autocast_dtype("auto"))


def step(spec: dict) -> None:
    """Segue's training loop, which pauses between the rounds. The optimiser is that of the others unless it is said."""
    keep_freed_memory()
    batches = augmented(spec) if spec.get("augmented") else SameBatch(spec)
    network = UNet(config_of(spec))
    if kernels := compiled_kernels(torch.device("cpu"), autocast_dtype("auto")):
        fuse(network, kernels)
    rounds = Rounds()
    if rounds.begin():
        train(
            network,
            batches,
            pace=StepPace(10**9),
            config=TrainConfig(validations=1, optimizer=spec.get("optimizer", "adamw")),
            loss=LossConfig(),
            validate=lambda _: {},
            observer=Observer(should_stop=lambda: not rounds.tick()),
        )


def make_files(folder: Path, spec: dict) -> None:
    """An untrained model, and the image if it is to be read from a file."""
    header = ModelHeader(
        segue=version("segue"),
        network=config_of(spec),
        kind="classes",
        classes=("background", "cell"),
        normalization=Normalization(kind="standard"),
        precision=spec.get("precision", "auto"),
    )
    torch.manual_seed(0)
    Model(header, UNet(header.network)).save(folder / "model.segue")
    if spec.get("files"):
        pixels = np.random.default_rng(0).integers(0, 256, (1, spec["side"], spec["side"]), dtype=np.uint8)
        write_image(folder / "image.tif", Image(pixels=pixels.astype(np.float32), space=Space()))


def model_in(folder: Path, spec: dict) -> Model:
    """The model, read as users read it.

    Another process makes it: what that takes would stay with this one, and a prediction would fit into its holes.
    """
    subprocess.run([sys.executable, __file__, "make", json.dumps({**spec, "folder": str(folder)})], check=True)
    keep_freed_memory()  # as `segue predict` does
    return Model.load(folder / "model.segue")


def predict_array(folder: Path, spec: dict):
    """Image in memory to probabilities in memory, as the peers do it."""
    model = model_in(folder, spec)
    pixels = np.random.default_rng(0).standard_normal((1, *(spec["side"],) * axes_of(spec)), np.float32)
    image = Image(pixels=pixels, space=Space())
    return lambda: model.answer(image)


def predict_file(folder: Path, spec: dict):
    """From an image file to a file of classes, as `segue predict` does it."""
    model = model_in(folder, spec)
    output = OutputConfig(kind="classes")
    return lambda: predict_files(model, [folder / "image.tif"], folder / "out", output=output)


def main() -> None:
    mode, spec = sys.argv[1], json.loads(sys.argv[2])
    if mode == "step":
        step(spec)
    elif mode == "flops":
        print(json.dumps(count_flops(spec)))
    elif mode == "make":
        make_files(Path(spec["folder"]), spec)
    else:
        with tempfile.TemporaryDirectory() as folder:
            prepare = predict_file if spec.get("files") else predict_array
            measure_once(prepare(Path(folder), spec))


if __name__ == "__main__":
    main()
