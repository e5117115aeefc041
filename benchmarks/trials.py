"""One trial: a tool trains on a data set for some minutes, answers for the held-out images, and is scored.

Every tool gets the same images to learn from (`data_sets.cut`) and is scored by `segue.pipeline.scoring` on the same
held-out images, which none of them has seen, also not for choosing weights or thresholds. Segue's minutes are from the
start of `segue train` to the written model, everything included. The others' are their training steps, without
planning, preprocessing and tuning of thresholds; but StarDist's clock also runs while its training starts and in its
validation after every epoch, and below 100 steps its thresholds are not tuned. Cellpose's number of steps is fixed
before it begins, by steps that were measured, so that it may take longer than the minutes (769 s for 10 minutes) or
less. `seconds` of a row are what a training really took.

`seconds_an_image` is from the array to the answer in memory, after a first image that is not counted. nnU-Net's has
the files and the first image in it: `seconds_an_image_with_files` is the same of Segue.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.data_sets import DataSet, Sides, read_all, write_arrays, write_nnunet_raw
from benchmarks.machine import commit, cores_of, describe_machine
from benchmarks.peers import PeerFailedError, run_peer, versions

from segue.arrays import Probabilities, Space
from segue.io.files import write_whole
from segue.io.images import write_labels, write_probabilities
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.pipeline.scoring import evaluate_files
from segue.trained import Model

SCRATCH = Path(tempfile.gettempdir()) / "segue-benchmarks"
"""Links to the data and what the tools leave; may be deleted at any time."""
Key = tuple[str, str, float, int, str, str]
"""What makes two trials the same: data set, tool, minutes, seed, options, and cores and processor of the machine."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be tried."""

    data: DataSet
    tool: str
    minutes: float
    seed: int = 0
    options: str = ""
    """Further options of `segue train`."""
    machine: str = field(default_factory=lambda: cores_of(describe_machine()))
    """Where it is tried: the same on another machine, or with other cores of this one, is another trial."""

    @property
    def key(self) -> Key:
        """What makes it the same trial."""
        return (self.data.name, self.tool, self.minutes, self.seed, self.options, self.machine)


@dataclass(frozen=True)
class Place:
    """Where a trial works."""

    sides: Sides
    scratch: Path
    """Of this data set."""
    folder: Path
    """Of this trial alone."""

    @property
    def predicted(self) -> Path:
        """Where the answers are."""
        return self.folder / "predicted"


class TrialFailedError(Exception):
    """A tool could not be trained or gave no answers."""


def run_trial(trial: Trial, *, sides: Sides, scratch: Path) -> dict[str, Any]:
    """Train, predict, score; the row for the results. Raises TrialFailedError."""
    place = Place(sides, scratch / trial.data.name, scratch / trial.data.name / f"{trial.tool}-{trial.minutes:g}")
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir(parents=True)
    try:
        told = TOOLS[trial.tool](trial, place)
    except PeerFailedError as error:
        raise TrialFailedError(str(error)) from error
    summary = evaluate_files(sides.test, place.predicted, kind=trial.data.kind)
    if summary["missing"]:
        raise TrialFailedError(f"{trial.tool} gave no answer for {', '.join(summary['missing'])}")
    shutil.rmtree(place.predicted)
    return {
        "data": trial.data.name,
        "tool": trial.tool,
        "minutes": trial.minutes,
        "seed": trial.seed,
        "options": trial.options,
        "machine": describe_machine(),
        "versions": {} if trial.tool == "segue" else versions(trial.tool),
        "training_images": len(read_names(sides.train)),
        **told,
        "images": summary["images"],
        "metrics": summary["metrics"],
        "per_image": {row["name"]: row["metrics"][trial.data.score] for row in summary["per_image"]},
    }


def read_names(side: Path) -> list[str]:
    """Names of the files of a side."""
    return sorted(path.name for path in (side / "images").iterdir())


