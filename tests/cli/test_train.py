import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from segue.io.files import TEMPORARY_MARK, temporary_name
from segue.io.images import read_image, write_image
from segue.io.tensors import read_tensors


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def weights(model):
    return {name: array.tobytes() for name, array in read_tensors(model)[0].items()}


@pytest.fixture
def train(world, tmp_path):
    """The words of a short training into the folder of the test."""

    def words(*options, steps=6, out="m.segue"):
        return ["train", world.data, "--out", tmp_path / out, "--steps", steps, "--config", world.plan, *options]

    return words


def test_a_training_leaves_the_model_and_beside_it_plan_history_and_last_weights(train, segue, tmp_path):
    answer = segue(*train())
    assert answer.code == 0
    assert names(tmp_path) == ["m.segue", "m.training"]
    assert names(tmp_path / "m.training") == ["history.jsonl", "last.segue", "plan.toml"]
    assert answer.out.startswith(f"{tmp_path / 'm.segue'}: 6 steps in ")
    assert "held-out images, with 95 % intervals over images:" in answer.out
    assert "6 to learn from, 2 held out" in answer.err
    history = [json.loads(line) for line in (tmp_path / "m.training" / "history.jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [3, 6]
    assert history == read_tensors(tmp_path / "m.segue")[1]["model"]["training"]["history"]


def test_quiet_is_quiet_and_json_stands_alone(train, segue, tmp_path):
    answer = segue(*train("--quiet", "--json"))
    assert (answer.code, answer.err) == (0, "")
    plain = json.loads(answer.out)
    assert plain["model"] == str(tmp_path / "m.segue")
    assert plain["steps"] == 6
    assert plain["validation"]["images"] == 2


def test_the_same_words_give_the_same_weights_and_another_seed_gives_others(world, train, segue, tmp_path):
    for out in ("a.segue", "b.segue"):
        assert segue(*train(out=out)).code == 0
    assert weights(tmp_path / "a.segue") == weights(tmp_path / "b.segue")
    (tmp_path / "plan.toml").write_text(world.plan.read_text() + "seed = 1\n")
    other = [*train(out="c.segue")]
    other[other.index(world.plan)] = tmp_path / "plan.toml"
    assert segue(*other).code == 0
    assert weights(tmp_path / "c.segue") != weights(tmp_path / "a.segue")


def test_the_plan_that_was_kept_gives_the_same_weights_again(train, world, segue, tmp_path):
    assert segue(*train(out="a.segue")).code == 0
    again = [*train(out="b.segue")]
    again[again.index(world.plan)] = tmp_path / "a.training" / "plan.toml"
    assert segue(*again).code == 0
    assert weights(tmp_path / "a.segue") == weights(tmp_path / "b.segue")


def test_without_validation_all_images_are_learnt_from(train, segue):
    answer = segue(*train("--no-validation"))
    assert answer.code == 0
    assert "8 to learn from, 0 held out" in answer.err
    assert "held-out images, with" not in answer.out


def brighter(data, folder):
    """A copy of a data set whose images are others: each a gray value brighter."""
    shutil.copytree(data, folder)
    for path in (folder / "images").iterdir():
        image = read_image(path)
        write_image(path, replace(image, pixels=image.pixels + 1))


def test_a_data_set_to_judge_with_is_judged_with(train, world, segue, tmp_path):
    brighter(world.data, tmp_path / "val")
    answer = segue(*train("--val", tmp_path / "val", "--json"))
    assert answer.code == 0
    assert "8 to learn from, 8 held out" in answer.err
    assert re.search(r"8 of 8 look like images that are learnt from \((\S+) like the learnt \1, ", answer.err)
    assert json.loads(answer.out)["validation"]["images"] == 8


def test_masks_to_judge_with_mean_what_those_to_learn_from_mean_unless_they_say_otherwise(
    train, world, segue, tmp_path
):
    brighter(world.data, tmp_path / "val")
    (tmp_path / "val" / "dataset.toml").unlink()
    answer = segue(*train("--val", tmp_path / "val", "--json", "--quiet"))
    assert answer.code == 0
    assert "average_precision" in json.loads(answer.out)["validation"]["metrics"]


def test_an_image_that_is_learnt_from_cannot_judge(train, world, segue, tmp_path):
    brighter(world.data, tmp_path / "val")
    taken = sorted((world.data / "images").iterdir())[3]
    shutil.copy(taken, tmp_path / "val" / "images" / taken.name)
    answer = segue(*train("--val", tmp_path / "val"))
    assert answer.code == 65
    assert f"{taken.name}: this image judges the training and is learnt from too, as {taken.stem}" in answer.err
    assert "leave --val out" in answer.err
    assert not (tmp_path / "m.segue").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_state_and_resume_ends_in_the_same_weights(
    number, code, train, segue, start, wait_for, tmp_path
):
    command = train("--quiet", steps=150)
    process = start(*command)
    state = tmp_path / "m.training" / "state.safetensors"
    wait_for(state.exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert err == f"segue: the training of {tmp_path / 'm.segue'} was stopped; its state is kept, go on with --resume\n"
    assert names(tmp_path) == ["m.training"]
    assert "lock" not in names(tmp_path / "m.training")
    assert 0 < read_tensors(state)[1]["step"] < 150
    assert segue(*command, "--resume").code == 0
    assert segue(*train("--quiet", steps=150, out="whole.segue")).code == 0
    assert weights(tmp_path / "m.segue") == weights(tmp_path / "whole.segue")


def test_the_lock_of_a_process_that_was_killed_keeps_nobody_out(train, segue, tmp_path):
    (tmp_path / "m.training").mkdir()
    (tmp_path / "m.training" / "lock").touch()
    assert segue(*train("--quiet")).code == 0
    assert "lock" not in names(tmp_path / "m.training")


def test_while_another_process_trains_there_it_is_busy_and_nothing_of_it_is_touched(train, segue, tmp_path):
    folder = tmp_path / "m.training"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"of the other")
    program = (
        "import fcntl, os, sys; lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(lock, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        answer = segue(*train("--quiet"))
        assert (answer.code, answer.out) == (75, "")
        assert answer.err.startswith(f"segue: {folder}: another training is at work there; ")
        assert (folder / "state.safetensors").read_bytes() == b"of the other"
        other.kill()
    assert segue(*train("--quiet")).code == 0


def test_a_training_that_cannot_begin_leaves_the_state_of_an_earlier_one(train, world, segue, tmp_path):
    folder = tmp_path / "m.training"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"hours of work")
    bad = train("--quiet")
    (tmp_path / "empty").mkdir()
    bad[1] = tmp_path / "empty"
    assert segue(*bad).code == 65
    (tmp_path / "data" / "images").mkdir(parents=True)
    shutil.copytree(world.data / "masks", tmp_path / "data" / "masks")
    for path in (world.data / "images").iterdir():
        (tmp_path / "data" / "images" / path.name).write_bytes(b"II*\0")
    bad[1] = tmp_path / "data"
    assert segue(*bad).code == 65
    assert (folder / "state.safetensors").read_bytes() == b"hours of work"


def test_leftovers_of_a_training_that_was_killed_while_it_wrote_are_removed(train, segue, tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / "m.training").mkdir()
    for place in (tmp_path / "m.segue", tmp_path / "m.training" / "state.safetensors"):
        place.with_name(temporary_name(place.name, process=int(dead.stdout))).write_bytes(b"half")
    assert segue(*train("--quiet")).code == 0
    assert [path for path in tmp_path.rglob("*") if TEMPORARY_MARK in path.name] == []


@pytest.mark.parametrize("good", range(6))
def test_a_full_disk_at_any_write_is_74_and_the_training_can_go_on_afterwards(
    good, train, segue, tmp_path, monkeypatch
):
    """The flush fails once `good` flushes went well: plan, states, model, last weights, history (two each)."""
    done = []
    flush = os.fsync

    def full(descriptor):
        done.append(1)
        if len(done) > 2 * good:
            raise OSError(errno.ENOSPC, "full")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    answer = segue(*train("--quiet"))
    monkeypatch.undo()
    if len(done) <= 2 * good:  # fewer writes than that: it was all well
        assert answer.code == 0
        return
    assert (answer.code, answer.out) == (74, "")
    assert "No space left on device, " in answer.err
    assert answer.err.count("\n") == 1
    assert [path for path in tmp_path.rglob("*") if TEMPORARY_MARK in path.name] == []
    for path in [*tmp_path.rglob("*.segue"), *tmp_path.rglob("*.safetensors")]:
        read_tensors(path)  # whole
    if good == 0:
        assert names(tmp_path) == []
    assert segue(*train("--quiet", "--resume")).code == 0
    assert segue(*train("--quiet", out="whole.segue")).code == 0
    assert weights(tmp_path / "m.segue") == weights(tmp_path / "whole.segue")


def test_a_file_that_may_not_grow_is_74_and_leaves_no_half_model(train, start, tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))"
    process = start(*train("--quiet"), before=limited)
    out, err = process.communicate()
    assert (process.returncode, out) == (74, "")
    assert "File too large" in err
    assert err.count("\n") == 1
    assert names(tmp_path) == ["m.training"]
    assert names(tmp_path / "m.training") == ["plan.toml"]


def test_a_plan_that_is_followed_is_shown_with_its_settings(train, segue):
    told = segue(*train()).err
    facts = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in told.splitlines() if "  " in line}
    assert facts["network"].startswith("spatial_axes 2, channels 1, outputs 3, width 4")
    assert facts["batches"].startswith("patch [")
    assert "learning_rate 0.002" in facts["train"]
    assert "steps 6" in facts["train"]
    assert facts["length"] == "6 steps"
