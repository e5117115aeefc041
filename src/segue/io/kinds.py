"""What a file is, told by its first bytes and never by its name."""

import errno
import os
from pathlib import Path

from segue.errors import ImageError, MissingInputError


def first_bytes(path: Path) -> bytes:
    """The beginning of a file. Raises MissingInputError or ImageError if there is none."""
    try:
        if path.is_dir():
            raise ImageError(f"{path}: it is a folder, not an image file; give one of the files in it")
        with path.open("rb") as stream:
            head = stream.read(512)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingInputError(f"{path}: there is no such file") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        kind = MissingInputError if error.errno in (errno.ELOOP, errno.ENAMETOOLONG) else ImageError
        raise kind(f"{path}: it cannot be opened ({reason}); check the path and the permissions") from error
    except ValueError as error:  # a name with a zero byte
        raise MissingInputError(f"{str(path)!r}: this is not a possible file name") from error
    if not head:
        raise ImageError(f"{path}: it holds 0 bytes; copy or export it again")
    return head


def raster_kind(head: bytes) -> str:
    """The format of a file that begins with `head`, if Pillow reads it; else ""."""
    for magic, kind in (
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"BM", "BMP"),
        (b"GIF8", "GIF"),
    ):
        if head.startswith(magic):
            return kind
    return ""


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with `head` is a TIFF, classic or big, of either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


_FOREIGN = (
    *((b"\x80\x04", "a Python pickle"), (b"\x80\x05", "a Python pickle"), (b"\x93NUMPY", "a NumPy array")),
    *((b"\x89HDF", "an HDF5 file"), (b"PK\x03\x04", "a ZIP archive"), (b"%PDF", "a PDF document")),
    *(
        (b"ZISRAWFILE", "a Zeiss CZI file"),
        (b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
        (b"RIFF", "a WebP or AVI file"),
    ),
    *((b"\0\0\0\x0cjP", "a JPEG 2000 file"), (b"<", "text (XML, SVG or HTML)"), (b"NRRD", "an NRRD file")),
)


def guess(head: bytes) -> str:
    """What a file that Segue does not read seems to be, for people."""
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return f"it looks like {name}"
    if head[128:132] == b"DICM":
        return "it looks like a DICOM file"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return "it looks like text"
    return f"it begins with the bytes {head[:8].hex(' ')}"
