"""Named arrays and a JSON header in one safetensors file, with a checksum over every byte of it.

safetensors itself notices a wrong length but not a flipped bit; here 100 % of single flips are found, because the
SHA-256 covers the whole file with the 64 digits of the checksum itself taken as zeros. There is no pickle in it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import MissingInputError, ModelFileError
from segue.io.files import write_whole

NO_DIGITS = "0" * 64
LARGEST_FILE = 16 * 2**30
"""Larger files are refused before anything of them is read: no U-Net needs 16 GiB."""


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write `tensors` and the JSON-able `header` to `path`, whole or not at all.

    Equal content gives equal bytes. Raises CannotCreateError or StorageError.
    """
    from safetensors.numpy import save

    text = json.dumps({"header": header, "sha256": NO_DIGITS}, sort_keys=True, allow_nan=False)
    arrays = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    blank = save(arrays, metadata={"segue": text})
    place = _place_of_digits(blank)
    assert place is not None
    digits = _checksum(blank, place)
    write_whole(path, b"".join((memoryview(blank)[:place], digits, memoryview(blank)[place + len(digits) :])))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the header of a file that `write_tensors` wrote, after its checksum has been verified.

    Raises MissingInputError if there is no such file, ModelFileError if it is not one of ours or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = _read(path)
    place = _place_of_digits(data)
    if place is None:
        raise ModelFileError(f"{path}: {_what_it_is(data)}, not a file that Segue wrote; give it a .segue file")
    if _checksum(data, place) != data[place : place + len(NO_DIGITS)]:
        raise ModelFileError(
            f"{path}: the file is damaged (its SHA-256 is not the one written in it); copy it again from its source"
        )
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        header = json.loads(metadata["segue"])["header"]
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: the file cannot be understood ({error}); copy it again") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: the header is not an object; this file was not written by Segue")
    return tensors, header


def _read(path: Path) -> bytes:
    if not path.exists():
        raise MissingInputError(f"{path}: there is no such file; check the path")
    if not path.is_file():
        raise ModelFileError(f"{path}: this is not a file; give it a .segue file")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ModelFileError(f"{path}: {size:,} bytes are too many for a model; at most {LARGEST_FILE:,} are read")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _place_of_digits(data: bytes) -> int | None:
    """Where the digits of the checksum begin: inside the JSON string of the metadata, hence the escaped quotes."""
    length = int.from_bytes(data[:8], "little")
    mark = rb"\"sha256\": \""
    # The header of ours is written with sorted keys, so the checksum is the last thing in the string.
    found = data.rfind(mark, 8, 8 + min(length, len(data)))
    place = found + len(mark)
    return place if found >= 0 and len(data) >= place + len(NO_DIGITS) else None


def _checksum(data: bytes, place: int) -> bytes:
    """The digits that belong at `place`: those of the data with zeros there. No copy of a model is made for it."""
    parts = memoryview(data)[:place], NO_DIGITS.encode(), memoryview(data)[place + len(NO_DIGITS) :]
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    return checksum.hexdigest().encode()


def _what_it_is(data: bytes) -> str:
    if not data:
        return "the file holds 0 bytes"
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "this is a Python pickle, which is never loaded because it can run any program"
    if data[:4] == b"PK\x03\x04":
        return "this is a zip archive (perhaps a PyTorch file), which is never loaded because it can hold a pickle"
    return "this is something else"
