"""What a U-Net does to sizes, known in integers without running it: output size, legal sizes, receptive field.

Every function speaks of one spatial axis, described by an `AxisGeometry`; `axis_geometries` gives one for each axis.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from segue.errors import TileError
from segue.model.unet import UNetConfig


@dataclass(frozen=True)
class AxisGeometry:
    """One spatial axis of a U-Net: the poolings and the kernels it meets on the way down."""

    factors: tuple[int, ...]
    """How much each pooling shrinks the axis."""
    kernels: tuple[int, ...]
    """Size of the convolutions at each level, the bottom last."""
    valid: bool
    """Whether the convolutions are unpadded."""

    @property
    def stride(self) -> int:
        """Product of all poolings: moving the input by this much moves the output by as much, unchanged."""
        return prod(self.factors)

    @cached_property
    def margin(self) -> int:
        """What the output lacks at each end: (input - output) / 2, that is 92 for the paper's network, 0 for "same".

        For valid convolutions it is the same for every legal size.
        """
        lost = 0
        scale = 1
        for level, kernel in enumerate(self.kernels):
            passes = 1 if level == len(self.factors) else 2  # down and up; the bottom is passed once
            lost += passes * 2 * (kernel - 1) * scale
            scale *= self.factors[level] if level < len(self.factors) else 1
        return lost // 2 if self.valid else 0

    @cached_property
    def radius(self) -> int:
        """Receptive-field radius: no output pixel depends on an input pixel farther away than this."""
        reach = 0
        for position in range(self.stride):
            low, high = self._depends_on(position, position, level=0)
            reach = max(reach, position - low, high - position)
        return reach

    @property
    def halo(self) -> int:
        """What a tile must see beyond what it keeps: the radius for "same", rounded up to the stride grid.

        For valid convolutions it is the margin: there the size of the output says what can be kept.
        """
        return self.margin if self.valid else round_up(self.radius, self.stride)

    def output_size(self, size: int) -> int:
        """Length of the output for an input of `size` pixels. Raises TileError if the size is not legal."""
        if not self.is_legal(size):
            below, above = self.legal_size_below(size), self.legal_size(size)
            nearest = f"{below} or {above}" if below else f"{above}, the smallest"
            raise TileError(
                f"the network cannot take {size} px along an axis; the nearest sizes it can take are {nearest} px"
            )
        return size - 2 * self.margin

    def is_legal(self, size: int) -> bool:
        """Whether every pooling divides evenly and something is left at the end."""
        if not self.valid:
            return size > 0 and size % self.stride == 0
        for kernel, factor in zip(self.kernels, self.factors, strict=False):
            size -= 2 * (kernel - 1)
            if size <= 0 or size % factor:
                return False
            size //= factor
        size -= 2 * (self.kernels[-1] - 1)
        if size <= 0:
            return False
        for kernel, factor in zip(reversed(self.kernels[:-1]), reversed(self.factors), strict=True):
            size = size * factor - 2 * (kernel - 1)
            if size <= 0:
                return False
        return True

    def legal_size(self, at_least: int) -> int:
        """The smallest legal input size that is not below `at_least`."""
        size = max(at_least, 1)
        while not self.is_legal(size):
            size += 1
        return size

    def legal_size_below(self, at_most: int) -> int | None:
        """The largest legal input size that is not above `at_most`, or None if there is none."""
        return next((size for size in range(at_most, 0, -1) if self.is_legal(size)), None)

    def _depends_on(self, low: int, high: int, *, level: int) -> tuple[int, int]:
        """First and last input pixel of `level` that the pixels `low`..`high` of its output depend on.

        Input and output of a level are counted in pixels of that level, aligned at the centre of the network as if
        all convolutions were padded; this is where valid convolutions put them too.
        """
        block = self.kernels[level] - 1  # two convolutions, each reaching (kernel - 1) / 2 to both sides
        low, high = low - block, high + block
        if level == len(self.factors):
            return low, high
        factor = self.factors[level]
        below = self._depends_on(low // factor, high // factor, level=level + 1)
        low, high = min(low, below[0] * factor), max(high, below[1] * factor + factor - 1)
        return low - block, high + block


def axis_geometries(config: UNetConfig) -> tuple[AxisGeometry, ...]:
    """The geometry of every spatial axis of a network, in the order of the axes."""
    return tuple(
        AxisGeometry(
            factors=tuple(factor[axis] for factor in config.factors),
            kernels=tuple(kernel[axis] for kernel in config.kernels),
            valid=config.padding == "valid",
        )
        for axis in range(config.spatial_axes)
    )


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple
