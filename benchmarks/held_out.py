"""How good is a model on the images that its training held out?

    segue train DATA --out MODEL.segue --budget 20m
    python -m benchmarks.held_out DATA MODEL.segue --as membranes [--out FILE] [--picture FILE]

The names of the held-out images are in the model file. Their files are predicted and scored by the same functions as
`segue predict` and `segue evaluate` use, in a temporary folder. Membranes are scored from probabilities, because the
challenge's measures look for the best threshold. The picture shows the worst, the middle and the best image.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from benchmarks.data_sets import link_pairs
from benchmarks.machine import describe_machine

from segue.arrays import LabelKind
from segue.evaluate.summary import worst_first
from segue.io.datasets import Pairs, find_pairs, read_pair, resolve_spec
from segue.io.files import write_whole
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.pipeline.scoring import ScoreKind, evaluate_files
from segue.report.picture import Case, picture, save_picture
from segue.trained import Model, most_probable

FIRST_SCORE = {"classes": "dice", "objects": "average_precision", "membranes": "v_rand"}


def held_out_pairs(model: Model, pairs: Pairs) -> Pairs:
    """The pairs that the training of `model` kept for validation, by name."""
    names = {row["name"] for row in model.header.training["validation"]["per_image"]}
    return pairs.subset([number for number, pair in enumerate(pairs) if pair.name in names])


def measure(model: Model, pairs: Pairs, kind: ScoreKind) -> dict[str, Any]:
    """Predict and score the held-out pairs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        link_pairs(pairs, folder / "data")
        output = OutputConfig(kind="probabilities" if kind == "membranes" else kind)
        started = time.monotonic()
        for outcome in predict_files(model, [folder / "data" / "images"], folder / "predicted", output=output):
            if outcome.error:
                raise outcome.error
        seconds = time.monotonic() - started
        summary = evaluate_files(folder / "data", folder / "predicted", kind=kind)
    return {**summary, "seconds_per_image": seconds / len(pairs)}


def draw(model: Model, pairs: Pairs, summary: dict[str, Any], kind: ScoreKind, target: Path) -> None:
    """A picture of the worst, the middle and the best image."""
    name = FIRST_SCORE[kind]
    spec = resolve_spec(pairs).spec
    ordered = worst_first([row for row in summary["per_image"] if row["metrics"][name] is not None], name)
    cases = []
    for row in (ordered[0], ordered[len(ordered) // 2], ordered[-1]):
        pair = next(pair for pair in pairs if pair.name == row["name"])
        image, labels = read_pair(pair, spec)
        answer = model.objects(image).astype(np.int32) if kind == "objects" else most_probable(model.answer(image))
        score = f"{name.replace('_', ' ')} {row['metrics'][name]:.3f}"
        cases.append(Case(image=image, truth=labels.ids, predicted=answer, caption=pair.name[:40], score=score))
    shown: LabelKind = "objects" if kind == "objects" else "classes"
    title = f"{pairs.root.name}: the worst, the middle and the best of {len(pairs)} held-out images"
    save_picture(target, picture(cases, kind=shown, classes=model.classes, title=title))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--as", dest="kind", choices=get_args(ScoreKind), required=True)
    parser.add_argument("--out", type=Path, help="keep the result here, as JSON")
    parser.add_argument("--picture", type=Path, help="draw a picture here")
    wishes = parser.parse_args()
    model = Model.load(wishes.model)
    pairs = held_out_pairs(model, find_pairs(wishes.data))
    summary = measure(model, pairs, wishes.kind)
    training = model.header.training
    result = {
        "data": wishes.data.name,
        "scored_on": describe_machine(),
        "training": {
            "steps": training["steps"],
            "seconds": training["seconds"],
            "width": model.header.network.width,
            "machine": training.get("machine"),  # models of 0.1.0 do not say
        },
        **summary,
    }
    for name, entry in summary["metrics"].items():
        print(f"{name:32s} {entry['mean']}  [{entry['low']}, {entry['high']}]")
    print(f"{summary['images']} images, {summary['seconds_per_image']:.3f} s each, {training['steps']} training steps")
    if wishes.out:
        write_whole(wishes.out, (json.dumps(result, indent=2) + "\n").encode())
    if wishes.picture:
        draw(model, pairs, summary, wishes.kind, wishes.picture)


if __name__ == "__main__":
    main()
