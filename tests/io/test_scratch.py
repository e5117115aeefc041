import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

from segue.errors import CannotCreateError, StorageError
from segue.io import scratch as module
from segue.io.scratch import Scratch


@pytest.mark.parametrize("shape", [(7,), (5, 6), (2, 3, 4), (2, 1, 5, 6), (0, 4), (3, 7, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("slab", [8, 50, module._SLAB])
def test_what_is_written_in_any_block_is_read_in_any_other(tmp_path, monkeypatch, shape, dtype, slab):
    monkeypatch.setattr(module, "_SLAB", slab)
    rng = np.random.default_rng(0)
    expected = np.zeros(shape, dtype)
    with Scratch(tmp_path) as scratch:
        array = scratch.array(shape, dtype)
        assert (array[tuple(slice(None) for _ in shape)] == 0).all()
        for _ in range(30):
            ends = [sorted(rng.integers(0, length + 1, 2)) for length in shape]
            block = tuple(slice(int(a), int(b)) for a, b in ends)
            values = rng.integers(0, 99, expected[block].shape)
            expected[block] = array[block] = values
            assert (array[tuple(slice(None) for _ in shape)] == expected).all()
            other = tuple(slice(int(a) // 2, int(b)) for a, b in ends)
            assert (array[other] == expected[other]).all()
        assert (array.mapped() == expected).all()
        assert (array.row()[2:5] == expected.reshape(-1)[2:5]).all()
        assert (array.reshaped([expected.size])[(slice(0, 3),)] == expected.reshape(-1)[:3]).all()


def test_a_number_fills_a_block(tmp_path):
    with Scratch(tmp_path) as scratch:
        array = scratch.array((4, 4), np.uint32)
        array[1:3, 1:3] = 7
        assert array.mapped().sum() == 28


def test_nothing_is_left_and_nothing_is_seen_in_the_folder(tmp_path):
    with Scratch(tmp_path) as scratch:
        scratch.array((100, 100), np.float32)[0:100, 0:100] = 1
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_room_is_taken_only_for_what_was_written(tmp_path):
    with Scratch(tmp_path) as scratch:
        array = scratch.array((1 << 14, 1 << 14), np.float32)  # 1 GiB
        array[5:6, 5:6] = 1
        blocks = os.fstat(array._file.fileno()).st_blocks
        assert blocks * 512 < 1 << 20


READ = """
import sys
from pathlib import Path
import numpy as np
from segue.io.scratch import Scratch

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

with Scratch(Path(sys.argv[1])) as scratch:
    array = scratch.array((2, 1024, 8192), np.float32)  # 64 MiB
    for row in range(0, 1024, 64):
        array[0:2, row : row + 64, 0:8192] = 1
    before = peak()
    assert (array[0:2, 0:1024, 512:1024] == 1).all()  # 4 MiB
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux tells it")
def test_a_narrow_block_of_a_wide_array_takes_little_more_memory_than_it_holds(tmp_path):
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 28 << 20  # the slab of 16 MiB that is mapped, and the copy


@pytest.mark.parametrize("shape", [(100, 200), (3, 70, 50), (20_000,)])
def test_no_more_than_a_slab_and_a_page_is_mapped_at_a_time(tmp_path, monkeypatch, shape):
    mapped, usual = [], mmap.mmap

    def noted(file, length, **settings):
        mapped.append(length)
        return usual(file, length, **settings)

    monkeypatch.setattr(module, "_SLAB", 2000)
    monkeypatch.setattr(mmap, "mmap", noted)
    with Scratch(tmp_path) as scratch:
        assert (scratch.array(shape, np.float32)[tuple(slice(1, length) for length in shape)] == 0).all()
    assert len(mapped) > 10
    assert max(mapped) <= 2000 + mmap.ALLOCATIONGRANULARITY


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(CannotCreateError, match="nowhere"):
        Scratch(tmp_path / "nowhere").array((2, 2), np.uint8)


def test_a_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with Scratch(tmp_path) as scratch:
        array = scratch.array((4, 4), np.uint8)
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match=r"No space left on device, .* bytes are free"):
            array[0:2, 0:2] = 1
