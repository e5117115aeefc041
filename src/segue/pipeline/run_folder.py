"""The folder beside a model where its training keeps plan, history and state; ours alone while we are in it.

cells.segue has cells.training: plan.toml and, while the training is not complete, state.safetensors and the state
before it; afterwards history.jsonl and last.segue. The file lock is there while somebody is at work (or was killed).
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from segue.errors import BusyError, CannotCreateError
from segue.io.files import folder_if_used, naming, remove_all_leftovers, remove_leftovers

PLAN_NAME = "plan.toml"
STATE_NAME = "state.safetensors"
HISTORY_NAME = "history.jsonl"
"""Written when all else is: a training that has a history is complete."""
LAST_NAME = "last.segue"


def run_folder_of(model: Path) -> Path:
    """Where the training of `model` keeps what it needs: cells.segue has cells.training."""
    return model.with_suffix(".training")


@contextmanager
def run_folder(model: Path) -> Iterator[Path]:
    """The folder of the training of `model`, locked until we leave; it vanishes again if nothing was written to it.

    Raises BusyError if somebody else is in it, CannotCreateError if it or the model cannot be created.
    """
    if model.is_dir():
        raise CannotCreateError(f"{model}: there is a folder of that name; choose another name for the model")
    folder = run_folder_of(model)
    with folder_if_used(folder), _locked(folder / "lock"):
        remove_leftovers(model.parent, of=escape(model.name))
        remove_all_leftovers(folder)
        yield folder


def kept_states(folder: Path) -> list[Path]:
    """The states that a training left in its folder: none, the newest, or that and the one before it."""
    return sorted(folder.glob("state*.safetensors"))


def _taken(lock: int) -> bool:
    """Take the lock of an open file; False if somebody else has it. Where a file system has no locks all have it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with naming(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Who leaves removes the file: a lock on a file that is no longer there keeps nobody out.
        if not (_taken(lock) and os.fstat(lock).st_nlink > 0):
            raise BusyError(f"{path.parent}: another training is at work there; wait for it, or write to another --out")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)
