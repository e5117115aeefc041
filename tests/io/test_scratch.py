import os

import numpy as np
import pytest

from segue.errors import CannotCreateError, StorageError
from segue.io.scratch import Scratch


@pytest.mark.parametrize("shape", [(7,), (5, 6), (2, 3, 4), (2, 1, 5, 6), (0, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_written_in_any_block_is_read_in_any_other(tmp_path, shape, dtype):
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
