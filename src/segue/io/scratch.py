"""What is larger than memory, read and written in blocks: arrays in temporary files, and views of them.

Not `numpy.memmap`: a page that it writes to a full disk kills the process, and pages that it has touched count as
memory of the process for as long as it stays open. Here a block is mapped for the moment in which it is read, a slab
after the other, and written with ordinary calls, so that a full disk is an error like any other.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segue.io.files import TEMPORARY_MARK, naming

_SLAB = 1 << 24
"""Bytes of a file that are mapped at a time."""

Block = tuple[slice, ...]
"""A block of an array: one slice without a step for each axis, within the array."""


class Readable(Protocol):
    """What can be read in blocks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...

    def __getitem__(self, block: Any, /) -> Any:
        """The values of one block."""
        ...


class View:
    """An array that is made when it is read, block by block."""

    def __init__(self, shape: Sequence[int], read: Callable[[Block], NDArray[Any]]) -> None:
        self.shape = tuple(shape)
        self._read = read

    def __getitem__(self, block: Block, /) -> NDArray[Any]:
        """The values of one block."""
        return self._read(block)


class BlockArray(Readable, Protocol):
    """What can be read and written in blocks: a numpy array, a memmap, a `ScratchArray`, a Zarr array."""

    def __setitem__(self, block: Any, values: Any, /) -> None:
        """Change the values of one block."""
        ...


NewArray = Callable[[Sequence[int], DTypeLike], BlockArray]
"""Makes an array of a shape and a type, all zeros: `numpy.zeros`, or `Scratch.array`."""


class ScratchArray:
    """An array in a file without a name; it takes room on the disk only where something was written."""

    def __init__(self, folder: Path, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)
        self._folder = folder
        self._bytes = math.prod(self.shape) * self.dtype.itemsize
        with naming(folder):
            self._file = tempfile.TemporaryFile(dir=folder, prefix=TEMPORARY_MARK, buffering=0)  # noqa: SIM115
            self._file.truncate(self._bytes)

    def __getitem__(self, block: Block) -> NDArray[Any]:
        """A copy of one block."""
        spans = self._spans(block)
        values = np.empty([stop - start for start, stop in spans], self.dtype)
        if values.size:
            for slab in _slabs(values.shape, self._strides()):
                within = [(start + part.start, start + part.stop) for (start, _), part in zip(spans, slab, strict=True)]
                values[slab] = self._mapped(within)
        return values

    def __setitem__(self, block: Block, values: Any) -> None:
        """Write one block. Raises StorageError if the disk is full."""
        spans = self._spans(block)
        given = np.broadcast_to(np.asarray(values, self.dtype), [stop - start for start, stop in spans])
        if given.size == 0:
            return
        # Axes at the end that are written from end to end are written at once.
        split = len(spans) - 1
        while split > 0 and spans[split] == (0, self.shape[split]):
            split -= 1
        strides = self._strides()
        base = sum(start * stride for (start, _), stride in zip(spans, strides, strict=True))
        inner = np.zeros(1, np.int64)
        for (start, stop), stride in zip(spans[:split], strides[:split], strict=True):
            inner = (inner[:, None] + np.arange(stop - start) * stride).reshape(-1)
        runs: Iterable[NDArray[Any]] = (
            given.reshape(len(inner), -1) if given.flags.c_contiguous else _runs(given, split)
        )
        with naming(self._folder):
            for offset, run in zip((base + inner).tolist(), runs, strict=True):
                _write_all(self._file.fileno(), memoryview(run.data).cast("B"), offset)

    def _spans(self, block: Block) -> list[tuple[int, int]]:
        """First place and end of a block along each axis."""
        spans = (part.indices(length)[:2] for part, length in zip(block, self.shape, strict=True))
        return [(start, max(start, stop)) for start, stop in spans]

    def _strides(self) -> list[int]:
        """Bytes from one place to the next along each axis."""
        return [math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize for axis in range(len(self.shape))]

    def _mapped(self, spans: Sequence[tuple[int, int]]) -> NDArray[Any]:
        """A block that is not empty, mapped; the mapping ends with the last array that looks at it."""
        strides = self._strides()
        first, last = (
            sum(place * stride for place, stride in zip(corner, strides, strict=True))
            for corner in ([start for start, _ in spans], [stop - 1 for _, stop in spans])
        )
        page = first // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        length = last + self.dtype.itemsize - page
        mapped = mmap.mmap(self._file.fileno(), length, access=mmap.ACCESS_READ, offset=page)
        return np.ndarray([stop - start for start, stop in spans], self.dtype, mapped, first - page, strides)

    @property
    def size(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    def reshaped(self, shape: Sequence[int]) -> "ScratchArray":
        """The same values in the same file, in another shape."""
        other = copy(self)
        other.shape = tuple(shape)
        return other

    def row(self) -> "Row":
        """All values in the order of a scan, to be read in parts."""
        return Row(self)

    def mapped(self) -> NDArray[Any]:
        """The whole as an array that cannot be written to; pages of the file take memory when they are looked at."""
        if self._bytes == 0:
            return np.zeros(self.shape, self.dtype)
        mapped = mmap.mmap(self._file.fileno(), self._bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, self.dtype).reshape(self.shape)

    def close(self) -> None:
        """Give the room back."""
        self._file.close()


class Row:
    """The values of a `ScratchArray` in the order of a scan."""

    def __init__(self, array: ScratchArray) -> None:
        self._array = array
        self.size = array.size

    def __getitem__(self, part: slice, /) -> NDArray[Any]:
        """A copy of the values from one place to another."""
        return self._array.reshaped([self.size])[(part,)]


class Scratch(AbstractContextManager["Scratch"]):
    """The arrays of one piece of work, in files of `folder` that are gone when the work or the process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: list[ScratchArray] = []

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> ScratchArray:
        """A new array of zeros. Raises CannotCreateError or StorageError."""
        self._arrays.append(ScratchArray(self.folder, shape, dtype))
        return self._arrays[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for array in self._arrays:
            array.close()


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _runs(values: NDArray[Any], split: int) -> Iterator[NDArray[Any]]:
    """What lies beyond the first `split` axes, part by part: a copy of all at once would be as large as they are."""
    return (np.ascontiguousarray(values[place]) for place in np.ndindex(values.shape[:split]))


def _slabs(lengths: Sequence[int], strides: Sequence[int]) -> Iterator[Block]:
    """Cut a block, along its first axes, into parts whose bytes lie in `_SLAB` bytes of the file.

    Of the rows of a block far more becomes memory than they hold: around each place that is looked at Linux maps 64
    KiB. All at once, a narrow block of a wide image would take as much as the whole width.
    """
    axis = next(axis for axis, stride in enumerate(strides) if stride <= _SLAB)
    steps = [1] * axis + [_SLAB // strides[axis]] + list(lengths[axis + 1 :])
    return product(
        *[
            [slice(at, min(at + step, length)) for at in range(0, length, step)]
            for length, step in zip(lengths, steps, strict=True)
        ]
    )
