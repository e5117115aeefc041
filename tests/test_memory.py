import subprocess
import sys

import pytest

from segue.memory import keep_freed_memory

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
