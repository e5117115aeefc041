"""One annotated image to everything that a network learns from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Labels
from segue.errors import UsageError
from segue.targets.border_weights import BorderWeights, weight_map
from segue.targets.classes import cell_ids, class_map
from segue.targets.distance import normalized_distance


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """What is made of the labels."""

    separate: bool = True
    """Whether touching objects are parted by a line of background."""
    w0: float = 10.0
    """Weight of the background between touching cells (the paper's w0); 0 for none."""
    sigma: float = 5.0
    """Width in pixels of that weight (the paper's sigma)."""
    class_weights: tuple[float, ...] = ()
    """Weight of each class (the paper's w_c); empty for 1 each."""
    distance: bool = False
    """Whether the network also learns each object's normalised distance to its border."""

    def __post_init__(self) -> None:
        BorderWeights(w0=self.w0, sigma=self.sigma)  # its own checks
        if any(weight < 0 for weight in self.class_weights):
            raise UsageError(f"class weights are 0 or more, not {self.class_weights}")

    @property
    def narrow(self) -> float:
        """Pixels that weigh more than this lie where two objects are near: the border term has over half of w0."""
        return max(self.class_weights, default=1.0) + self.w0 / 2 if self.w0 > 0 else math.inf

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Names of the maps learnt beside the classes."""
        return ("distance",) if self.distance else ()


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is learnt from one image; every array has the spatial shape of the image."""

    classes: NDArray[np.int16]
    """Class ids 0..K-1, `IGNORE` where unknown."""
    weights: NDArray[np.float32]
    """w(x) of the loss, 0 where unknown."""
    maps: tuple[NDArray[np.float32], ...]
    """The auxiliary maps in [0, 1], in the order of `TargetConfig.auxiliary`."""


def make_targets(labels: Labels, config: TargetConfig, *, spacing: Sequence[float] | None = None) -> Targets:
    """Classes, weights and auxiliary maps of whole labels. `spacing` is relative pixel sizes, 1 for the finest axis.

    Raises LabelError if the labels hold a class without a name.
    """
    classes = class_map(labels, separate=config.separate)
    border = BorderWeights(w0=config.w0, sigma=config.sigma) if config.w0 > 0 else None
    weights = weight_map(
        classes,
        cells=cell_ids(labels) if border else None,
        class_weights=config.class_weights or None,
        border=border,
        spacing=spacing,
    )
    maps: tuple[NDArray[np.float32], ...] = ()
    if config.distance:
        ids = labels.ids if labels.kind == "objects" else cell_ids(labels)
        maps = (normalized_distance(np.maximum(ids, 0), spacing=spacing),)
    return Targets(classes=classes, weights=weights, maps=maps)
