import subprocess
import sys

import numpy as np
import pytest
import torch

from segue.memory import is_out_of_memory, keep_freed_memory

PROGRAM = """
import numpy as np, resource
from segue.memory import keep_freed_memory
assert keep_freed_memory() is {kept}
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_answer_says_whether_the_system_understood(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_memory_that_was_freed_is_used_again_without_new_page_faults():
    # In a process of its own, because the request holds for the whole process. 64 MiB have 16,384 pages of 4 KiB.
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is kept on Linux alone")
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(kept=True)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000


@pytest.mark.parametrize("allocate", [torch.empty, np.empty], ids=["PyTorch", "NumPy"])
def test_what_is_raised_for_a_petabyte_is_known_as_a_want_of_memory(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate(1 << 50)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("expected scalar type Float but found BFloat16"), False),
        (RuntimeError("unsupported memory format option ChannelsLast"), False),
        (OSError("out of memory"), False),
    ],
)
def test_only_a_want_of_memory_is_taken_for_one(error, short):
    assert is_out_of_memory(error) == short
