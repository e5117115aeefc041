"""From what a data set is, what the machine can do and how long it may take to a plan."""

from collections.abc import Sequence
from dataclasses import fields, replace
from math import prod
from typing import Any, Literal

from segue.arrays import MICROMETRES, Space
from segue.augment.compose import LEANING, AugmentConfig, default_augmentation
from segue.errors import UsageError
from segue.fingerprint import Fingerprint
from segue.loss import LossConfig
from segue.model.geometry import axis_geometries
from segue.model.unet import UNetConfig, paper_config
from segue.plan.intensities import normalization_of
from segue.plan.plan import Plan
from segue.plan.size import (
    BATCH_PIXELS,
    MOST_PATCHES,
    WIDTHS,
    StepSeconds,
    as_wide_as_time_allows,
    patch_and_levels,
    relative_spacing,
)
from segue.resample import are_alike, shown
from segue.targets.border_weights import class_weights
from segue.targets.prepare import TargetConfig
from segue.train.settings import BatchConfig, TrainConfig

Preset = Literal["auto", "paper"]
PRESETS: tuple[Preset, ...] = ("auto", "paper")

WHY_THE_REST = {
    "context": f"images are continued by mirroring {Plan.context} px of them, so that their rims look as their middle",
    "precision": "bf16 where the processor is quicker with it, else fp32",
    "validation_fraction": f"about {Plan.validation_fraction:.0%} of the images judge, whole groups of them",
}
"""Of what is the same for all data."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    preset: Preset = "auto",
    budget: float | None = None,
    steps: int | None = None,
    step_seconds: StepSeconds | None = None,
    seed: int = 0,
    processes: int = 1,
) -> Plan:
    """The plan for a data set. With a `budget` in seconds the network is as wide as `step_seconds` says it may be.

    Each of the `processes` that train together has a patch of a batch at least.

    Raises UsageError for an unknown preset.
    """
    if preset not in PRESETS:
        raise UsageError(f'the preset is one of {", ".join(PRESETS)}, not "{preset}"')
    train = TrainConfig(seed=seed, budget=budget, steps=steps)
    if preset == "paper":
        return _paper_plan(fingerprint, train, processes=processes)
    patch, factors, kernels = patch_and_levels(fingerprint)
    targets, loss, reasons = _what_to_learn(fingerprint)
    batches = BatchConfig(
        patch=patch,
        batch=max(2, min(BATCH_PIXELS[len(patch)] // prod(patch), MOST_PATCHES), processes),
        # Common classes are found anywhere; objects are looked for where they touch, which is rare in dense images too.
        foreground=0.33 if fingerprint.kind == "objects" or _rarest(fingerprint) <= 0.2 else 0.0,
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
    network, why_width = as_wide_as_time_allows(network, batches, budget, step_seconds)
    # Averaged distance maps are flatter: objects were found no better with mirror images, at seven times the time.
    mirror = fingerprint.kind != "objects" and not any(fingerprint.oriented)
    return _with_what_the_images_are(
        fingerprint,
        network=network,
        targets=targets,
        batches=batches,
        loss=loss,
        train=train,
        mirror=mirror,
        reasons=reasons
        | {
            "batches": f"images are about {_times(fingerprint.working_shape or fingerprint.median_shape)} px; "
            f"{batches.batch} patches of {_times(patch)} px a step{_places(fingerprint, batches)}",
            "network": f"{network.depth} poolings, as many as the patch allows{_uneven(network)}; {why_width}",
            "train": f"Muon, its rate up to {train.learning_rate:g} in the first {train.warmup:.0%} and down to 0 at "
            "the end, however quick the machine is; weights are the mean of the last "
            f"{train.average_share:.0%} of the steps",
            "mirror": _why_mirror(fingerprint, mirror=mirror),
        },
    )


def _paper_plan(fingerprint: Fingerprint, train: TrainConfig, *, processes: int) -> Plan:
    """The network, the weights and the loss of 2015; the optimiser is AdamW (the paper's needs days on a processor).

    Volumes have one pooling less and patches of 116 voxels, as in Cicek et al. (2016).
    """
    axes = fingerprint.spatial_axes
    network = paper_config(channels=fingerprint.channels, classes=len(fingerprint.classes), spatial_axes=axes)
    geometry = axis_geometries(network)[0]
    patch = (geometry.legal_size(572 if axes == 2 else 116),) * axes
    weights = class_weights([max(f, 1e-6) for f in fingerprint.class_frequencies])
    return _with_what_the_images_are(
        fingerprint,
        network=network,
        targets=TargetConfig(separate=True, w0=10.0, sigma=5.0, class_weights=weights),
        batches=BatchConfig(patch=patch, batch=processes, foreground=0.0),
        loss=LossConfig(cross_entropy=1.0, dice=0.0),
        train=replace(train, optimizer="adamw", learning_rate=2e-4, momentum=0.99),
        mirror=False,
        reasons={
            "network": "the preset 'paper': Ronneberger, Fischer & Brox (2015), to the parameter",
            "batches": f"one patch of {_times(patch)} px a step, as in the paper"
            + (" (and process)" if processes > 1 else ""),
            "targets": "the classes, with the border weights and the class weights of the paper",
            "loss": "the weighted cross-entropy of the paper",
            "train": "AdamW: the paper's gradient descent with momentum needs days on a processor",
            "mirror": "one look at each tile, as in the paper",
        },
    )


def _with_what_the_images_are(
    fingerprint: Fingerprint, *, batches: BatchConfig, reasons: dict[str, str], **choices: Any
) -> Plan:
    """A plan of the `choices` of a preset, and of those that the images alone decide."""
    pixel_size, unit, why_size = _pixel_size(fingerprint)
    normalization, why_normalization = normalization_of(fingerprint)
    augment = _augmentation(fingerprint, batches.patch)
    reasons = reasons | why_size | why_normalization | _why_augmentation(fingerprint, augment) | WHY_THE_REST
    return Plan(
        pixel_size=pixel_size,
        unit=unit,
        rgb=fingerprint.colour != "gray",
        normalization=normalization,
        batches=batches,
        augment=augment,
        **choices,
        reasons={choice.name: reasons[choice.name] for choice in fields(Plan) if choice.name in reasons},
    )


def _what_to_learn(fingerprint: Fingerprint) -> tuple[TargetConfig, LossConfig, dict[str, str]]:
    if fingerprint.kind == "objects":
        targets = TargetConfig(separate=False, w0=5.0, distance=True)
        return (
            targets,
            LossConfig(dice=0.5, auxiliary=3.0),
            {
                "targets": f"objects: foreground with border weights (w0 = {targets.w0:g}), and the distance to each "
                "object's border to part touching ones",
                "loss": "cross-entropy and half of Dice for the foreground; the distance counts three times, touching "
                "objects depend on it",
            },
        )
    if len(fingerprint.classes) == 2 and _foreground(fingerprint) > 0.5:
        targets = TargetConfig(w0=10.0)
        return (
            targets,
            LossConfig(),
            {
                "targets": "dense cells: the background between them carries the border weights of the paper "
                f"(w0 = {targets.w0:g})",
                "loss": "the weighted cross-entropy of the paper",
            },
        )
    return (
        TargetConfig(w0=0.0),
        LossConfig(dice=1.0),
        {
            "targets": "the classes; all pixels weigh the same",
            "loss": "cross-entropy and Dice together, which serves rare classes too",
        },
    )


def _pixel_size(fingerprint: Fingerprint) -> tuple[tuple[float, ...] | None, str, dict[str, str]]:
    """The pixel size to work at, its unit, and why: the median, as docs/decisions/0011-working-pixel-size.md says."""
    size, unit = fingerprint.pixel_size, fingerprint.unit
    if size is None or unit not in MICROMETRES:
        return None, "micrometer", {"pixel_size": "no image says its own: every image is taken as it is"}
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


def _rarest(fingerprint: Fingerprint) -> float:
    """Share of the pixels in the rarest class that occurs, but for the background."""
    return min((share for share in fingerprint.class_frequencies[1:] if share > 0), default=1.0)


def _augmentation(fingerprint: Fingerprint, patch: tuple[int, ...]) -> AugmentConfig:
    return default_augmentation(
        patch,
        rgb=fingerprint.colour != "gray",
        spacing=relative_spacing(fingerprint.pixel_size),
        oriented=fingerprint.oriented,
    )


def _why_augmentation(fingerprint: Fingerprint, augment: AugmentConfig) -> dict[str, str]:
    changed = (
        f"scaled (up to {augment.geometry.scale:g} times), deformed (by some {augment.elastic.std:.2g} px at points "
        f"{augment.elastic.spacing:.0f} px apart) and of other brightness; stronger changes were no better"
    )
    if not (axes := fingerprint.oriented_axes):
        return {"augment": f"turned, mirrored, {changed}"}
    hardly = f", turned by {LEANING:.0f} degrees at most" if any(fingerprint.oriented[-2:]) else ""
    return {
        "augment": f"classes lie on the same side along {axes} in nearly all images, as in scans of a body: "
        f"not mirrored there{hardly}; {changed}"
    }


def _places(fingerprint: Fingerprint, batches: BatchConfig) -> str:
    """Where patches are taken, if not anywhere."""
    if not batches.foreground:
        return ""
    where = "where objects touch" if fingerprint.kind == "objects" else "on classes other than the first, all alike"
    return f", {batches.foreground:.0%} of them {where}"


def _uneven(network: UNetConfig) -> str:
    """Which axes are pooled less often than others, because their pixels are coarser or they are short; if any are."""
    notes = []
    for place, axis in enumerate("zyx"[-network.spatial_axes :]):
        poolings = sum(factor[place] > 1 for factor in network.factors)
        flat = sum(kernel[place] == 1 for kernel in network.kernels)
        if poolings < network.depth:
            kernels = f", with kernels of length 1 in {flat} of {len(network.kernels)} levels" if flat else ""
            notes.append(f"{poolings} along {axis}{kernels}")
    return f" ({'; '.join(notes)})" if notes else ""


def _why_mirror(fingerprint: Fingerprint, *, mirror: bool) -> str:
    if mirror:
        return (
            "predictions are the mean over all mirror images; 'segue predict --no-mirror' is up to eight times as quick"
        )
    return "one look at each image: " + (
        "objects are found no better with mirror images" if fingerprint.kind == "objects" else "it has a right way up"
    )


def _times(lengths: Sequence[int]) -> str:
    return " x ".join(str(length) for length in lengths)
