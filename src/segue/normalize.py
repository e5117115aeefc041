"""Intensities of one whole image, brought to a scale networks like; the same in training and prediction.

Statistics are those of the whole image, never of a tile or a patch: otherwise the prediction of a pixel would
depend on how the image was cut. `measure` looks at the image once, `rescale` then works pixel by pixel, on
the whole or on any part of it, with equal results; `normalize` does both.

Outliers. A single wild pixel (a hot pixel, 1e30 from a broken file) must not decide the mean, the deviation
or the sums inside the network. So values are first clipped to a fence: with a and b the 0.1 and the 99.9
percentile of the channel (order statistics, rounded inwards, so that at least the greatest and the smallest
value never set the fence), the fence is [a - 10 (b - a), b + 10 (b - a)]. For a Gaussian that is 65 standard
deviations: ordinary images, with sparse bright cells too, are left as they are. Where a = b (nearly all
pixels equal) nothing can be told about outliers and nothing is clipped. The kinds "fixed" and "none" have no
fence; "fixed" clips where the data set says.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image
from segue.errors import ImageError, UsageError

NormalizationKind = Literal["standard", "percentile", "fixed", "none"]

FENCE_PERCENTILES = (0.1, 99.9)
FENCE_WIDTH = 10.0
_BLOCK = 1 << 18
# Pixels treated at a time in double precision: more would not be faster, only take memory.


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How the intensities of an image become numbers around 0 and about 1 in size."""

    kind: NormalizationKind = "standard"
    """"standard": mean 0 and standard deviation 1; "percentile": `low` and `high` percentile become -1 and 1;
    "fixed": `mean` and `std` of the data set (CT, calibrated channels); "none": as they are."""
    kinds: tuple[NormalizationKind, ...] = ()
    """One for each channel, where they differ (CT beside PET); `kind` then counts for none of them."""
    rgb_jointly: bool = True
    """True measures the three channels of a colour image together, which keeps its hues."""
    low: float = 1.0
    """Percentile that becomes -1 ("percentile" only)."""
    high: float = 99.8
    """Percentile that becomes 1 ("percentile" only)."""
    mean: tuple[float, ...] = ()
    """Mean of each "fixed" channel in the data set, in their order, or one number for all of them."""
    std: tuple[float, ...] = ()
    """Standard deviation of each "fixed" channel in the data set, in their order, or one number for all of them."""
    clip: tuple[tuple[float, float], ...] = ()
    """Least and greatest value of each "fixed" channel, in their order, or one pair for all of them; clipped to first.
    Empty: not clipped."""

    def __post_init__(self) -> None:
        for kind in (self.kind, *self.kinds):
            if kind not in get_args(NormalizationKind):
                known = ", ".join(get_args(NormalizationKind))
                raise UsageError(f"normalisation {kind!r} is unknown; choose one of {known}")
        if not 0 <= self.low < self.high <= 100:
            raise UsageError(
                f"percentiles low = {self.low} and high = {self.high} span nothing; 0 <= low < high <= 100 is allowed"
            )
        if "fixed" in (self.kinds or (self.kind,)):
            self._check_fixed()

    def _check_fixed(self) -> None:
        if not self.mean or not self.std:
            raise UsageError(
                f'normalisation "fixed" needs mean and std, but mean = {list(self.mean)} and std = {list(self.std)}; '
                "give one number, or one for each channel"
            )
        count = self.kinds.count("fixed")
        for name, given in _of_fixed(self).items():
            if self.kinds and len(given) not in (1, count):
                raise UsageError(
                    f"{name} = {list(given)} is for {len(given)} channels, but kinds = {list(self.kinds)} has {count} "
                    f'"fixed"; give one entry for each of these, or one for all of them'
                )
        if not all(math.isfinite(value) for value in self.mean):
            raise UsageError(f"mean = {self.mean} is not finite; give the mean of each channel")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise UsageError(f"std = {self.std} holds a number that is not positive; give standard deviations > 0")
        if not all(-math.inf < low < high < math.inf for low, high in self.clip):
            raise UsageError(
                f"clip = {self.clip} holds no finite range; give (least, greatest) pairs, however far apart"
            )


def _of_fixed(config: Normalization) -> dict[str, tuple[Any, ...]]:
    """What `config` holds for "fixed" channels, by its name: an entry for each of them, or one for all."""
    given = {"mean": config.mean, "std": config.std, "clip": config.clip}
    return {name: entries for name, entries in given.items() if entries}


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What `measure` found: (value clipped to [low, high] - shift) * factor, a number for each channel."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    shift: tuple[float, ...]
    factor: tuple[float, ...]


