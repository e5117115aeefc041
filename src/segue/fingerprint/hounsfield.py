"""Whether intensities are Hounsfield units, which mean the same in every CT scan, and what the annotated ones are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.fingerprint.measures import ChannelMeasure, ImageMeasure

CHANNEL_NAME = "CT"
"""Who names a channel so, in dataset.json or dataset.toml, says that it holds Hounsfield units (as in nnU-Net)."""
AIR, LEAST, GREATEST = -500.0, -10_000.0, 40_000.0
"""Scans reach down to air (-1000, and what is written where nothing was measured), and no further than these two."""

_SAMPLE = 4096
"""So many annotated pixels of an image, evenly spaced, speak for it."""


@dataclass(frozen=True, kw_only=True)
class AnnotatedSummary:
    """The intensities of one channel under all classes but the background, of all images together."""

    low: float
    """Percentile 0.5."""
    high: float
    """Percentile 99.5."""
    mean: float
    std: float


def are_hounsfield(
    images: Sequence[ImageMeasure], *, channels: int, unit: str, names: Sequence[str] | None = None
) -> tuple[bool, ...]:
    """Which of the channels are CT: those that are named so; or, without names, by unit and range.

    No other scanner that measures in millimetres gives values far below zero. One name may stand for all channels, as
    it does for the three of a colour image.
    """
    if names:
        named = tuple(name.strip().upper() == CHANNEL_NAME for name in names)
        return named if len(named) == channels else (all(named),) * channels
    return tuple(
        unit == "millimeter"
        and _reaches_as_ct([image.channels[number] for image in images if number < len(image.channels)])
        for number in range(channels)
    )


def _reaches_as_ct(images: Sequence[ChannelMeasure]) -> bool:
    """Whether the values of one channel, in all images that have it, reach as far as those of CT."""
    reach_air = bool(np.median([channel.low for channel in images]) < AIR)
    return reach_air and all(channel.lowest >= LEAST and channel.highest <= GREATEST for channel in images)


def annotated_values(image: Image, labels: Labels) -> NDArray[np.float32]:
    """(C, N) values of at most some thousand pixels of an image that are annotated as no background, evenly spaced."""
    places = np.flatnonzero(labels.ids > 0)
    places = places[:: max(1, len(places) // _SAMPLE)]
    values: NDArray[np.float32] = image.pixels.reshape(image.channels, -1)[:, places]
    return values


def summarise_annotated(values: Sequence[NDArray[np.float32]]) -> tuple[AnnotatedSummary, ...]:
    """One summary for each channel of what `annotated_values` gave for the images; none if nothing is annotated."""
    if not sum(one.size for one in values):
        return ()
    together = np.concatenate(list(values), axis=1).astype(np.float64)
    low, high = np.percentile(together, (0.5, 99.5), axis=1)
    return tuple(
        AnnotatedSummary(low=float(low[c]), high=float(high[c]), mean=float(row.mean()), std=float(row.std()))
        for c, row in enumerate(together)
    )
