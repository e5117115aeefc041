"""Five large images of five tissues, and nothing said about them: does `segue train` ask nothing, and learn well?

    python -m benchmarks.unknown_set [--budget TIME] [--seed S] [--out FILE] [--picture FILE]

Images of 1024 x 1024 pixels, each a mosaic of five textures that are told apart by their grain, not by their gray:
coarse grain, fine grain, cells, membranes, and a smooth one. The folder holds images/ and masks/ with the gray values
0, 50, ... 200, no description. `segue train`, `predict` and `evaluate` run as a user runs them, on five further images.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe_machine
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from segue.arrays import Image, Space
from segue.io.files import write_whole
from segue.io.images import read_image, write_image, write_labels
from segue.io.labels import read_mask
from segue.report.picture import Case, picture, save_picture
from segue.simulate import CellsConfig, simulate_cells, simulate_membranes

SIDE, IMAGES, PIECES = 1024, 5, 24
TISSUES = ("coarse grain", "fine grain", "cells", "membranes", "smooth")
VALUE = 50
"""Gray values of the masks are multiples of it."""


def mosaic(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image and its classes 0..4, both (SIDE, SIDE): a Voronoi mosaic with bent borders, a texture a class."""
    places = np.stack(np.meshgrid(*[np.arange(SIDE)] * 2, indexing="ij"), axis=-1).astype(np.float64)
    bend = [ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 20) * 400 for _ in range(2)]
    centres = rng.random((PIECES, 2)) * SIDE
    kinds = rng.permutation(np.arange(PIECES) % len(TISSUES))
    classes = kinds[cKDTree(centres).query(places + np.stack(bend, axis=-1))[1]]
    pixels = np.choose(classes, [_even(texture) for texture in _textures(rng)])
    pixels = pixels + rng.normal(0, 0.3, pixels.shape)
    return (128 + 40 * pixels).clip(0, 255).astype(np.uint8), classes.astype(np.uint8)


def _textures(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    noise = rng.normal(size=(2, SIDE, SIDE))
    seed = int(rng.integers(1 << 31))
    cells, _ = simulate_cells((SIDE, SIDE), seed=seed, config=CellsConfig(density=0.5, touching=0.2, diameter=18))
    membranes, _ = simulate_membranes((SIDE, SIDE), seed=seed)
    return [
        ndimage.gaussian_filter(noise[0], 4),
        ndimage.gaussian_filter(noise[1], 1.5),
        cells.pixels[0].astype(np.float64),
        membranes.pixels[0].astype(np.float64),
        np.zeros((SIDE, SIDE)),
    ]


def _even(texture: NDArray[np.float64]) -> NDArray[np.float64]:
    """With mean 0 and deviation 1 everywhere, so that no class is brighter than another."""
    level = ndimage.gaussian_filter(texture, 24)
    spread = np.sqrt(ndimage.gaussian_filter((texture - level) ** 2, 24))
    even: NDArray[np.float64] = (texture - level) / np.maximum(spread, 1e-6)
    return even


def write_set(folder: Path, *, seed: int) -> None:
    """Five images and their masks, without a description."""
    for number in range(IMAGES):
        pixels, classes = mosaic(np.random.default_rng([seed, number]))
        write_image(folder / "images" / f"s{number}.png", Image(pixels=pixels[None].astype(np.float32)))
        write_labels(folder / "masks" / f"s{number}.png", classes * VALUE, space=Space())


def segue(*words: str | Path) -> None:
    """Run a command as a user does."""
    subprocess.run([sys.executable, "-m", "segue", *map(str, words)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="5m", metavar="TIME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the result, as JSON")
    parser.add_argument("--picture", type=Path, help="the worst and the best answer")
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_set(root / "learn", seed=wishes.seed)
        write_set(root / "new", seed=wishes.seed + 1)
        started = time.monotonic()
        segue("train", root / "learn", "--out", root / "m.segue", "--budget", wishes.budget)
        seconds = time.monotonic() - started
        segue("predict", root / "m.segue", root / "new" / "images", "--out", root / "found")
        segue("evaluate", root / "new", root / "found", "--json", root / "scores.json")
        scores: dict[str, Any] = json.loads((root / "scores.json").read_text())
        if wishes.picture:
            cases = [
                Case(
                    image=read_image(root / "new" / "images" / f"{row['name']}.png"),
                    truth=read_mask(root / "new" / "masks" / f"{row['name']}.png").values // VALUE,
                    predicted=read_mask(root / "found" / f"{row['name']}.tif").values,
                    caption=row["name"],
                    score=f"Dice {row['metrics']['dice']:.3f}",
                )
                for row in scores["per_image"]
            ]
            save_picture(wishes.picture, picture(cases, kind="classes", classes=TISSUES))
    result = {
        "machine": describe_machine(),
        "budget": wishes.budget,
        "seed": wishes.seed,
        "seconds": seconds,
        "metrics": scores["metrics"],
    }
    print(json.dumps({name: entry["mean"] for name, entry in scores["metrics"].items()}, indent=1))
    if wishes.out:
        write_whole(wishes.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
