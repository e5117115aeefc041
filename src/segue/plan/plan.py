"""Everything a training needs beside the data, as plain data.

A plan is shown before the training with the reason for each choice, kept in the model file, written as TOML, and taken
back from there (`--config`), edited by hand or not.
"""

from dataclasses import dataclass, field
from typing import Literal

from segue.arrays import MICROMETRES, Space
from segue.augment.compose import AugmentConfig
from segue.errors import UsageError
from segue.fingerprint import Fingerprint
from segue.loss import LossConfig
from segue.model.geometry import axis_geometries
from segue.model.unet import UNetConfig
from segue.normalize import Normalization
from segue.targets.prepare import TargetConfig
from segue.train.settings import BatchConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a training needs beside the data."""

    network: UNetConfig
    """The architecture."""
    normalization: Normalization
    """What is done to the intensities of each whole image."""
    targets: TargetConfig
    """What is made of the labels."""
    batches: BatchConfig
    """Patch size and batch size."""
    augment: AugmentConfig
    """What happens to the patches."""
    loss: LossConfig
    """What is minimised."""
    train: TrainConfig
    """Optimiser, schedule, seed."""
    pixel_size: tuple[float, ...] | None = None
    """Size of the pixels that the network works at along (z) y x, in `unit`: images that say another one are resampled,
    for training and for prediction. None: every image is taken as it is."""
    unit: str = "micrometer"
    """Unit of `pixel_size`: "micrometer" or "millimeter"."""
    rgb: bool = False
    """Whether the channels are red, green and blue; gray images are then repeated three times."""
    context: int = 16
    """How far the image is mirrored beyond its edges when a "same" network predicts."""
    mirror: bool = True
    """Whether predictions are averaged over mirror images."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Type of the convolutions; "auto" is bf16 where the processor is quicker with it."""
    validation_fraction: float = 0.15
    """About this share of the images is held out."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each choice was made, for people."""

    def __post_init__(self) -> None:
        if len(self.batches.patch) != self.network.spatial_axes:
            raise UsageError(
                f"the patch {self.batches.patch} has {len(self.batches.patch)} axes, the network "
                f"{self.network.spatial_axes}; give one length for each axis"
            )
        for geometry, size in zip(axis_geometries(self.network), self.batches.patch, strict=True):
            geometry.output_size(size)  # says which sizes are legal
        oriented = self.augment.geometry.oriented
        if oriented and len(oriented) != self.network.spatial_axes:
            raise UsageError(
                f"augment.geometry.oriented has {len(oriented)} entries, but the network has "
                f"{self.network.spatial_axes} spatial axes; give true or false for each axis, or [] for none"
            )
        if self.targets.class_weights and len(self.targets.class_weights) > self.network.outputs:
            raise UsageError(f"{len(self.targets.class_weights)} class weights for {self.network.outputs} outputs")
        kinds = self.normalization.kinds
        if kinds and len(kinds) != self.network.channels:
            raise UsageError(
                f"normalization.kinds has {len(kinds)} entries, but the network has {self.network.channels} channels; "
                "give one kind for each channel, or [] to let normalization.kind serve all"
            )
        if self.pixel_size is not None and len(self.pixel_size) != self.network.spatial_axes:
            raise UsageError(
                f"pixel_size = {list(self.pixel_size)} has {len(self.pixel_size)} numbers, but the network has "
                f"{self.network.spatial_axes} spatial axes; give one for each axis"
            )
        if not all(0 < size < float("inf") for size in self.pixel_size or ()):
            raise UsageError(f"pixel_size = {list(self.pixel_size or ())} holds a number that is no length above 0")
        if self.pixel_size is not None and self.unit not in MICROMETRES:
            raise UsageError(f'the unit of pixel_size is "micrometer" or "millimeter", not "{self.unit}"')
        if not 0 <= self.validation_fraction < 1:
            raise UsageError(f"validation_fraction is a share from 0 to below 1, not {self.validation_fraction}")

    @property
    def working(self) -> Space:
        """The pixel size that the network works at, as a Space."""
        return Space(pixel_size=self.pixel_size, unit=self.unit)


def check_fits(plan: Plan, fingerprint: Fingerprint) -> None:
    """Raise UsageError if a plan that somebody gave is not for data of this kind."""
    network = plan.network
    if network.spatial_axes != fingerprint.spatial_axes:
        raise UsageError(
            f"the plan is for {network.spatial_axes}D images, but the data are {fingerprint.spatial_axes}D; "
            "change network.spatial_axes and all that has one number for each axis"
        )
    colours = {1, 3} == {network.channels, fingerprint.channels} and (plan.rgb or fingerprint.colour != "gray")
    if network.channels != fingerprint.channels and not colours:
        raise UsageError(
            f"the plan is for {network.channels} channels, but the images have {fingerprint.channels}; "
            f"write network.channels = {fingerprint.channels}"
        )
    maps, classes = len(plan.targets.auxiliary), len(fingerprint.classes)
    if network.outputs != classes + maps:
        raise UsageError(
            f"the plan has {network.outputs} outputs, but there are {classes} classes and {maps} maps besides; "
            f"write network.outputs = {classes + maps}"
        )
    if plan.targets.class_weights and len(plan.targets.class_weights) != classes:
        raise UsageError(
            f"the plan has {len(plan.targets.class_weights)} class weights, but there are {classes} classes; "
            "write one for each class in targets.class_weights, or none"
        )
