"""Is a TIFF file what it claims to be? Answered from its directories alone, before a pixel is decoded.

tifffile fills segments that are missing with zeros and follows chains of directories as far as they lead.
Zeros look like background, so here a missing or cut segment is an error.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from segue.io.decoded import DecodeError

MAX_PAGES = 65_536
"""Longest chain of image directories that is followed."""


def check_directories(path: Path) -> None:
    """Follow the chain of image directories and refuse loops, ends outside of the file and endless chains.

    Raises DecodeError; the first bytes must be those of a TIFF.
    """
    length = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = len(head) > 3 and head[2:4] in (b"+\0", b"\0+")
        if len(head) < (16 if big else 8):
            raise DecodeError(f"it is cut off: {length} bytes are not even the header of a TIFF")
        pointer = head[8:16] if big else head[4:8]
        offset = int(struct.unpack(order + ("Q" if big else "I"), pointer)[0])
        if offset == 0:
            raise DecodeError("it is a TIFF without any page")
        _follow(stream, offset, order=order, big=big, length=length)


def check_segments(pages: Iterable[Any], *, length: int) -> None:
    """Make sure that every strip or tile of `pages` is there and lies inside of the file of `length` bytes.

    Raises DecodeError.
    """
    for number, page in enumerate(pages):
        if page is None:
            raise DecodeError(f"plane {number} is missing or kept in another file; save all planes in one file")
        expected = _segments(page.keyframe)
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) < expected or len(counts) < expected:
            raise DecodeError(f"page {page.index} lists {min(len(offsets), len(counts))} of its {expected} pieces")
        for offset, count in zip(offsets[:expected], counts[:expected], strict=True):
            if offset <= 0 or count <= 0:
                raise DecodeError(
                    f"page {page.index} has pieces without data, which would read as zeros; write the file "
                    f"again with every strip or tile present"
                )
            if offset + count > length:
                raise DecodeError(
                    f"it is cut off: page {page.index} ends at byte {offset + count:,} of a file of {length:,} bytes"
                )


def check_contiguous(offset: int, size: int, *, length: int) -> None:
    """Make sure that a block of `size` bytes at `offset` lies inside of the file. Raises DecodeError."""
    if offset <= 0 or offset + size > length:
        raise DecodeError(f"it is cut off: its pixels end at byte {offset + size:,} of a file of {length:,} bytes")


def _segments(page: Any) -> int:
    count = 1
    for pieces in page.chunked:
        count *= int(pieces)
    return count


_VALUE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value of each type a tag can have."""
_STANDARD_TAGS = range(254, 400)
"""The tags of the TIFF standard. Broken private tags beyond do no harm, but a page that loses one of these
is read wrongly or dropped without a word."""


def _follow(stream: BinaryIO, offset: int, *, order: str, big: bool, length: int) -> None:
    count_form, entry_form, next_form = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    entry_size = struct.calcsize(order + entry_form)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise DecodeError(f"its directories run in a circle (back to byte {offset:,})")
        seen.add(offset)
        if len(seen) > MAX_PAGES:
            raise DecodeError(f"it has more than {MAX_PAGES:,} pages; split it")
        entries = _number(stream, offset, order + count_form, length=length)
        after = offset + struct.calcsize(order + count_form) + entries * entry_size
        if entries == 0 or after > length:
            raise DecodeError(f"it is cut off or damaged: the directory at byte {offset:,} claims {entries:,} entries")
        for tag, kind, count, place in struct.iter_unpack(order + entry_form, stream.read(entries * entry_size)):
            size = _VALUE_SIZES.get(kind, 0) * count
            if size > (8 if big else 4) and place + size > length and tag in _STANDARD_TAGS:
                raise DecodeError(
                    f"it is cut off or damaged: tag {tag} lies at byte {place:,} of a file of {length:,} bytes"
                )
        offset = _number(stream, after, order + next_form, length=length)


def _number(stream: BinaryIO, offset: int, form: str, *, length: int) -> int:
    size = struct.calcsize(form)
    if offset + size > length:
        raise DecodeError(f"it is cut off: a directory is announced at byte {offset:,} of a file of {length:,} bytes")
    stream.seek(offset)
    return int(struct.unpack(form, stream.read(size))[0])
