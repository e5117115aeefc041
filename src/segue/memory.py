"""Memory: what one step frees is kept for the next, and errors that say there is not enough are known."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Parameters of glibc's mallopt, from its manual page."""
_SHORT = ("allocate memory", "enough memory", "out of memory", "bad_alloc")
"""In what PyTorch says of memory that it does not get: on processors, and by other libraries; on graphics cards."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory: Python's own, or one of PyTorch's RuntimeErrors."""
    if isinstance(error, RuntimeError):
        return any(words in str(error).lower() for words in _SHORT)
    return isinstance(error, MemoryError)


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory instead of giving it back; True if it understood.

    Without this glibc maps every large tensor anew at every step and the system clears each page again: half of
    the page faults of a training step were these. Threads share one heap, so that one takes what another has freed.
    The process keeps its peak memory until it ends. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 256 << 20), (_ARENA_MAX, 1))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
