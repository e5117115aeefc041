"""The demo: cells and membranes with exactly known truth, from images to a picture one wants to look at."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.arrays import Image, Labels
from segue.io.files import make_folder, write_whole
from segue.io.images import read_image, write_image, write_labels
from segue.io.labels import read_mask
from segue.pipeline.fitting import fit
from segue.pipeline.predicting import OutputConfig, OutputKind, predict_files
from segue.pipeline.scoring import ScoreKind, evaluate_files
from segue.pipeline.wishes import FitConfig, FitObserver
from segue.report.panels import Pixels
from segue.report.picture import Case, picture, save_picture
from segue.simulate import simulate_cells, simulate_membranes

TRAINING_IMAGES = 10
UNSEEN_IMAGES = 3
SIDE = 256
LARGE_SIDE = 1024


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One of the two jobs of the demo."""

    name: str
    simulate: Callable[..., tuple[Image, Labels]]
    output: OutputKind
    """What is predicted."""
    score: ScoreKind
    """What is scored."""
    classes: tuple[str, ...]
    headline: str
    """The score that is worth a place in a line and in the picture."""

    @property
    def description(self) -> str:
        """Its dataset.toml."""
        return f'labels = "{self.output}"\nclasses = {list(self.classes)}\n'.replace("'", '"')


SUBJECTS = (
    Subject(
        name="cells",
        simulate=simulate_cells,
        output="objects",
        score="objects",
        classes=("background", "cell"),
        headline="average_precision",
    ),
    Subject(
        name="membranes",
        simulate=simulate_membranes,
        output="classes",
        score="membranes",
        classes=("membrane", "cell"),
        headline="v_rand",
    ),
)


@dataclass(frozen=True)
class DemoResult:
    """What was made of one subject."""

    subject: Subject
    folder: Path
    picture: Path
    summary: dict[str, Any]
    """The scores of the unseen images, as `evaluate_files` gives them."""


def demonstrate(
    out: Path, *, seconds: float, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> list[DemoResult]:
    """Simulate, train every subject, `seconds` for all together, predict and score unseen images, draw a picture.

    Raises CannotCreateError or StorageError if `out` cannot be written to.
    """
    make_folder(out)
    share = seconds / len(SUBJECTS)
    return [
        _demonstrate(subject, out / subject.name, seconds=share, seed=seed * 1000 + 100 * number, say=say)
        for number, subject in enumerate(SUBJECTS)
    ]


def _demonstrate(
    subject: Subject, folder: Path, *, seconds: float, seed: int, say: Callable[[str], None]
) -> DemoResult:
    simulate_files(subject, folder, seed=seed)
    say(f"{subject.name}: {TRAINING_IMAGES} images to learn from are in {folder / 'train'}")
    model = fit(
        folder / "train",
        config=FitConfig(budget=seconds, seed=seed, out=folder / f"{subject.name}.segue"),
        observer=FitObserver(on_plan=lambda plan, train, held: say(f"  {plan.reasons['network']}")),
    )
    say(f"  trained {model.header.training['steps']} steps")
    unseen, predicted = folder / "unseen", folder / "predicted"
    for outcome in predict_files(model, [unseen / "images"], predicted, output=OutputConfig(kind=subject.output)):
        if outcome.error:
            raise outcome.error
    summary = evaluate_files(unseen, predicted, kind=subject.score)
    write_whole(folder / "scores.json", json.dumps(summary, indent=2).encode())
    picture_file = folder / "picture.png"
    save_picture(picture_file, _draw(subject, folder, summary))
    return DemoResult(subject, folder, picture_file, summary)


def simulate_files(subject: Subject, folder: Path, *, seed: int, side: int = SIDE, large: int = LARGE_SIDE) -> None:
    """Write a data set to learn from into `folder`/train, and unseen images with their truth into `folder`/unseen.

    The images are `side` pixels wide and high, and one of the unseen ones is `large`.
    """
    for number in range(TRAINING_IMAGES + UNSEEN_IMAGES + 1):
        is_large = number == TRAINING_IMAGES + UNSEEN_IMAGES
        part = folder / ("train" if number < TRAINING_IMAGES else "unseen")
        length = large if is_large else side
        image, labels = subject.simulate((length, length), seed=seed + number)
        name = f"{subject.name}-{number:02d}{'-large' if is_large else ''}.tif"
        write_image(part / "images" / name, image)
        write_labels(part / "masks" / name, labels.ids, space=labels.space, kind=labels.kind)
    for part_name in ("train", "unseen"):
        write_whole(folder / part_name / "dataset.toml", subject.description.encode())


def _draw(subject: Subject, folder: Path, summary: dict[str, Any]) -> Pixels:
    scores = {row["name"]: row["metrics"][subject.headline] for row in summary["per_image"]}
    words = subject.headline.replace("_", " ")
    cases = [
        Case(
            image=read_image(path),
            truth=read_mask(folder / "unseen" / "masks" / path.name).values.astype(np.int32),
            predicted=read_mask(folder / "predicted" / path.name).values.astype(np.int32),
            caption=path.stem,
            score=f"{words} {scores[path.stem]:.3f}",
        )
        for path in sorted((folder / "unseen" / "images").iterdir())
    ]
    title = f"Segue demo: {subject.name}"
    return picture(cases, kind=subject.output, classes=subject.classes, title=title)  # type: ignore[arg-type]
