"""Simulated touching cells, from sparse to packed and from round to branching: how many are merged, how many split?

    python -m benchmarks.touching [--steps N] [--images N] [--seed S ...] [--out FILE] [--picture FILE]

Cells of three shapes at five densities, whose truth is known to the pixel. A small network is trained on a mix of all
of them and judged on images it has not seen; the decoding is tuned on a third set. Four trainings for each seed, equal
in data, network, seed and number of steps: what Segue's plan teaches (foreground, and the distance to the border of an
object, decoded by its dips) and what the paper taught alone (foreground whose touching cells are parted by a line of
background), each with the border weights (w0) and without. Merges are true objects too many inside of a predicted
one, splits predicted objects too many inside of a true one (`segue.evaluate.object_counts`), both by true object.

Intervals are percentiles over resampled images, 95 %; the same images for with and without. They do not hold what
another training would have given: several seeds show that. With --out every training is kept as soon as it is judged,
and none that is kept is made again; those of other --steps or --images are replaced.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe_machine
from benchmarks.touching_curves import TARGETS, draw_touching
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.config import plan_to_dict
from segue.evaluate.objects import score_objects
from segue.io.datasets import find_pairs
from segue.io.files import write_whole
from segue.io.images import write_image, write_labels
from segue.model.unet import UNetConfig
from segue.pipeline.fitting import fit
from segue.pipeline.preparing import examined
from segue.pipeline.wishes import FitConfig
from segue.plan import Plan, make_plan
from segue.simulate import CellsConfig, simulate_cells
from segue.train.settings import BatchConfig
from segue.trained import Model

SHAPES = {
    "round": CellsConfig(diameter=24, branching=0.0),
    "elongated": CellsConfig(diameter=24, branching=0.0, elongation=3.0),
    "branching": CellsConfig(diameter=24, branching=0.7),
}
DENSITIES = ((0.1, 0.0), (0.25, 0.2), (0.4, 0.4), (0.6, 0.4), (0.85, 0.2))
"""Part of the image that is to be covered, and part of the cells that are set down beside another one."""
SIDE = 192
"""Pixels along each axis of an image to learn from or to tune on."""
TEST_SIDE = 256
"""Of an image to judge on."""
LEARN, TUNE = 4, 1
"""Images for each shape and density."""
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found in one image that the networks have not seen."""

    shape: str
    density: float
    objects: int
    """True ones."""
    touching: int
    """Of these, those that share a border with another one."""
    covered: float
    """Part of the image that cells cover."""
    merges: int
    splits: int
    matched: int
    """True positives at IoU 0.5."""
    candidates: int
    """Those and false positives and false negatives: AP@0.5 is matched / candidates."""


Scene = tuple[str, float, Image, Labels]
"""Name of the shape, density, image, truth."""


def scenes(count: int, *, side: int, first_seed: int) -> list[Scene]:
    """`count` images of every shape and density."""
    found: list[Scene] = []
    for shape, config in SHAPES.items():
        for density, touching in DENSITIES:
            for _ in range(count):
                wanted = replace(config, density=density, touching=touching)
                image, labels = simulate_cells((side, side), seed=first_seed + len(found), config=wanted)
                found.append((shape, density, image, labels))
    return found


def write_data_set(root: Path, count: int, *, first_seed: int, side: int = SIDE) -> None:
    """A data set as a user has it."""
    for number, (_, _, image, labels) in enumerate(scenes(count, side=side, first_seed=first_seed)):
        write_image(root / "images" / f"{number:03d}.tif", image)
        write_labels(root / "masks" / f"{number:03d}.tif", labels.ids, space=labels.space, kind="objects")


