"""Files appear whole or not at all: a temporary file beside the target, fsync, rename.

A process killed at any moment leaves the old file or the new one, never half of one; what it may leave
besides is a temporary file, which `remove_leftovers` finds by its name.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from segue.errors import CannotCreateError, SegueError, StorageError

TEMPORARY_MARK = ".segue-partial-"
"""How the name of every temporary file begins; the rest says whose it is, and the target's name."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; on leaving, its file becomes `path` in one step.

    The caller creates and closes the file. If the body raises, the temporary file is removed and `path` is as
    before.
    The temporary name keeps the suffix of `path`, because many writers choose the format by it.

    Raises CannotCreateError if the folder cannot be written to, StorageError if writing fails (a full disk).
    """
    make_folder(path.parent)
    temporary = path.with_name(temporary_name(path.name, process=os.getpid()))
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise _as_segue_error(error, path) from error
    finally:
        with suppress(OSError):  # a name too long to be created cannot be removed either; the first error counts
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises as `whole_file` does."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def make_folder(path: Path) -> None:
    """Create the folder `path` and what is above it. Raises CannotCreateError."""
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def folder_if_used(path: Path) -> Iterator[None]:
    """Create the folder `path` and what is above it; on leaving, those of them that stayed empty are removed again.

    Folders that were there before stay. Raises CannotCreateError.
    """
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        for folder in new:
            with suppress(OSError):  # it was not made, or it is not empty
                folder.rmdir()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into a CannotCreateError or StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        raise _as_segue_error(error, path) from error


def temporary_name(name: str, *, process: int) -> str:
    """What the temporary file is called that `process` of this machine writes before it becomes `name`."""
    return f"{TEMPORARY_MARK}{_whose_processes()}-{process}-{name}"


def remove_leftovers(folder: Path, *, of: str = "*") -> list[Path]:
    """Remove the temporary files that killed processes left in `folder`; returns what was removed.

    `of` is the name of the file that they were to become, or a pattern of it. A temporary file of a process that
    still runs is left alone, and so is one of another machine or container, of which nobody here knows whether it runs.
    """
    removed = []
    for path in sorted(folder.glob(f"{TEMPORARY_MARK}{_whose_processes()}-*")):
        owner, _, name = path.name.removeprefix(f"{TEMPORARY_MARK}{_whose_processes()}-").partition("-")
        if owner.isdigit() and fnmatchcase(name, of) and not _is_running(int(owner)):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def remove_all_leftovers(folder: Path) -> list[Path]:
    """The same for a folder that is ours alone, whoever left them: nobody else can be writing there."""
    removed = sorted(folder.glob(f"{TEMPORARY_MARK}*"))
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


def _whose_processes() -> str:
    """Tells the machines, and the containers of one machine, whose process ids count anew: a hash of their names."""
    space = ""
    with suppress(OSError):  # only Linux has it
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{os.uname().nodename} {space}".encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    """Write the names in a folder to the disk, as far as its file system can.

    Some shares (SMB, FUSE, VirtualBox) refuse it, and a folder may be closed to readers: the file itself is on the disk
    by then, so only a failing or full disk is an error.
    """
    try:
        _flush_to_disk(path)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise


def _as_segue_error(error: OSError, path: Path) -> SegueError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = _free_bytes(path)
        return StorageError(f"{path}: {reason}, {free:,} bytes are free there; make room or write elsewhere")
    if error.errno in _NOT_THERE:
        return CannotCreateError(f"{path}: cannot be created ({reason}); choose a place you may write to")
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
        return CannotCreateError(f"{path}: cannot be created ({reason}); choose another name")
    return StorageError(f"{path}: writing failed ({reason}); check the disk and try again")


_NOT_THERE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT),  # ENOENT: a folder that even its owner cannot make
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
)
"""What the system says of a place where nothing can be created."""


def _free_bytes(path: Path) -> int:
    folder = path
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
