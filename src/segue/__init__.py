"""Segue: U-Net segmentation for microscopes and scanners.

    import segue
    model = segue.fit(segue.find_pairs("data/train"), budget="20m")
    cells = model.objects(segue.read_image("a.tif"))

Nothing heavy is imported until one of these names is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue.arrays import IGNORE, Image, Labels, Probabilities, Space
    from segue.errors import SegueError
    from segue.evaluate.classes import score_classes
    from segue.evaluate.membranes import score_membranes
    from segue.evaluate.objects import score_objects
    from segue.fingerprint import examine
    from segue.io.datasets import find_pairs, read_pair
    from segue.io.images import read_image, write_labels, write_probabilities
    from segue.objects.classes import classify_objects
    from segue.objects.decode import DecodeConfig
    from segue.pipeline.fitting import fit
    from segue.pipeline.predicting import predict_files
    from segue.pipeline.scoring import evaluate_files
    from segue.pipeline.wishes import FitConfig
    from segue.predict.infer import PredictConfig
    from segue.simulate import simulate_cells, simulate_membranes, simulate_vessels
    from segue.trained import Model, load

_PLACES = {
    "IGNORE": "segue.arrays",
    "Image": "segue.arrays",
    "Labels": "segue.arrays",
    "Probabilities": "segue.arrays",
    "Space": "segue.arrays",
    "SegueError": "segue.errors",
    "score_classes": "segue.evaluate.classes",
    "score_membranes": "segue.evaluate.membranes",
    "score_objects": "segue.evaluate.objects",
    "examine": "segue.fingerprint",
    "find_pairs": "segue.io.datasets",
    "read_pair": "segue.io.datasets",
    "read_image": "segue.io.images",
    "write_labels": "segue.io.images",
    "write_probabilities": "segue.io.images",
    "classify_objects": "segue.objects.classes",
    "DecodeConfig": "segue.objects.decode",
    "FitConfig": "segue.pipeline.wishes",
    "fit": "segue.pipeline.fitting",
    "predict_files": "segue.pipeline.predicting",
    "evaluate_files": "segue.pipeline.scoring",
    "PredictConfig": "segue.predict.infer",
    "simulate_cells": "segue.simulate",
    "simulate_membranes": "segue.simulate",
    "simulate_vessels": "segue.simulate",
    "Model": "segue.trained",
    "load": "segue.trained",
}

__all__ = [
    "IGNORE",
    "DecodeConfig",
    "FitConfig",
    "Image",
    "Labels",
    "Model",
    "PredictConfig",
    "Probabilities",
    "SegueError",
    "Space",
    "classify_objects",
    "evaluate_files",
    "examine",
    "find_pairs",
    "fit",
    "load",
    "predict_files",
    "read_image",
    "read_pair",
    "score_classes",
    "score_membranes",
    "score_objects",
    "simulate_cells",
    "simulate_membranes",
    "simulate_vessels",
    "write_labels",
    "write_probabilities",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