def make_arm(root: Path, *, target: str, weighted: bool, seed: int) -> Plan:
    """The plan of one training: all but the targets and the loss is the same for all arms."""
    _, fingerprint, _ = examined(find_pairs(root), lambda _: None)
    ours, papers = (make_plan(fingerprint, preset=preset, seed=seed) for preset in ("auto", "paper"))
    chosen = papers if target == "paper" else ours
    targets = chosen.targets if weighted else replace(chosen.targets, w0=0.0)
    network = UNetConfig(
        outputs=len(fingerprint.classes) + len(targets.auxiliary),
        width=16,
        widest=128,
        factors=((2, 2),) * 3,
        kernels=((3, 3),) * 4,
        padding="same",
        normalization="batch",
        dropout=0.2,
    )
    batches = BatchConfig(patch=(128, 128), batch=4, foreground=0.0)
    train = replace(ours.train, validations=3)
    return replace(ours, network=network, batches=batches, targets=targets, loss=chosen.loss, train=train, mirror=False)


def touching_objects(ids: NDArray[np.int32]) -> int:
    """How many objects share a border, pixel beside pixel, with another one."""
    found: set[int] = set()
    for axis in range(ids.ndim):
        line = np.moveaxis(ids, axis, 0)
        before, after = line[:-1], line[1:]
        border = (before != after) & (before > 0) & (after > 0)
        found.update(before[border].tolist(), after[border].tolist())
    return len(found)


def judge(model: Model, images: Sequence[Scene]) -> list[Judged]:
    """Every image predicted by the model with its own decoding, and scored."""
    rows = []
    for shape, density, image, labels in images:
        scores = score_objects(labels, model.objects(image).astype(np.int32), thresholds=(0.5,))
        half = scores.matchings[0]
        rows.append(
            Judged(
                shape=shape,
                density=density,
                objects=scores.true_objects,
                touching=touching_objects(labels.ids),
                covered=float((labels.ids > 0).mean()),
                merges=scores.merges,
                splits=scores.splits,
                matched=half.tp,
                candidates=half.tp + half.fp + half.fn,
            )
        )
    return rows


