import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from segue.arrays import Space
from segue.errors import CannotCreateError, StorageError
from segue.io.files import (
    TEMPORARY_MARK,
    folder_if_used,
    remove_all_leftovers,
    remove_leftovers,
    temporary_name,
    whole_file,
    write_whole,
)
from segue.io.images import write_labels


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


def fail_to_flush(monkeypatch, code, *, folders):
    """As on a share: fsync raises `code` for folders only, or for files only."""
    flush = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(code, os.strerror(code))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF])
def test_a_file_is_written_where_folders_cannot_be_flushed(tmp_path, monkeypatch, code):
    fail_to_flush(monkeypatch, code, folders=True)
    write_whole(tmp_path / "a", b"123")
    assert (tmp_path / "a").read_bytes() == b"123"
    assert names(tmp_path) == ["a"]


def test_a_file_is_written_into_a_folder_that_cannot_be_opened_for_reading(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, flags, *more, **options):
        if path == tmp_path:  # a folder without the right to read; root could read it all the same
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    write_whole(tmp_path / "a", b"123")
    assert (tmp_path / "a").read_bytes() == b"123"


@pytest.mark.parametrize(
    ("code", "folders", "message"),
    [
        (errno.EIO, True, "a: writing failed"),
        (errno.ENOSPC, True, "a: No space left"),
        (errno.EIO, False, "a: writing failed"),
        (errno.ENOTSUP, False, "a: writing failed"),
    ],
)
def test_a_failing_or_full_disk_and_a_file_that_cannot_be_flushed_are_errors(
    tmp_path, monkeypatch, code, folders, message
):
    fail_to_flush(monkeypatch, code, folders=folders)
    with pytest.raises(StorageError, match=message):
        write_whole(tmp_path / "a", b"123")


@pytest.mark.parametrize("make", ["name too long", "folder in the way", "file as folder"])
def test_a_target_that_cannot_be_created_is_said_to_be_so(tmp_path, make):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = {"name too long": "x" * 300, "folder in the way": "folder", "file as folder": "file/a"}[make]
    with pytest.raises(CannotCreateError, match="cannot be created") as caught:
        write_whole(tmp_path / path, b"1")
    assert caught.value.exit_code == 73
    assert names(tmp_path) == ["file", "folder"]


@pytest.fixture(scope="module")
def dead():
    """The id of a process that has ended."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path, dead):
    old = tmp_path / temporary_name("a.tif", process=dead)
    mine = tmp_path / temporary_name("a.tif", process=os.getpid())
    old.touch()
    mine.touch()
    assert remove_leftovers(tmp_path) == [old]
    assert names(tmp_path) == [mine.name]


def test_where_nobody_else_can_be_writing_all_leftovers_are_removed(tmp_path):
    mine = temporary_name("state", process=os.getpid())
    others = [f"{TEMPORARY_MARK}elsewhere-1-state", f"{TEMPORARY_MARK}9-old"]
    for name in ("state", mine, *others):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == []
    assert [path.name for path in remove_all_leftovers(tmp_path)] == sorted([mine, *others])
    assert names(tmp_path) == ["state"]


def test_only_the_leftovers_of_one_file_are_removed_if_one_is_named(tmp_path, dead):
    mine, *others = (tmp_path / temporary_name(name, process=dead) for name in ("a.tif", "b.tif", "b-a.tif"))
    for path in (mine, *others):
        path.touch()
    assert remove_leftovers(tmp_path, of="a.tif") == [mine]
    assert names(tmp_path) == sorted(path.name for path in others)
    assert remove_leftovers(tmp_path / "nowhere") == []


@pytest.mark.parametrize("other", ["machine", "container"])
def test_what_another_machine_or_container_is_writing_into_the_folder_stays(tmp_path, monkeypatch, dead, other):
    with monkeypatch.context() as elsewhere:
        if other == "machine":
            elsewhere.setattr(os, "uname", lambda: SimpleNamespace(nodename="node-17"))
        else:
            elsewhere.setattr(Path, "readlink", lambda path: Path("pid:[1]"))
        theirs = tmp_path / temporary_name("a.tif", process=dead)  # `dead` is the id of a living process there
    theirs.touch()
    assert remove_leftovers(tmp_path) == []
    assert names(tmp_path) == [theirs.name]


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz", ".png"])
def test_no_file_tells_the_machine_that_wrote_it(tmp_path, monkeypatch, suffix):
    nodes = []
    for node in ("node-17", "node-18"):
        monkeypatch.setattr(os, "uname", lambda node=node: SimpleNamespace(nodename=node))
        nodes.append(temporary_name("", process=1))
        write_labels(tmp_path / node / f"a{suffix}", np.eye(4, dtype=np.uint8), space=Space())
    assert nodes[0] != nodes[1]
    assert not any("node" in name for name in nodes)
    written = [(tmp_path / node / f"a{suffix}").read_bytes() for node in ("node-17", "node-18")]
    assert written[0] == written[1]


def fill_and_fail(folder, *, write):
    with folder_if_used(folder):
        if write:
            write_whole(folder / "a", b"1")
        raise ZeroDivisionError


def test_a_folder_that_stays_empty_is_gone_again_with_the_ones_made_for_it(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(tmp_path / "new" / "deep" / "out", write=False)
    assert names(tmp_path) == []


def test_a_folder_that_was_used_stays_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(tmp_path / "new" / "out", write=True)
    assert names(tmp_path / "new" / "out") == ["a"]


def test_an_empty_folder_that_was_there_before_stays(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(tmp_path / "old" / "out", write=False)
    assert names(tmp_path) == ["old"]
    assert names(tmp_path / "old") == []


def test_folders_made_on_the_way_to_one_that_cannot_be_made_are_gone_again(tmp_path):
    with pytest.raises(CannotCreateError, match="cannot be created"), folder_if_used(tmp_path / "a" / ("x" * 300)):
        pass
    assert names(tmp_path) == []


def test_the_flush_of_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    write_whole(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a: No space left on device, [0-9,]+ bytes are free there; make room"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
