"""Which targets tell objects apart best? One network for each candidate, all else equal.

    python -m benchmarks.object_targets [--data NAME] [--target NAME ...] [--steps N] [--seed S ...] [--out FILE]

The fluorescence images of dsb2018, cut as for `benchmarks.objects`, or the simulated cells of `benchmarks.touching`, of
which some branch and most touch. Patches, augmentation, optimiser, border weights, loss and number of steps are those
of Segue's plan for all candidates (`target_candidates.py`), and so is the network but for its last channels; the time
is reported, and differs by what making the targets takes. Each decoding is tuned on images held out from the learning
side: twelve settings, and for all the same ways to remove what is too small or too doubtful. Judged are the images
that no training has seen. With --out each training is kept as it is judged, and none that is kept is made again.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from benchmarks.data_sets import DATA_ROOT, DATA_SETS, cut
from benchmarks.machine import describe_machine
from benchmarks.target_candidates import CANDIDATES, Candidate, Setting, heat
from benchmarks.touching import LEARN, TEST_SIDE, TUNE, write_data_set
from benchmarks.trials import SCRATCH
from numpy.typing import NDArray

from segue.arrays import Labels
from segue.evaluate.objects import score_objects
from segue.io.datasets import find_pairs, read_pair
from segue.io.files import write_whole
from segue.memory import keep_freed_memory
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, initialize, network_from
from segue.objects.decode import fill_holes
from segue.objects.numbers import renumber
from segue.objects.overlaps import THRESHOLDS, count_overlaps
from segue.objects.tune import CONFIDENCES, SIZE_QUANTILES
from segue.pipeline.judges import sides
from segue.pipeline.preparing import examined, prepare
from segue.plan import Plan, make_plan
from segue.predict.infer import PredictConfig, autocast_dtype
from segue.predict.infer import predict as predict_with
from segue.predict.infer import prepare as prepare_to_predict
from segue.train.batches import Batch, PatchBatches
from segue.train.examples import Example, Judged
from segue.train.fusing import compiled_kernels
from segue.train.loop import train
from segue.train.schedule import StepPace
from segue.train.together import give_training_layers
from segue.train.world import World

DATA = ("dsb2018_fluorescence", "touching")
Rows = list[dict[str, Any]]


class TaughtBatches:
    """The batches of a plan with object ids instead of classes, and of them what a candidate teaches."""

    def __init__(self, batches: PatchBatches, candidate: Candidate) -> None:
        self._batches = batches
        self._candidate = candidate

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        batch = self._batches.batch(step)
        assert batch.maps is not None
        taught = [
            self._candidate.teach(ids.numpy().astype(np.int32), maps.numpy())
            for ids, maps in zip(batch.target, batch.maps, strict=True)
        ]
        maps = torch.from_numpy(np.stack([np.stack(maps) for _, maps in taught])) if self._candidate.maps else None
        return replace(batch, target=torch.from_numpy(np.stack([classes for classes, _ in taught])), maps=maps)


def with_ids(example: Example, labels: Labels, *, heated: bool) -> Example:
    """An example whose labels are object ids, with the heat of each object beside the distance if that is wanted."""
    spread = (heat(labels.ids),) if heated else ()
    sources = replace(example.sources, labels=np.maximum(labels.ids, 0), linear=(*example.sources.linear, *spread))
    return replace(example, sources=sources)


def learning_side(root: Path, *, width: int, heated: bool) -> tuple[Plan, list[Example], list[Judged]]:
    """The plan for a data set, what is learnt from it, with ids, and what its decoding is tuned on."""
    pairs = find_pairs(root)
    examination, fingerprint, spec = examined(pairs, lambda _: None)
    plan = make_plan(fingerprint)
    plan = replace(plan, network=replace(plan.network, width=width))
    learn, judge = sides(examination, plan, hold_out=True)
    examples, tuned_on = prepare(pairs, learn, judge, plan, spec, lambda done, total: None)
    numbers = sorted(number for number, _ in learn)
    learnt = [
        with_ids(one, read_pair(pairs[number], spec)[1], heated=heated)
        for one, number in zip(examples, numbers, strict=True)
    ]
    return plan, learnt, tuned_on


def trained(candidate: Candidate, plan: Plan, examples: Sequence[Example], *, steps: int) -> tuple[UNet, float]:
    """The averaged network after so many steps, and the seconds that they took."""
    config = replace(plan.network, outputs=candidate.classes + candidate.maps)
    network = UNet(config)
    initialize(network, generator=torch.Generator().manual_seed(plan.train.seed))
    give_training_layers(
        network,
        World(),
        batch=plan.batches.batch,
        kernels=compiled_kernels(torch.device("cpu"), autocast_dtype("auto")),
    )
    batches = PatchBatches(
        examples,
        plan.batches,
        augment=plan.augment,
        seed=plan.train.seed,
        margin=tuple(geometry.margin for geometry in axis_geometries(config)),
        dtype=autocast_dtype(plan.precision, torch.device("cpu")),
    )
    state, _ = train(
        network,
        TaughtBatches(batches, candidate),
        pace=StepPace(steps),
        config=plan.train,
        loss=plan.loss,
        validate=lambda _: {},
    )
    return network_from(config, state.average), state.seconds


def answers(network: UNet, plan: Plan, candidate: Candidate, judged: Sequence[Judged]) -> list[NDArray[np.float32]]:
    """What the network says of each image: (classes + maps, Y, X)."""
    config = PredictConfig(context=plan.context)
    quick = prepare_to_predict(network, config)
    return [predict_with(quick, one.pixels, classes=candidate.classes, config=config) for one in judged]


Removal = tuple[int, float]
"""Smallest size in pixels, smallest mean probability of foreground."""


def without(ids: NDArray[Any], foreground: NDArray[np.float32], removal: Removal) -> NDArray[np.int32]:
    """Ids 1..n of what is left when small and doubtful objects are removed, holes filled."""
    ids = renumber(fill_holes(ids)).astype(np.int32)
    sizes = np.bincount(ids.reshape(-1))
    sure = np.bincount(ids.reshape(-1), weights=foreground.reshape(-1)) / np.maximum(sizes, 1)
    kept = (sizes >= removal[0]) & (sure >= removal[1])
    kept[0] = False
    return np.asarray((np.cumsum(kept) * kept)[ids], np.int32)


def pooled_precision(found: Sequence[tuple[NDArray[np.int32], Labels]]) -> float:
    """Mean over IoU 0.5 to 0.95 of tp / (tp + fp + fn) over all objects of all images."""
    matched, every = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for ids, labels in found:
        overlaps = count_overlaps(labels.ids, ids)
        pairs = np.array([len(overlaps.matches(threshold)) for threshold in THRESHOLDS])
        matched += pairs
        every += len(overlaps.truth_ids) + len(overlaps.predicted_ids) - pairs
    return float((matched / every).mean())


def tuned(
    candidate: Candidate, said: Sequence[NDArray[np.float32]], judged: Sequence[Judged]
) -> tuple[Setting, Removal, float]:
    """The setting that matches most objects, then the removal that does, and how well."""
    areas = np.concatenate([np.bincount(one.labels.ids.reshape(-1).clip(0))[1:] for one in judged])
    sizes = sorted({1, *(int(np.quantile(areas[areas > 0], share) / 2) for share in SIZE_QUANTILES)})
    first: Removal = (sizes[len(sizes) // 2], 0.0)
    decodings = [candidate.decode(answer) for answer in said]
    scored = {}
    for setting in candidate.settings:
        decoded = [decoding(setting) for decoding in decodings]
        scored[setting] = _with_removal(decoded, said, judged, first), decoded
    setting = max(scored, key=lambda one: scored[one][0])
    removals = {
        removal: _with_removal(scored[setting][1], said, judged, removal) for removal in product(sizes, CONFIDENCES)
    }
    removal = max(removals, key=lambda one: removals[one])
    return setting, removal, removals[removal]


def _with_removal(
    decoded: Sequence[NDArray[Any]],
    said: Sequence[NDArray[np.float32]],
    judged: Sequence[Judged],
    removal: Removal,
) -> float:
    rows = zip(decoded, said, judged, strict=True)
    return pooled_precision([(without(ids, 1 - answer[0], removal), one.labels) for ids, answer, one in rows])


def judge(
    candidate: Candidate,
    said: Sequence[NDArray[np.float32]],
    judged: Sequence[Judged],
    setting: Setting,
    removal: Removal,
) -> dict[str, float]:
    """Means over the images."""
    started = time.perf_counter()
    decoded = [without(candidate.decode(answer)(setting), 1 - answer[0], removal) for answer in said]
    seconds = (time.perf_counter() - started) / len(said)
    scores = [score_objects(one.labels, ids) for one, ids in zip(judged, decoded, strict=True)]
    return {
        "average_precision": fmean(one.average_precision for one in scores),
        "average_precision_50_95": fmean(one.average_precision_50_95 for one in scores),
        "pooled_precision": pooled_precision([(ids, one.labels) for one, ids in zip(judged, decoded, strict=True)]),
        "count_error": fmean(one.count_error for one in scores),
        "merges": fmean(one.merges for one in scores),
        "splits": fmean(one.splits for one in scores),
        "decoding_seconds": seconds,
    }


def two_sides(wishes: argparse.Namespace) -> tuple[Path, Path]:
    """Folders of the images to learn from and to judge with."""
    if wishes.data in DATA_SETS:
        known = cut(DATA_SETS[wishes.data], root=wishes.data_root, scratch=wishes.scratch)
        return known.train, known.test
    learn, judge = (wishes.scratch / wishes.data / side for side in ("train", "test"))
    write_data_set(learn, LEARN + TUNE, first_seed=0)
    write_data_set(judge, LEARN, first_seed=20_000, side=TEST_SIDE)
    return learn, judge


def measure(wishes: argparse.Namespace, kept: Rows, keep: Callable[[Rows], None]) -> Rows:
    """All trainings that are not among the `kept` ones."""
    keep_freed_memory()
    rows = [row for row in kept if all(row[name] == getattr(wishes, name) for name in ("data", "steps", "width"))]
    others = [row for row in kept if row not in rows]
    missing = [
        pair
        for pair in product(wishes.seeds, wishes.target)
        if pair not in {(row["seed"], row["target"]) for row in rows}
    ]
    if not missing:
        return rows
    learn, test = two_sides(wishes)
    plan, examples, tuned_on = learning_side(learn, width=wishes.width, heated="flows" in wishes.target)
    unseen = all_judged(test, plan)
    for seed, name in missing:
        candidate = CANDIDATES[name]
        seeded = replace(plan, train=replace(plan.train, seed=seed))
        network, seconds = trained(candidate, seeded, examples, steps=wishes.steps)
        setting, removal, own = tuned(candidate, answers(network, plan, candidate, tuned_on), tuned_on)
        row = {"data": wishes.data, "target": name, "seed": seed, "steps": wishes.steps, "width": wishes.width}
        row |= {
            "seconds": round(seconds, 1),
            "setting": setting,
            "removal": removal,
            "tuned_to": own,
            "images": len(unseen),
        }
        row |= judge(candidate, answers(network, plan, candidate, unseen), unseen, setting, removal)
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
        keep(others + rows)
    return rows


def all_judged(root: Path, plan: Plan) -> list[Judged]:
    """All images of a data set to judge with."""
    pairs = find_pairs(root)
    _, _, spec = examined(pairs, lambda _: None)
    return prepare(pairs, [], [(number, None) for number in range(len(pairs))], plan, spec, lambda done, total: None)[1]


SHOWN = ("average_precision", "average_precision_50_95", "pooled_precision", "count_error", "merges", "splits")


def table(rows: Rows) -> str:
    """A row for each training, in Markdown."""
    names = ("Target", "Seed", "AP@0.5", "AP 0.5:0.95", "of all objects", "Count error", "Merges", "Splits")
    lines = [f"| {' | '.join((*names, 'Training', 'Decoding'))} |", "|---" * (len(names) + 2) + "|"]
    for row in sorted(rows, key=lambda one: (one["seed"], list(CANDIDATES).index(one["target"]))):
        scores = " | ".join(f"{row[name]:.3f}" for name in SHOWN)
        lines.append(
            f"| {row['target']} | {row['seed']} | {scores} | {row['seconds']:.0f} s | {row['decoding_seconds']:.2f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="what to learn")
    parser.add_argument("--target", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES), help="candidates")
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    parser.add_argument("--width", type=int, default=16, help="of the network")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], dest="seeds", help="a training of each for each")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help="the folder of the data sets")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="a folder for links to the data")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    wishes = parser.parse_args()
    kept = json.loads(wishes.out.read_text())["trainings"] if wishes.out and wishes.out.exists() else []

    def keep(rows: Rows) -> None:
        if wishes.out:
            told = {"benchmark": "object_targets", "machine": describe_machine(), "trainings": rows}
            write_whole(wishes.out, (json.dumps(told, indent=1) + "\n").encode())

    print(table(measure(wishes, kept, keep)))


if __name__ == "__main__":
    main()