def pooled(rows: Sequence[Judged], over: str, by: str, *, minus: Sequence[Judged] = ()) -> dict[str, float]:
    """The rate sum(over) / sum(by), less that of `minus` (the same images) if given, with its 95 % interval."""
    tables = [np.array([[getattr(row, over), getattr(row, by)] for row in part], float) for part in (rows, minus)]
    chosen = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    value, drawn = 0.0, np.zeros(RESAMPLES)
    for sign, table in zip((1, -1), tables, strict=True):
        if len(table):
            value += sign * table[:, 0].sum() / table[:, 1].sum()
            sums = table[chosen].sum(axis=1)
            drawn += sign * sums[:, 0] / sums[:, 1]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"mean": round(float(value), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


RATES = {
    "merge_rate": ("merges", "objects"),
    "split_rate": ("splits", "objects"),
    "average_precision": ("matched", "candidates"),
}


def curve(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """The rates of every shape and density."""
    points = []
    for shape in SHAPES:
        for density, _ in DENSITIES:
            here = [row for row in rows if (row.shape, row.density) == (shape, density)]
            rates = {name: pooled(here, *parts) for name, parts in RATES.items()}
            objects = sum(row.objects for row in here)
            points.append(
                {
                    "shape": shape,
                    "density": density,
                    "objects": objects,
                    "covered": round(float(np.mean([row.covered for row in here])), 3),
                    "touching": round(sum(row.touching for row in here) / objects, 3),
                    **rates,
                }
            )
    return points


Arm = dict[str, Any]
"""One training as it is kept: what it was, and `per_image`, what was found in each image."""


def run_arm(root: Path, images: Sequence[Scene], *, target: str, weighted: bool, steps: int, seed: int) -> Arm:
    """Train and judge once."""
    plan = make_arm(root / "learn", target=target, weighted=weighted, seed=seed)
    started = time.monotonic()
    model = fit(root / "learn", validation=root / "tune", config=FitConfig(steps=steps, plan=plan, seed=seed))
    seconds = time.monotonic() - started
    rows = judge(model, images)
    return {
        "target": target,
        "weighted": weighted,
        "seed": seed,
        "steps": steps,
        "seconds": round(seconds, 1),
        "targets": plan_to_dict(plan)["targets"],
        "loss": plan_to_dict(plan)["loss"],
        "decoding": asdict(model.decoding),
        "all": {name: pooled(rows, *parts) for name, parts in RATES.items()},
        "curve": curve(rows),
        "per_image": [list(asdict(row).values()) for row in rows],
    }


def rows_of(arm: Arm) -> list[Judged]:
    """What was found in each image."""
    names = [field.name for field in fields(Judged)]
    return [Judged(**dict(zip(names, values, strict=True))) for values in arm["per_image"]]


def measure(wishes: argparse.Namespace, kept: Sequence[Arm], keep: Callable[[list[Arm]], None]) -> list[Arm]:
    """All trainings that are not among the `kept` ones; `keep` hears of each."""
    unseen = scenes(wishes.images, side=TEST_SIDE, first_seed=20_000)
    arms = [arm for arm in kept if arm["steps"] == wishes.steps and len(arm["per_image"]) == len(unseen)]
    made = {(arm["seed"], arm["target"], arm["weighted"]) for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_data_set(root / "learn", LEARN, first_seed=0)
        write_data_set(root / "tune", TUNE, first_seed=10_000)
        for seed, target, weighted in product(wishes.seeds, wishes.target, (True, False)):
            if (seed, target, weighted) in made:
                continue
            arm = run_arm(root, unseen, target=target, weighted=weighted, steps=wishes.steps, seed=seed)
            print(f"{arm['seconds']} s: {row_of(arm)}", file=sys.stderr, flush=True)
            arms.append(arm)
            keep(arms)
    return arms


def effects(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """What the border weights change, for each target and seed: rates with them less rates without."""
    pairs = [
        (one, other)
        for one in arms
        for other in arms
        if one["weighted"] > other["weighted"] and all(one[key] == other[key] for key in ("target", "seed"))
    ]
    return [
        {"target": one["target"], "seed": one["seed"]}
        | {name: pooled(rows_of(one), *parts, minus=rows_of(other)) for name, parts in RATES.items()}
        for one, other in pairs
    ]


def row_of(arm: Arm) -> str:
    """One training, all shapes and densities together, as a row of the table."""
    merge, split, precision = (arm["all"][name]["mean"] for name in RATES)
    first = f"| {TARGETS[arm['target']]} | {arm['targets']['w0']:g} | {arm['seed']} "
    return f"{first}| {100 * merge:.1f} | {100 * split:.1f} | {precision:.3f} |"


def table(arms: Sequence[Arm]) -> str:
    """Merges and splits by 100 true cells and AP@0.5 of each training, in Markdown, and what the weights change."""
    lines = ["| Target | w0 | Seed | Merges | Splits | AP@0.5 |", "|---|---|---|---|---|---|", *map(row_of, arms), ""]
    for effect in effects(arms):
        for name in RATES:
            change = effect[name]
            lines.append(
                f"{TARGETS[effect['target']]}, seed {effect['seed']}, with weights less without: {name} "
                f"{change['mean']:+.4f} ({change['low']:+.4f} to {change['high']:+.4f})"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--images", type=int, default=6, help="to judge on, for each shape and density")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], dest="seeds", help="four trainings for each")
    parser.add_argument("--target", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="what is learnt")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    parser.add_argument("--picture", type=Path, help="draw the curves in this file")
    wishes = parser.parse_args()
    kept = json.loads(wishes.out.read_text())["arms"] if wishes.out and wishes.out.exists() else []

    def keep(arms: list[Arm]) -> None:
        if wishes.out:
            told: dict[str, Any] = {"benchmark": "touching", "machine": describe_machine()}
            told |= {"border_weights_with_less_without": effects(arms), "arms": arms}
            write_whole(wishes.out, (json.dumps(told) + "\n").encode())

    arms = measure(wishes, kept, keep)
    print(table(arms))
    if wishes.picture:
        draw_touching(arms, wishes.picture)


if __name__ == "__main__":
    main()
