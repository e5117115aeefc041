import errno
import os
import subprocess
import sys

import pytest

from segue.errors import CannotCreateError, StorageError
from segue.io.files import TEMPORARY_MARK, remove_leftovers, whole_file, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_and_fail(path, error):
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_a_file_appears_whole_in_folders_made_for_it(tmp_path):
    path = tmp_path / "new" / "folder" / "a.bin"
    write_whole(path, b"123")
    assert path.read_bytes() == b"123"
    assert names(path.parent) == ["a.bin"]


def test_the_temporary_file_keeps_the_suffix_and_the_target_waits(tmp_path):
    with whole_file(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_bytes(b"x")
        assert not (tmp_path / "a.nii.gz").exists()
    assert names(tmp_path) == ["a.nii.gz"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a", ZeroDivisionError())
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_a_storage_error_that_names_the_path_and_the_free_bytes(tmp_path):
    with pytest.raises(StorageError, match=r"a: No space left on device, [0-9,]+ bytes are free") as caught:
        write_and_fail(tmp_path / "a", OSError(errno.ENOSPC, "full"))
    assert caught.value.exit_code == 74
    assert names(tmp_path) == []


@pytest.mark.parametrize("make", ["name too long", "folder in the way", "file as folder"])
def test_a_target_that_cannot_be_created_is_said_to_be_so(tmp_path, make):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = {"name too long": "x" * 300, "folder in the way": "folder", "file as folder": "file/a"}[make]
    with pytest.raises(CannotCreateError, match="cannot be created") as caught:
        write_whole(tmp_path / path, b"1")
    assert caught.value.exit_code == 73
    assert names(tmp_path) == ["file", "folder"]


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
    old = tmp_path / f"{TEMPORARY_MARK}{int(dead.stdout)}-a.tif"
    mine = tmp_path / f"{TEMPORARY_MARK}{os.getpid()}-a.tif"
    old.touch()
    mine.touch()
    assert remove_leftovers(tmp_path) == [old]
    assert names(tmp_path) == [mine.name]