def with_segue(trial: Trial, place: Place) -> dict[str, Any]:
    """`segue train` as users call it. An interrupted one is not resumed: its time would be unclear."""
    model_file = place.folder / "model.segue"
    command = [sys.executable, "-c", "from segue.cli import main; main()", "train", str(place.sides.train), "--out"]
    command += [str(model_file), "--budget", f"{round(60 * trial.minutes)}s", "--seed", str(trial.seed)]
    made_by = commit()
    started = time.monotonic()
    with (place.folder / "log.txt").open("w") as log:
        done = subprocess.run([*command, *shlex.split(trial.options)], stderr=log, stdout=log, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise TrialFailedError(f"segue train failed with exit code {done.returncode}; see {place.folder / 'log.txt'}")
    model = Model.load(model_file)
    output = OutputConfig(kind="probabilities" if trial.data.kind == "membranes" else trial.data.kind)
    moment = time.monotonic()
    for outcome in predict_files(model, [place.sides.test / "images"], place.predicted, output=output):
        if outcome.error:
            raise outcome.error
    with_files = (time.monotonic() - moment) / len(place.sides.held_out)
    spent = _seconds_an_image(model, place.sides.test, objects=trial.data.kind == "objects")
    training = model.header.training
    return {
        "steps": training["steps"],
        "seconds": seconds,
        "width": model.header.network.width,
        "optimizer": training["plan"]["train"]["optimizer"],
        "commit": made_by,
        "seconds_an_image": spent,
        "seconds_an_image_with_files": with_files,
    }


def _seconds_an_image(model: Model, side: Path, *, objects: bool) -> float:
    """From the array to the answer in memory, as the others count it; the first image is not counted."""
    images = [image for _, image, _ in read_all(side)]
    answer: Callable[[Any], object] = model.objects if objects else model.labels
    answer(images[0])
    started = time.monotonic()
    for image in images:
        answer(image)
    return (time.monotonic() - started) / len(images)


def with_nnunet(trial: Trial, place: Place) -> dict[str, Any]:
    """nnU-Net by its own plan; planning and preprocessing are kept for further trials of the data set."""
    base = place.scratch / "nnunet"
    raw = base / "raw" / f"Dataset001_{trial.data.name}"
    if not (raw / "dataset.json").exists():
        write_nnunet_raw(place.sides, raw)
    description = json.loads((raw / "dataset.json").read_text())
    probabilities = trial.data.kind == "membranes"
    task = {
        "folder": str(base),
        "dataset": raw.name,
        "configuration": trial.data.configuration,
        "seconds": 60 * trial.minutes,
        "seed": trial.seed,
        "test": {name: str(file) for name, file in _test_files(place.sides).items()},
        "out": str(place.predicted),
        "probabilities": probabilities,
    }
    told: dict[str, Any] = run_peer(
        "nnunet", "nnunet_training.py", task, log=place.folder / "log.txt", environment=_threads()
    )
    for file in list(place.predicted.iterdir()):
        if not file.name.endswith((description["file_ending"], ".npy")):
            file.unlink()
    if probabilities:
        classes = ("background", *(name for name in description["labels"] if name != "background"))
        for file in list(place.predicted.glob("*.npy")):
            values = np.load(file).astype(np.float32)
            file.with_suffix(description["file_ending"]).unlink(missing_ok=True)
            answer = Probabilities(values=values, classes=classes, space=Space())
            write_probabilities(file.with_suffix(".tif"), answer)
            file.unlink()
    shutil.rmtree(base / "results", ignore_errors=True)
    return told


def _test_files(sides: Sides) -> dict[str, Path]:
    files = {path.name.split(".")[0]: path.resolve() for path in (sides.test / "images").iterdir()}
    return {name: files[name] for name in sides.held_out}


def with_arrays(trial: Trial, place: Place) -> dict[str, Any]:
    """StarDist or Cellpose: gray images and object ids as arrays."""
    arrays = place.scratch / "arrays"
    if not (arrays / "done").exists():
        for side, name in ((place.sides.train, "train"), (place.sides.test, "test")):
            write_arrays(side, arrays / name)
        (arrays / "done").touch()
    task = {
        "train": str(arrays / "train"),
        "test": str(arrays / "test"),
        "out": str(place.predicted),
        "seconds": 60 * trial.minutes,
        "seed": trial.seed,
    }
    script = f"{trial.tool}_training.py"
    told: dict[str, Any] = run_peer(trial.tool, script, task, log=place.folder / "log.txt", environment=_threads())
    for file in list(place.predicted.glob("*.npy")):
        write_labels(file.with_suffix(".tif"), np.load(file), space=Space(), kind="objects")
        file.unlink()
    return told


def _threads() -> dict[str, str]:
    """Environment of the peers: the number of threads as the caller has it, and no chatter."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"} | (
        {"TF_NUM_INTRAOP_THREADS": os.environ["OMP_NUM_THREADS"]} if "OMP_NUM_THREADS" in os.environ else {}
    )


TOOLS: dict[str, Callable[[Trial, Place], dict[str, Any]]] = {
    "segue": with_segue,
    "nnunet": with_nnunet,
    "stardist": with_arrays,
    "cellpose": with_arrays,
}


class Results:
    """The rows of all trials in one JSON file. It is written whole after each trial, so that none is lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.held_out: dict[str, list[str]] = kept.get("held_out", {})
        self.rows: list[dict[str, Any]] = kept.get("trials", [])

    def find(self, trial: Trial) -> dict[str, Any] | None:
        """The row of a trial, if it was made on its machine."""
        return next((row for row in self.rows if _key(row) == trial.key), None)

    def elsewhere(self, trial: Trial) -> list[str]:
        """The other machines, or numbers of cores, that the same was tried on."""
        found = [_key(row) for row in self.rows]
        return [machine for *what, machine in found if what == [*trial.key[:-1]] and machine != trial.machine]

    def check(self, data: DataSet, sides: Sides) -> None:
        """End the program if the trials that are kept held out other images: they could not be compared."""
        if self.held_out.get(data.name, list(sides.held_out)) != list(sides.held_out):
            raise SystemExit(
                f"{self.path}: the trials of {data.name} kept there held out other images; remove them first "
                f"(make bench-accuracy-in-time ARGS='--forget {data.name} --list')"
            )

    def add(self, trial: Trial, row: dict[str, Any], sides: Sides) -> None:
        """Keep a row, instead of an older one of the same trial."""
        self.held_out[trial.data.name] = list(sides.held_out)
        self.rows = sorted([*(one for one in self.rows if _key(one) != trial.key), row], key=_key)
        self.write()

    def forget(self, data: str) -> None:
        """Remove all trials of a data set."""
        self.held_out.pop(data, None)
        self.rows = [row for row in self.rows if row["data"] != data]
        self.write()

    def write(self) -> None:
        """Write the file."""
        content = {"benchmark": "accuracy_in_time", "held_out": self.held_out, "trials": self.rows}
        write_whole(self.path, (json.dumps(content, indent=1) + "\n").encode())


def _key(row: dict[str, Any]) -> Key:
    return (row["data"], row["tool"], row["minutes"], row["seed"], row["options"], cores_of(row["machine"]))
