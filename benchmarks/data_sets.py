"""The data sets of the comparisons, each cut once into images to learn from and images to judge with.

The cut is that of `segue.split`: whole groups, near-duplicates never on both sides, every kind of image represented. It
is made of links in a scratch folder outside the project; every tool gets the same two folders, and what a tool holds
out for itself it takes from its own side.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.peers import ROOT

from segue.arrays import IGNORE, Image, Labels
from segue.errors import DatasetError
from segue.fingerprint import examine
from segue.io.datasets import Pairs, find_pairs, read_pair, resolve_spec
from segue.io.files import write_whole
from segue.io.images import write_png
from segue.pipeline.scoring import ScoreKind
from segue.split import Split, members_of, split_pairs

DATA_ROOT = ROOT.parent / "shared" / "data"
"""Where the data sets are looked for unless the caller says otherwise."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set as the comparisons use it."""

    name: str
    folder: str
    """Its folder among the data."""
    kind: ScoreKind
    """How it is scored."""
    score: str
    """The score that is drawn."""
    fraction: float
    """About this share of the images judges."""
    tools: tuple[str, ...]
    """Who takes part."""
    configuration: str = "2d"
    """Which of nnU-Net's configurations fits."""
    only: tuple[str, str] | None = None
    """Column and value of index.csv: only these images."""
    usual: bool = True
    """Whether it is tried without being named."""


DATA_SETS = {
    one.name: one
    for one in (
        DataSet(
            name="isbi2012", folder="isbi2012", kind="membranes", score="v_rand", fraction=0.15,
            tools=("segue", "nnunet"),
        ),
        # Every third section: the eight of the figures that are quoted, where the four of "isbi2012" say little.
        DataSet(
            name="isbi2012_thirds", folder="isbi2012", kind="membranes", score="v_rand", fraction=1 / 3,
            tools=("segue", "nnunet"), usual=False,
        ),
        DataSet(
            name="msd_hippocampus", folder="msd_hippocampus", kind="classes", score="dice", fraction=0.2,
            tools=("segue", "nnunet"), configuration="3d_fullres",
        ),
        DataSet(name="drive", folder="drive", kind="classes", score="dice", fraction=0.2, tools=("segue", "nnunet")),
        DataSet(
            name="axondeepseg_sem", folder="axondeepseg_sem", kind="classes", score="dice", fraction=0.3,
            tools=("segue", "nnunet"),
        ),
        DataSet(
            name="dsb2018_fluorescence", folder="dsb2018", kind="objects", score="average_precision", fraction=0.15,
            tools=("segue", "stardist", "cellpose"), only=("kind_heuristic", "gray_dark"),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """A data set that was cut."""

    train: Path
    """A data set of its own, as is `test`."""
    test: Path
    held_out: tuple[str, ...]
    """Names of the images in `test`."""


def cut(data: DataSet, *, root: Path, scratch: Path) -> Sides:
    """Make the two sides in `scratch`, or find them there."""
    folder = scratch / data.name
    sides = folder / "sides.json"
    if not sides.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pairs = _chosen(data, find_pairs(root / data.folder))
        examination = examine(pairs)
        split = split_pairs(members_of(examination), validation_fraction=data.fraction)
        if not isinstance(split, Split):
            raise DatasetError(f"{data.name}: it has too few groups for a cut through whole images")
        numbers = [one.index for one in examination.images]
        link_pairs(pairs.subset(numbers[place] for place in split.train), folder / "train")
        judges = pairs.subset(numbers[place] for place in split.validation)
        link_pairs(judges, folder / "test")
        write_whole(sides, json.dumps([pair.name for pair in judges]).encode())
    return Sides(folder / "train", folder / "test", tuple(json.loads(sides.read_text())))


def _chosen(data: DataSet, pairs: Pairs) -> Pairs:
    if data.only is None:
        return pairs
    column, value = data.only
    with (pairs.root / "index.csv").open() as stream:
        wanted = {row["stem"] for row in csv.DictReader(stream) if row[column] == value}
    return pairs.subset(number for number, pair in enumerate(pairs) if pair.name in wanted)


def link_pairs(pairs: Pairs, folder: Path) -> None:
    """Links to the images, masks and regions of `pairs`, with their description: a data set of its own."""
    for pair in pairs:
        assert pair.mask is not None
        links = [("images", file) for file in pair.images] + [("masks", pair.mask)]
        if pair.region is not None:
            links.append((pair.region.parent.name, pair.region))
        for part, file in links:
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / file.name).symlink_to(file.resolve())
    description = pairs.root / "dataset.toml"
    if description.exists():
        shutil.copy(description, folder)


def read_all(folder: Path) -> list[tuple[str, Image, Labels]]:
    """Every pair of a data set: name, image, labels."""
    pairs = find_pairs(folder)
    spec = resolve_spec(pairs).spec
    return [(pair.name, *read_pair(pair, spec)) for pair in pairs]


def write_arrays(side: Path, target: Path) -> None:
    """Gray images and object ids as NAME.npz with "image" (Y, X) float32 and "labels" (Y, X) int32."""
    target.mkdir(parents=True, exist_ok=True)
    for name, image, labels in read_all(side):
        np.savez(target / f"{name}.npz", image=image.pixels[0], labels=np.maximum(labels.ids, 0))


def write_nnunet_raw(sides: Sides, raw: Path) -> None:
    """nnU-Net's raw layout of the training side.

    Unknown pixels (outside of the field of view) become background: there is nothing in them.
    """
    pairs = find_pairs(sides.train)
    spec = resolve_spec(pairs).spec
    channels = 0
    for part in ("imagesTr", "labelsTr"):
        shutil.rmtree(raw / part, ignore_errors=True)
        (raw / part).mkdir(parents=True)
    ending = ".nii.gz" if pairs[0].images[0].name.endswith(".nii.gz") else pairs[0].images[0].suffix
    for number, pair in enumerate(pairs):
        assert pair.mask is not None
        image, labels = read_pair(pair, spec)
        channels = image.channels
        (raw / "imagesTr" / f"case_{number:04d}_0000{ending}").symlink_to(pair.images[0].resolve())
        target = raw / "labelsTr" / f"case_{number:04d}{ending}"
        if ending == ".png":
            write_png(target, np.where(labels.ids == IGNORE, 0, labels.ids).astype(np.uint8))
        else:
            target.symlink_to(pair.mask.resolve())
    description = {
        "channel_names": {str(channel): f"channel {channel}" for channel in range(channels)},
        "labels": {"background": 0} | {name: number for number, name in enumerate(spec.classes) if number > 0},
        "numTraining": len(pairs),
        "file_ending": ending,
    }
    write_whole(raw / "dataset.json", json.dumps(description).encode())