_OfChannel = tuple[float, float, float, float]
"""low, high, shift and factor of one channel."""


class Values(Protocol):
    """A row of float32 of which parts can be had: a numpy array, or a file."""

    @property
    def size(self) -> int:
        """How many values there are."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        """The values of one part."""
        ...


@dataclass(frozen=True)
class _Part:
    """`size` values from `start` on."""

    values: Values
    start: int
    size: int

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        start, stop, _ = part.indices(self.size)
        return self.values[self.start + start : self.start + stop]


def normalize(image: Image, config: Normalization) -> NDArray[np.float32]:
    """The image's intensities as the network sees them: (C, Y, X) or (C, Z, Y, X), float32.

    A channel whose pixels are all equal becomes 0 under "standard" and "percentile".

    Raises ImageError if a pixel is NaN or infinite, if there are not as many channels as `config` has entries for,
    or if the channels of a colour image shall be measured together but are of several kinds.
    """
    return rescale(image.pixels, measure(image, config))


def measure(image: Image, config: Normalization) -> Scaling:
    """The statistics of one whole image. Raises ImageError as `normalize` does."""
    values = np.ascontiguousarray(image.pixels).reshape(-1)
    return measure_values(values, channels=image.channels, is_rgb=image.is_rgb, config=config, name=image.name)


def measure_values(values: Values, *, channels: int, is_rgb: bool, config: Normalization, name: str = "") -> Scaling:
    """As `measure`, for all values of an image, channel after channel, of which only parts are in memory at a time."""
    _check_finite(values, name)
    kinds = _kind_of_each(channels, config, name)
    jointly = is_rgb and config.rgb_jointly
    if jointly and len(set(kinds)) > 1:
        raise ImageError(
            f"{name or 'the image'}: its red, green and blue are measured together, but kinds = {list(kinds)} differ; "
            "give them one kind, or write rgb_jointly = false"
        )
    if jointly and kinds[0] != "fixed":
        return _scaling([_measured(kinds[0], values, config)] * channels)
    size = values.size // channels
    return _scaling(
        [
            _given(kinds[:number].count("fixed"), config)
            if kind == "fixed"
            else _measured(kind, _Part(values, number * size, size), config)
            for number, kind in enumerate(kinds)
        ]
    )


def rescale(pixels: NDArray[np.float32], scaling: Scaling) -> NDArray[np.float32]:
    """Apply `scaling` to the pixels of its image or of any part of it, (C, ...), float32. Pixel by pixel."""
    result = np.empty(pixels.shape, np.float32)
    for channel, out, low, high, shift, factor in zip(
        pixels, result, scaling.low, scaling.high, scaling.shift, scaling.factor, strict=True
    ):
        flat, target = np.ascontiguousarray(channel).reshape(-1), out.reshape(-1)
        for block in _blocks(flat.size):
            values = np.clip(flat[block].astype(np.float64), low, high)
            target[block] = (values - shift) * factor
    return result


def _kind_of_each(channels: int, config: Normalization, image: str) -> tuple[NormalizationKind, ...]:
    """The kind of each channel. Raises ImageError if `config` is for another number of channels."""
    kinds = config.kinds or (config.kind,) * channels
    count = kinds.count("fixed")
    if len(kinds) != channels:
        raise _other_channels(image, channels, "kinds", len(kinds))
    for name, given in _of_fixed(config).items() if count else ():
        if len(given) not in (1, count):
            raise _other_channels(image, channels, name, len(given))
    return kinds


def _other_channels(image: str, channels: int, name: str, given: int) -> ImageError:
    return ImageError(
        f"{image or 'the image'} has {channels} channels, but the normalisation holds {name} for {given}; give one "
        "for each channel, or use images with the channels the model was trained on"
    )


def _measured(kind: NormalizationKind, values: Values, config: Normalization) -> _OfChannel:
    """What becomes of the values of a channel, or of all channels together, by their own statistics."""
    if kind == "none" or values.size == 0:
        return -math.inf, math.inf, 0.0, 1.0
    return _standard(values) if kind == "standard" else _percentile(values, config)


def _given(place: int, config: Normalization) -> _OfChannel:
    """What becomes of the values of the "fixed" channel at `place` among them, by the numbers of the data set."""
    of_it = {name: given[place if len(given) > 1 else 0] for name, given in _of_fixed(config).items()}
    low, high = of_it.get("clip", (-math.inf, math.inf))
    return low, high, of_it["mean"], 1 / of_it["std"]


def _standard(values: Values) -> _OfChannel:
    low, high = _fence(values, *FENCE_PERCENTILES)
    extremes = _extremes(values)
    least, greatest = max(extremes[0], low), min(extremes[1], high)
    if least == greatest:
        return low, high, least, 0.0
    mean = math.fsum(float(np.clip(block, low, high).sum()) for block in _doubles(values)) / values.size
    squares = math.fsum(float(np.square(np.clip(block, low, high) - mean).sum()) for block in _doubles(values))
    return low, high, mean, 1 / math.sqrt(squares / values.size)


def _percentile(values: Values, config: Normalization) -> _OfChannel:
    bottom, top = _inner_percentiles(values, config.low, config.high)
    if bottom == top:
        bottom, top = _extremes(values)
    if bottom == top:
        return -math.inf, math.inf, bottom, 0.0
    reach = FENCE_WIDTH * (top - bottom)
    return bottom - reach, top + reach, (bottom + top) / 2, 2 / (top - bottom)


def _fence(values: Values, low: float, high: float) -> tuple[float, float]:
    bottom, top = _inner_percentiles(values, low, high)
    if bottom == top:
        return -math.inf, math.inf
    return bottom - FENCE_WIDTH * (top - bottom), top + FENCE_WIDTH * (top - bottom)


def _inner_percentiles(values: Values, low: float, high: float) -> tuple[float, float]:
    """Order statistics at `low` and `high` percent, rounded towards the median: never the very extremes."""
    last = values.size - 1
    ranks = math.ceil(low / 100 * last), math.floor(high / 100 * last)
    if ranks[0] > ranks[1]:  # fewer pixels than the percentiles tell apart: the median is all there is
        ranks = (last // 2, last // 2)
    if values.size <= _BLOCK:
        ordered = np.partition(values[:], ranks)
        return float(ordered[ranks[0]]), float(ordered[ranks[1]])
    bottom, top = _of_ranks(values, ranks)
    return bottom, top


def _of_ranks(values: Values, ranks: tuple[int, int]) -> list[float]:
    """The values that `ranks` values come before in ascending order, exactly, without a copy of all values.

    By counting: how often each upper half of the 32 bits occurs tells the upper half of the one looked for, and among
    the values that share it how often each lower half occurs tells the lower.
    """
    counts = np.zeros(1 << 16, np.int64)
    for block in _blocks(values.size):
        counts += np.bincount(_ascending(values[block]) >> np.uint32(16), minlength=1 << 16)
    before = np.cumsum(counts) - counts
    uppers = [int(np.searchsorted(before, rank, side="right")) - 1 for rank in ranks]
    lowers = {upper: np.zeros(1 << 16, np.int64) for upper in uppers}
    for block in _blocks(values.size):
        keys = _ascending(values[block])
        for upper, each in lowers.items():
            alike = keys[keys >> np.uint32(16) == upper]
            each += np.bincount(alike & np.uint32(0xFFFF), minlength=1 << 16)
    found = []
    for rank, upper in zip(ranks, uppers, strict=True):
        lower = int(np.searchsorted(np.cumsum(lowers[upper]), rank - int(before[upper]), side="right"))
        bits = upper << 16 | lower
        bits ^= 0x80000000 if bits >> 31 else 0xFFFFFFFF
        found.append(float(np.array(bits, np.uint32).view(np.float32)))
    return found


def _ascending(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the values: of an IEEE 754 number the sign turned, of a negative one all bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.where(bits >> np.uint32(31) == 0, bits ^ np.uint32(0x80000000), ~bits)


def _extremes(values: Values) -> tuple[float, float]:
    both = [(float(values[block].min()), float(values[block].max())) for block in _blocks(values.size)]
    return min(low for low, _ in both), max(high for _, high in both)


def _doubles(values: Values) -> Iterator[NDArray[np.float64]]:
    for block in _blocks(values.size):
        yield values[block].astype(np.float64)


def _blocks(size: int) -> Iterator[slice]:
    for start in range(0, size, _BLOCK):
        yield slice(start, start + _BLOCK)


def _scaling(channels: Sequence[_OfChannel]) -> Scaling:
    low, high, shift, factor = zip(*channels, strict=True)
    return Scaling(low=low, high=high, shift=shift, factor=factor)


def _check_finite(values: Values, name: str) -> None:
    finite = sum(int(np.isfinite(values[block]).sum()) for block in _blocks(values.size))
    if finite < values.size:
        raise ImageError(
            f"{name or 'the image'}: {values.size - finite} of {values.size} pixels are NaN or infinite; "
            f"replace them, for example by the median of their neighbours"
        )
