"""The demo: cells and membranes with exactly known truth, from images to a picture one wants to look at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.arrays import Image, Labels
from segue.io.files import make_folder, write_whole
from segue.io.images import read_image, write_image, write_labels
from segue.io.labels import read_mask
from segue.pipeline.fitting import FitConfig, FitObserver, fit
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.pipeline.scoring import evaluate_files
from segue.report.picture import Case, picture, save_picture
from segue.simulate import simulate_cells, simulate_membranes

TRAINING_IMAGES = 10
UNSEEN_IMAGES = 3
SIDE = 256
LARGE_SIDE = 1024


@dataclass(frozen=True)
class Subject:
    """One of the two jobs of the demo."""

    name: str
    simulate: Callable[..., tuple[Image, Labels]]
    kind: str
    """What is predicted and scored: "objects", or "classes" of membranes."""
    description: str
    """Its dataset.toml."""


SUBJECTS = (
    Subject("cells", simulate_cells, "objects", 'labels = "objects"\nclasses = ["background", "cell"]\n'),
    Subject("membranes", simulate_membranes, "classes", 'labels = "classes"\nclasses = ["membrane", "cell"]\n'),
)


@dataclass(frozen=True)
class DemoResult:
    """Where to look, and what to say."""

    picture: Path
    lines: list[str]


def demonstrate(
    out: Path, *, seconds: float, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> DemoResult:
    """Simulate, train both subjects for `seconds` together, predict and score unseen images, draw.

    Raises CannotCreateError or StorageError if `out` cannot be written to.
    """
    make_folder(out)
    lines: list[str] = []
    pictures: list[Path] = []
    for number, subject in enumerate(SUBJECTS):
        folder = out / subject.name
        _simulate(subject, folder, seed=seed * 1000 + number * 100)
        say(f"{subject.name}: {TRAINING_IMAGES} images in {folder / 'train'}")
        model = fit(
            folder / "train",
            config=FitConfig(budget=seconds / len(SUBJECTS), seed=seed, out=folder / f"{subject.name}.segue"),
            observer=FitObserver(on_plan=lambda plan, train, held: say(f"  {plan.reasons['network']}")),
        )
        say(f"  trained {model.header.training['steps']} steps")
        predict_files(
            model,
            [folder / "unseen" / "images"],
            folder / "predicted",
            output=OutputConfig(kind=subject.kind),  # type: ignore[arg-type]
        )
        summary = evaluate_files(folder / "unseen", folder / "predicted")
        lines.append(f"{subject.name}: {_headline(summary)} on {summary['images']} unseen images")
        pictures.append(_draw(subject, folder, summary))
    return DemoResult(pictures[0], [*lines, *[f"picture: {one}" for one in pictures[1:]]])


def _simulate(subject: Subject, folder: Path, *, seed: int) -> None:
    for number in range(TRAINING_IMAGES + UNSEEN_IMAGES + 1):
        large = number == TRAINING_IMAGES + UNSEEN_IMAGES
        part = folder / ("train" if number < TRAINING_IMAGES else "unseen")
        side = LARGE_SIDE if large else SIDE
        image, labels = subject.simulate((side, side), seed=seed + number)
        name = "large" if large else f"{subject.name}-{number:02d}"
        write_image(part / "images" / f"{name}.tif", image)
        write_labels(part / "masks" / f"{name}.tif", np.maximum(labels.ids, 0), space=labels.space, kind=labels.kind)
    for name in ("train", "unseen"):
        write_whole(folder / name / "dataset.toml", subject.description.encode())


def _headline(summary: dict[str, Any]) -> str:
    name = "average_precision" if summary["kind"] == "objects" else "dice"
    words = "average precision at IoU 0.5" if name == "average_precision" else "Dice"
    return f"{words} {summary['metrics'][name]['mean']:.3f}"


def _draw(subject: Subject, folder: Path, summary: dict[str, Any]) -> Path:
    scores = {row["name"]: row["metrics"] for row in summary["per_image"]}
    name = "average_precision" if summary["kind"] == "objects" else "dice"
    cases = []
    for path in sorted((folder / "unseen" / "images").iterdir()):
        cases.append(
            Case(
                image=read_image(path),
                truth=read_mask(folder / "unseen" / "masks" / path.name).values.astype(np.int32),
                predicted=read_mask(folder / "predicted" / path.name).values.astype(np.int32),
                caption=path.stem,
                score=f"{name.replace('_', ' ')} {scores[path.stem][name]:.3f}",
            )
        )
    target = folder / "picture.png"
    classes = ("background", "cell") if summary["kind"] == "objects" else ("membrane", "cell")
    save_picture(target, picture(cases, kind=summary["kind"], classes=classes, title=f"Segue demo: {subject.name}"))
    return target
