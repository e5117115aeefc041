"""From what a data set is, what the machine can do and how long it may take to everything a training needs.

A plan is plain data: it is shown before the training with the reason for each choice, kept in the model file, written
as TOML, and taken back from there (`--config`), edited by hand or not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from math import ceil, prod
from typing import Literal

from segue.arrays import MICROMETRES, Space
from segue.augment.compose import LEANING, AugmentConfig, default_augmentation
from segue.errors import UsageError
from segue.fingerprint import Fingerprint
from segue.loss import LossConfig
from segue.model.geometry import axis_geometries
from segue.model.unet import UNetConfig, paper_config
from segue.normalize import Normalization
from segue.resample import are_alike, shown
from segue.targets.border_weights import class_weights
from segue.targets.prepare import TargetConfig
from segue.train.settings import BatchConfig, TrainConfig

Preset = Literal["auto", "paper"]
PRESETS: tuple[Preset, ...] = ("auto", "paper")

PATCH_PIXELS = {2: 256**2, 3: 64**3}
"""Pixels of a patch at most: enough context for the receptive field, few enough for a quick step."""
BATCH_PIXELS = {2: 4 * 256**2, 3: 2 * 64**3}
"""Pixels of a batch at most."""
MOST_PATCHES = 64
"""Patches of a batch at most: each has to be augmented, however small it is."""
FEWEST_STEPS = 6000
"""A network is only wider than usual if that leaves it so many steps in its time: up to 3,000 of them a width of 32 was
no better than one of 16 in 2D, in twice the time (docs/decisions/0019-steps-before-width.md)."""
WIDTHS = {2: (16, 24, 32, 48, 64), 3: (16, 24, 32)}
"""Candidates for the width of the first level, the usual one first."""
SHALLOWEST_SIDE = 4
"""No axis is pooled to fewer pixels than this."""

StepSeconds = Callable[[UNetConfig, BatchConfig], float]
"""How long one training step takes on this machine: a measurement."""


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
    """Type of the convolutions; "auto" is bf16 where the processor has matrix units for it."""
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


def make_plan(
    fingerprint: Fingerprint,
    *,
    preset: Preset = "auto",
    budget: float | None = None,
    step_seconds: StepSeconds | None = None,
    seed: int = 0,
) -> Plan:
    """The plan for a data set. With a `budget` in seconds the network is as wide as `step_seconds` says it may be.

    Raises UsageError for an unknown preset.
    """
    if preset not in PRESETS:
        raise UsageError(f'the preset is one of {", ".join(PRESETS)}, not "{preset}"')
    if preset == "paper":
        return _paper_plan(fingerprint, seed=seed)
    patch, factors, kernels = _patch_and_levels(fingerprint)
    targets, loss, reasons = _what_to_learn(fingerprint)
    batches = BatchConfig(
        patch=patch,
        batch=min(max(2, BATCH_PIXELS[len(patch)] // prod(patch)), MOST_PATCHES),
        # Common classes are found anywhere; objects are looked for where they touch, which is rare in dense images too.
        foreground=0.33 if fingerprint.kind == "objects" or _foreground(fingerprint) <= 0.2 else 0.0,
    )
    network = UNetConfig(
        spatial_axes=len(patch),
        channels=fingerprint.channels,
        outputs=len(fingerprint.classes) + len(targets.auxiliary),
        width=WIDTHS[len(patch)][0],
        widest=512 if len(patch) == 2 else 256,
        factors=factors,
        kernels=kernels,
        padding="same",
        normalization="batch",
        dropout=0.2,
    )
    network, why_width = _as_wide_as_time_allows(network, batches, budget, step_seconds)
    reasons |= {
        "patch": f"images are about {_times(fingerprint.working_shape or fingerprint.median_shape)} px; "
        f"{batches.batch} patches of {_times(patch)} px a step",
        "network": f"{network.depth} poolings, as many as the patch allows; {why_width}",
    }
    pixel_size, unit, why_size = _pixel_size(fingerprint)
    return Plan(
        network=network,
        pixel_size=pixel_size,
        unit=unit,
        rgb=fingerprint.colour != "gray",
        normalization=Normalization(kind="standard"),
        targets=targets,
        batches=batches,
        augment=_augmentation(fingerprint, patch),
        loss=loss,
        train=TrainConfig(seed=seed),
        # Averaged distance maps are flatter: objects were found no better with mirror images, at seven times the time.
        mirror=fingerprint.kind != "objects" and not any(fingerprint.oriented),
        reasons=why_size | reasons | _why_orientation(fingerprint),
    )


def _paper_plan(fingerprint: Fingerprint, *, seed: int) -> Plan:
    """The network, the weights and the loss of 2015; the optimiser is ours (the paper's needs days on a processor).

    Volumes have one pooling less and patches of 116 voxels, as in Cicek et al. (2016).
    """
    axes = fingerprint.spatial_axes
    network = paper_config(channels=fingerprint.channels, classes=len(fingerprint.classes), spatial_axes=axes)
    geometry = axis_geometries(network)[0]
    patch = (geometry.legal_size(572 if axes == 2 else 116),) * axes
    weights = class_weights([max(f, 1e-6) for f in fingerprint.class_frequencies])
    pixel_size, unit, why_size = _pixel_size(fingerprint)
    return Plan(
        network=network,
        pixel_size=pixel_size,
        unit=unit,
        rgb=fingerprint.colour != "gray",
        normalization=Normalization(kind="standard"),
        targets=TargetConfig(separate=True, w0=10.0, sigma=5.0, class_weights=weights),
        batches=BatchConfig(patch=patch, batch=1, foreground=0.0),
        augment=_augmentation(fingerprint, patch),
        loss=LossConfig(cross_entropy=1.0, dice=0.0),
        train=TrainConfig(seed=seed, learning_rate=2e-4),
        mirror=False,
        reasons=why_size
        | {"network": "the preset 'paper': Ronneberger, Fischer & Brox (2015), to the parameter"}
        | _why_orientation(fingerprint),
    )


def _what_to_learn(fingerprint: Fingerprint) -> tuple[TargetConfig, LossConfig, dict[str, str]]:
    if fingerprint.kind == "objects":
        reason = (
            "objects: foreground with border weights, and the distance to each object's border to part touching ones"
        )
        return (
            TargetConfig(separate=False, w0=5.0, distance=True),
            LossConfig(dice=0.5, auxiliary=3.0),
            {"targets": reason},
        )
    if len(fingerprint.classes) == 2 and _foreground(fingerprint) > 0.5:
        reason = "dense cells: the background between them carries the border weights of the paper"
        return TargetConfig(w0=10.0), LossConfig(), {"targets": reason}
    reason = "classes: cross-entropy and Dice together, which serves rare classes too"
    return TargetConfig(w0=0.0), LossConfig(dice=1.0), {"targets": reason}


def _pixel_size(fingerprint: Fingerprint) -> tuple[tuple[float, ...] | None, str, dict[str, str]]:
    """The pixel size to work at, its unit, and why: the median, as docs/decisions/0011-working-pixel-size.md says."""
    size, unit = fingerprint.pixel_size, fingerprint.unit
    if size is None or unit not in MICROMETRES:
        return None, "micrometer", {}
    middle = shown(Space(pixel_size=size, unit=unit))
    low, high = fingerprint.pixel_size_range or (size, size)
    ratios = [edge / usual for ends in (low, high) for edge, usual in zip(ends, size, strict=True)]
    if all(are_alike(ratio) for ratio in ratios):
        reason = f"{middle}, that of the images; an image with pixels of another size is resampled when it is predicted"
    else:
        ends = [shown(Space(pixel_size=edge, unit=unit)) for edge in (low, high)]
        reason = (
            f"images have {ends[0].removesuffix(f' {unit}')} to {ends[1]}; trained at {middle}, the median, to which "
            "the others are resampled; each answer lies on the pixels of its image"
        )
    if fingerprint.without_pixel_size:
        count = fingerprint.without_pixel_size
        reason += f"; {count} image{'s say' if count > 1 else ' says'} no size, taken to be the same"
    return size, unit, {"pixel_size": reason}


def _foreground(fingerprint: Fingerprint) -> float:
    return 1 - fingerprint.class_frequencies[0]


def relative_spacing(pixel_size: Sequence[float] | None) -> tuple[float, ...] | None:
    """Pixel sizes as multiples of that of the finest axis; None if the files do not say."""
    # Rounded, because files give sizes with the noise of their last digit, and equal axes should count as equal.
    return tuple(round(length / min(pixel_size), 3) for length in pixel_size) if pixel_size else None


def _augmentation(fingerprint: Fingerprint, patch: tuple[int, ...]) -> AugmentConfig:
    return default_augmentation(
        patch,
        rgb=fingerprint.colour != "gray",
        spacing=relative_spacing(fingerprint.pixel_size),
        oriented=fingerprint.oriented,
    )


def _why_orientation(fingerprint: Fingerprint) -> dict[str, str]:
    if not (axes := fingerprint.oriented_axes):
        return {}
    hardly = f", turned by {LEANING:.0f} degrees at most" if any(fingerprint.oriented[-2:]) else ""
    return {
        "augment": f"classes lie on the same side along {axes} in nearly all images, as in scans of a body: "
        f"not mirrored there{hardly}; predictions are not averaged over mirror images"
    }


def _patch_and_levels(
    fingerprint: Fingerprint,
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Patch, pooling factors and kernels. A coarse axis is not pooled nor convolved until the others are as coarse.

    The patch is as large as the median image if it may be; else its longest axes are cut, to equal lengths in space.
    """
    axes = fingerprint.spatial_axes
    spacing = relative_spacing(fingerprint.pixel_size) or (1.0,) * axes
    shape = fingerprint.working_shape or fingerprint.median_shape
    wanted = [float(length) for length in shape]
    longest = max(length * size for length, size in zip(shape, spacing, strict=True))
    while prod(wanted) > PATCH_PIXELS[axes]:
        longest *= 0.95
        wanted = [min(float(length), longest / size) for length, size in zip(shape, spacing, strict=True)]
    deepest = 4 if axes == 2 else 3
    factors: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    current, left = list(spacing), list(wanted)
    for _ in range(deepest):
        # An axis that is too short to be pooled keeps no other from being pooled.
        poolable = [length >= 2 * SHALLOWEST_SIDE for length in left]
        finest = min(compress(current, poolable), default=min(current))
        kernels.append(tuple(3 if size < 2 * finest else 1 for size in current))
        factor = tuple(2 if can and size < 2 * finest else 1 for size, can in zip(current, poolable, strict=True))
        if max(factor) == 1:
            kernels.pop()
            break
        factors.append(factor)
        current = [size * step for size, step in zip(current, factor, strict=True)]
        left = [length / step for length, step in zip(left, factor, strict=True)]
    kernels.append((3,) * axes)
    strides = [prod(factor[axis] for factor in factors) for axis in range(axes)]
    patch = tuple(max(1, ceil(length / stride)) * stride for length, stride in zip(wanted, strides, strict=True))
    if prod(patch) > 1.5 * PATCH_PIXELS[axes]:
        patch = tuple(max(1, round(length / stride)) * stride for length, stride in zip(wanted, strides, strict=True))
    return patch, tuple(factors), tuple(kernels)


def _as_wide_as_time_allows(
    network: UNetConfig, batches: BatchConfig, budget: float | None, step_seconds: StepSeconds | None
) -> tuple[UNetConfig, str]:
    if budget is None or step_seconds is None:
        return network, f"width {network.width}, the usual one"
    seconds = step_seconds(network, batches)
    for width in WIDTHS[network.spatial_axes][1:]:
        # The time grows at least as the width does: what cannot fit is not measured, which takes time and memory.
        if seconds * width / network.width * FEWEST_STEPS > budget:
            break
        wider = replace(network, width=width)
        longer = step_seconds(wider, batches)
        if longer * FEWEST_STEPS > budget:
            break
        network, seconds = wider, longer
    steps = int(budget / seconds)
    return network, f"width {network.width}: a step takes {seconds:.2f} s here, so about {steps:,} fit into the time"


def _times(lengths: Sequence[int]) -> str:
    return " x ".join(str(length) for length in lengths)
