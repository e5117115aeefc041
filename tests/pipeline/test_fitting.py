import errno
import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.arrays import Image, Space
from segue.config import plan_from_toml
from segue.errors import BusyError, DatasetError, TrainingError, TrainingInterruptedError, UsageError
from segue.fingerprint import examine
from segue.io.datasets import find_pairs
from segue.io.images import read_image, write_image, write_labels
from segue.io.labels import read_mask
from segue.io.tensors import read_tensors, write_tensors
from segue.model.file import read_model
from segue.objects.decode import DecodeConfig
from segue.pipeline.fitting import fit
from segue.pipeline.judges import OWN_SET
from segue.pipeline.means import of_some_length
from segue.pipeline.run_folder import run_folder, run_folder_of
from segue.pipeline.wishes import FitConfig, FitObserver
from segue.plan import make_plan
from segue.train.loop import Observer
from segue.train.settings import DEFAULT_BUDGET, BatchConfig
from segue.trained import load


def weights_of(model):
    return model._network.state_dict()


def same_weights(first, second):
    one, other = weights_of(first), weights_of(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_is_judged_on_images_it_has_not_seen(cell_model, cells, tiny_plan):
    training = cell_model.header.training
    assert training["steps"] == 30
    # 15 % of eight images
    assert training["validation"]["images"] == 1
    assert training["validation"]["left_out"] == 0
    assert 0 <= training["validation"]["metrics"]["average_precision"]["mean"] <= 1
    assert training["history"][-1]["step"] == 30
    assert training["plan"]["network"]["width"] == 4
    assert training["fingerprint"]["images"] == 8
    ran_on = {"processes": 1, "threads": torch.get_num_threads(), "precision": "fp32"}
    assert {name: training["machine"][name] for name in ran_on} == ran_on
    assert training["machine"]["device"].startswith("processor (")
    assert cell_model.header.kind == "objects"
    assert cell_model.header.auxiliary == ("distance",)
    assert cell_model.classes == ("background", "cell")
    assert cell_model.decoding == DecodeConfig(**cell_model.header.decoding)


def test_images_that_judge_teach_nothing(cells, tiny_plan, tmp_path):
    plan = tiny_plan(cells, validation_fraction=0.4)
    data = shutil.copytree(cells, tmp_path / "data")
    last = []
    for out in (tmp_path / "one.segue", tmp_path / "other.segue"):
        model = fit(data, config=FitConfig(steps=3, plan=plan, out=out))
        last.append(read_model(out.with_suffix(".training") / "last.segue").network.state_dict())
        held_out = [row["name"] for row in model.header.training["validation"]["per_image"]]
        for name in held_out:
            path = data / "images" / f"{name}.tif"
            image = read_image(path)
            image.pixels[:] = image.pixels[:, ::-1].copy()
            write_image(path, image)
    assert len(held_out) == 3
    assert all((last[0][name] == last[1][name]).all() for name in last[0])


def test_the_summary_says_which_images_were_held_out(cells, tiny_plan):
    told = []
    model = fit(
        cells,
        config=FitConfig(steps=1, plan=tiny_plan(cells, validation_fraction=0.4)),
        observer=FitObserver(on_plan=lambda plan, train, held: told.append((train, held))),
    )
    assert told == [(5, 3)]
    assert len({row["name"] for row in model.header.training["validation"]["per_image"]}) == 3


def test_the_same_number_of_steps_gives_the_same_weights_to_the_bit(cells, tiny_plan):
    config = FitConfig(steps=3, plan=tiny_plan(cells))
    first, again = fit(cells, config=config), fit(cells, config=config)
    assert same_weights(first, again)
    plan = tiny_plan(cells)
    other = fit(cells, config=FitConfig(steps=3, plan=replace(plan, train=replace(plan.train, seed=1))))
    assert not same_weights(first, other)


def test_what_is_written_is_what_is_returned_and_what_it_takes_to_do_it_again(cells, tiny_plan, tmp_path):
    out = tmp_path / "deep" / "m.segue"
    model = fit(cells, config=FitConfig(steps=2, plan=tiny_plan(cells), out=out))
    assert same_weights(load(out), model)
    folder = run_folder_of(out)
    assert sorted(path.name for path in folder.iterdir()) == ["history.jsonl", "last.segue", "plan.toml"]
    plan = plan_from_toml((folder / "plan.toml").read_text(), source="plan.toml")
    assert same_weights(fit(cells, config=FitConfig(plan=plan)), model)
    lines = (folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == model.header.training["history"]
    header = load(out).header
    assert load(folder / "last.segue").header == header.model_copy(
        update={"training": header.training | {"validation": {}}}
    )


def test_without_an_output_nothing_is_written(cells, tiny_plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(cells, config=FitConfig(steps=1, plan=tiny_plan(cells)))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_budget_ends_in_time_with_the_schedule_completed(cells, tiny_plan):
    records = []
    plan = tiny_plan(cells)
    started = time.monotonic()
    model = fit(
        cells,
        config=FitConfig(budget=9.0, plan=plan),
        observer=FitObserver(loop=Observer(on_step=lambda record, left: records.append(record))),
    )
    assert time.monotonic() - started < 9.0 + 3.0  # this machine may be busy
    assert len(records) == model.header.training["steps"] > 3
    assert records[-1]["progress"] > 0.9
    assert records[-1]["rate"] < 0.1 * plan.train.learning_rate
    assert model.header.training["history"][-1]["progress"] == 1.0
    assert model.header.training["validation"]["images"] == 1


def test_a_budget_that_is_over_before_the_first_step_gives_no_model(cells, tiny_plan, tmp_path):
    out = tmp_path / "m.segue"
    with pytest.raises(TrainingError, match=r"over before the first step: .* give a longer --budget"):
        fit(cells, config=FitConfig(budget=0.001, plan=tiny_plan(cells), out=out))
    assert not out.exists()


def test_images_of_a_group_stay_on_one_side(tmp_path, write_cells, tiny_plan):
    # Seven groups of two images; the names are a_0, a_1, b_0, b_1, ...
    description = 'labels = "objects"\ngroup = "(.)_"\n'
    for place, group in enumerate("abcdefg"):
        write_cells(tmp_path, count=2, first=2 * place, side=48, name=group + "_{}", description=description)
    model = fit(tmp_path, config=FitConfig(steps=1, plan=tiny_plan(tmp_path, validation_fraction=0.3)))
    held_out = sorted(row["name"] for row in model.header.training["validation"]["per_image"])
    assert held_out
    assert all(f"{name[0]}_{number}" in held_out for name in held_out for number in (int(name[2:]) ^ 1,))


def test_few_images_are_split_through_the_images(tmp_path, write_cells, tiny_plan):
    write_cells(tmp_path, count=2, side=128)
    model = fit(tmp_path, config=FitConfig(steps=1, plan=tiny_plan(tmp_path)))
    assert model.header.training["validation"]["images"] == 2


def test_where_the_images_are_too_few_and_small_to_be_cut_the_plan_says_that_nobody_judges(
    tmp_path, write_cells, tiny_plan
):
    write_cells(tmp_path, count=1, side=48)
    told = []
    fit(
        tmp_path,
        config=FitConfig(steps=1, plan=tiny_plan(tmp_path)),
        observer=FitObserver(
            on_plan=lambda plan, *numbers: told.append((*numbers, plan.reasons["validation_fraction"]))
        ),
    )
    ((train, held, why),) = told
    assert (train, held) == (1, 0)
    assert why.startswith("nothing is held out: there are few images")


def test_a_data_set_of_ones_own_judges_alone(cells, tmp_path, write_cells, tiny_plan):
    others = write_cells(tmp_path, count=2, first=90, name="other-{}")
    told = []
    model = fit(
        cells,
        validation=find_pairs(others),
        config=FitConfig(steps=1, plan=tiny_plan(cells)),
        observer=FitObserver(
            on_plan=lambda plan, train, held: told.append((train, held, plan.reasons["validation_fraction"]))
        ),
    )
    assert told == [(8, 2, OWN_SET)]
    assert [row["name"] for row in model.header.training["validation"]["per_image"]] == ["other-90", "other-91"]


def test_without_validation_all_images_are_learnt_from_and_the_newest_weights_are_kept(cells, tiny_plan, tmp_path):
    told = []
    model = fit(
        cells,
        config=FitConfig(steps=2, plan=tiny_plan(cells), validate=False, out=tmp_path / "m.segue"),
        observer=FitObserver(
            on_plan=lambda plan, train, held: told.append((train, held, plan.reasons["validation_fraction"]))
        ),
    )
    assert told == [(8, 0, "nothing is held out, as it was asked for")]
    assert model.header.training["validation"] == {}
    assert same_weights(model, load(tmp_path / "m.training" / "last.segue"))


def test_classes_are_judged_by_their_dice(membranes, tiny_plan):
    model = fit(membranes, config=FitConfig(steps=2, plan=tiny_plan(membranes)))
    assert model.header.kind == "classes"
    assert model.header.auxiliary == ()
    assert model.decoding == DecodeConfig()
    assert 0 <= model.header.training["validation"]["metrics"]["dice"]["mean"] <= 1
    assert model.labels(read_image(membranes / "images" / "membrane-00.tif")).classes == ("membrane", "cell")


def test_pixels_nobody_annotated_change_nothing(tmp_path, write_cells, tiny_plan):
    # The same images twice; in the second the unknown quarter of each mask would be wrong.
    for part, fill in (("a", 0), ("b", 77)):
        folder = write_cells(tmp_path / part, count=6)
        for path in (folder / "masks").iterdir():
            ids = read_mask(path).values.astype(np.int32)
            ids[:32, :32] = fill
            write_labels(path, ids, space=read_image(path).space, kind="objects")
        for path in (folder / "images").iterdir():
            region = np.ones((64, 64), np.int32)
            region[:32, :32] = 0
            write_labels(folder / "fov" / path.name, region, space=read_image(path).space)
        (folder / "dataset.toml").write_text('labels = "objects"\nregion = "fov"\n')
    first, second = (fit(tmp_path / part, config=FitConfig(steps=2, plan=tiny_plan(tmp_path / part))) for part in "ab")
    assert same_weights(first, second)


def test_a_volume_is_learnt_like_an_image(tmp_path):
    rng = np.random.default_rng(0)
    space = Space(pixel_size=(2.0, 1.0, 1.0), unit="micrometer")
    for number in range(2):
        truth = (rng.normal(size=(8, 20, 20)).cumsum(axis=2) > 0).astype(np.int32)
        pixels = (truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)[None]
        write_image(tmp_path / "images" / f"{number}.tif", Image(pixels=pixels, space=space))
        write_labels(tmp_path / "masks" / f"{number}.tif", truth, space=space)
    (tmp_path / "dataset.toml").write_text('labels = "classes"\n')
    fingerprint = examine(find_pairs(tmp_path)).fingerprint
    assert fingerprint is not None
    plan = make_plan(fingerprint)
    network = replace(plan.network, width=2)
    plan = replace(plan, network=network, batches=BatchConfig(patch=plan.batches.patch, batch=2), mirror=False)
    model = fit(tmp_path, config=FitConfig(steps=2, plan=plan))
    assert model.header.network.spatial_axes == 3
    assert model.header.pixel_size == (2.0, 1.0, 1.0)
    assert model.labels(read_image(tmp_path / "images" / "0.tif")).ids.shape == (8, 20, 20)


def test_stopping_keeps_the_state_and_resuming_ends_in_the_same_weights(cells, tiny_plan, tmp_path):
    plan, out = tiny_plan(cells), tmp_path / "m.segue"
    asked = iter([False, True])
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(
            cells,
            config=FitConfig(steps=4, plan=plan, out=out),
            observer=FitObserver(loop=Observer(should_stop=lambda: next(asked))),
        )
    assert not out.exists()
    assert (run_folder_of(out) / "state.safetensors").exists()
    steps = []
    resumed = fit(
        cells,
        config=FitConfig(steps=4, plan=plan, out=out, resume=True),
        observer=FitObserver(loop=Observer(on_step=lambda record, left: steps.append(record["step"]))),
    )
    assert steps == [3, 4]
    assert same_weights(resumed, fit(cells, config=FitConfig(steps=4, plan=plan)))
    assert not (run_folder_of(out) / "state.safetensors").exists()


@pytest.mark.parametrize("changed", ["steps", "seed", "image", "mask"])
def test_a_training_with_other_settings_or_data_is_not_resumed(tmp_path, write_cells, tiny_plan, changed):
    folder = write_cells(tmp_path / "data", count=6, side=48)
    plan, out = tiny_plan(folder), tmp_path / "m.segue"
    stop_at_once = FitObserver(loop=Observer(should_stop=lambda: True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(folder, config=FitConfig(steps=3, plan=plan, out=out), observer=stop_at_once)
    steps, word = 3, changed
    if changed == "steps":
        steps = 4
    elif changed == "seed":
        plan, word = replace(plan, train=replace(plan.train, seed=5)), "plan"
    elif changed == "image":
        path, word = folder / "images" / "cell-00.tif", "images"
        image = read_image(path)
        write_image(path, replace(image, pixels=255 - image.pixels))
    else:
        path, word = folder / "masks" / "cell-00.tif", "masks"
        ids = read_mask(path).values.astype(np.int32)
        ids[ids == 1] = 0
        write_labels(path, ids, space=read_image(path).space, kind="objects")
    before = {path: path.read_bytes() for path in run_folder_of(out).iterdir()}
    with pytest.raises(UsageError, match=f"this training was started with {word} = .* start anew without --resume"):
        fit(folder, config=FitConfig(steps=steps, plan=plan, out=out, resume=True))
    assert {path: path.read_bytes() for path in run_folder_of(out).iterdir()} == before


def test_a_time_is_not_turned_into_steps_on_the_way(cells, tiny_plan, tmp_path):
    out, stop_at_once = tmp_path / "m.segue", FitObserver(loop=Observer(should_stop=lambda: True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=FitConfig(budget=3600, plan=tiny_plan(cells), out=out), observer=stop_at_once)
    with pytest.raises(UsageError, match="this training was started with steps = None, now it is 2"):
        fit(cells, config=FitConfig(steps=2, out=out, resume=True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=FitConfig(out=out, resume=True), observer=stop_at_once)


def test_a_training_that_is_broken_off_in_its_last_look_goes_on_there(cells, tiny_plan, tmp_path):
    class SignalError(Exception):
        pass

    def broken_off():
        raise SignalError

    # A text is a path, too.
    config = FitConfig(steps=3, plan=tiny_plan(cells), out=str(tmp_path / "m.segue"))  # type: ignore[arg-type]
    with pytest.raises(SignalError):
        fit(cells, config=config, observer=FitObserver(on_trained=broken_off))
    assert not (tmp_path / "m.segue").exists()
    steps = []
    observer = FitObserver(loop=Observer(on_step=lambda record, left: steps.append(record)))
    resumed = fit(cells, config=replace(config, resume=True), observer=observer)
    assert steps == []
    whole = fit(cells, config=FitConfig(steps=3, plan=tiny_plan(cells)))
    assert same_weights(resumed, whole)
    first, second = (
        [{name: value for name, value in record.items() if name != "seconds"} for record in model]
        for model in (resumed.header.training["history"], whole.header.training["history"])
    )
    assert first == second


def test_a_training_goes_on_by_the_plan_it_kept(cells, tiny_plan, tmp_path):
    config = FitConfig(steps=3, plan=replace(tiny_plan(cells), precision="fp32"), out=tmp_path / "m.segue")
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=config, observer=FitObserver(loop=Observer(should_stop=lambda: True)))
    resumed = fit(cells, config=FitConfig(steps=3, out=config.out, resume=True))
    assert same_weights(resumed, fit(cells, config=replace(config, out=tmp_path / "whole.segue")))


@pytest.mark.parametrize("length", [{"steps": 3}, {"budget": 3600.0}], ids=["steps", "time"])
def test_a_training_goes_on_for_as_long_as_it_was_begun(cells, tiny_plan, tmp_path, length):
    out = tmp_path / "m.segue"
    stop_at_once = FitObserver(loop=Observer(should_stop=lambda: True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=FitConfig(plan=tiny_plan(cells), out=out, **length), observer=stop_at_once)
    told = []
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(
            cells,
            config=FitConfig(out=out, resume=True),
            observer=FitObserver(on_plan=lambda plan, *_: told.append(plan), loop=stop_at_once.loop),
        )
    assert {name: getattr(told[0].train, name) for name in ("steps", "budget")} == {
        "steps": length.get("steps"),
        "budget": length.get("budget"),
    }


def test_a_time_may_be_changed_on_the_way(cells, tiny_plan, tmp_path):
    out = tmp_path / "m.segue"
    stop_at_once = FitObserver(loop=Observer(should_stop=lambda: True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=FitConfig(budget=3600, plan=tiny_plan(cells), out=out), observer=stop_at_once)
    model = fit(cells, config=FitConfig(budget=10, out=out, resume=True))
    assert model.header.training["plan"]["train"]["budget"] == 10
    assert model.header.training["seconds"] < 15


def test_a_time_that_was_changed_on_the_way_is_kept_and_the_reasons_with_it(cells, tmp_path):
    out, told = tmp_path / "m.segue", []
    observer = FitObserver(on_plan=lambda plan, *_: told.append(plan), loop=Observer(should_stop=lambda: True))
    for budget in (60.0, 120.0, None):
        with pytest.raises(TrainingInterruptedError, match="stopped"):
            fit(cells, config=FitConfig(budget=budget, out=out, resume=True), observer=observer)
    assert [plan.train.budget for plan in told] == [60, 120, 120]
    assert told[0].reasons == told[1].reasons == told[2].reasons


def test_nobody_having_said_how_long_the_plan_says_it_or_it_is_the_usual_time(cells, tiny_plan):
    plan = tiny_plan(cells)
    assert of_some_length(FitConfig(), None).budget == of_some_length(FitConfig(), plan).budget == DEFAULT_BUDGET
    of_three_steps = replace(plan, train=replace(plan.train, steps=3))
    assert fit(cells, config=FitConfig(plan=of_three_steps)).header.training["steps"] == 3
    assert of_some_length(FitConfig(budget=60.0), of_three_steps) == FitConfig(budget=60.0)


def test_a_repeatable_training_goes_on_only_in_the_precision_it_began_with(cells, tiny_plan, tmp_path, monkeypatch):
    config = FitConfig(steps=3, plan=tiny_plan(cells), out=tmp_path / "m.segue")
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=config, observer=FitObserver(loop=Observer(should_stop=lambda: True)))
    monkeypatch.setattr("segue.pipeline.means.autocast_dtype", lambda *_: torch.bfloat16)
    with pytest.raises(UsageError, match="started with precision = fp32, now it is bf16"):
        fit(cells, config=replace(config, resume=True))


@pytest.mark.parametrize(
    ("first", "then", "word"),
    [
        ({"validate": False}, {}, "started with images to judge with"),
        ({}, {"seed": 3}, "started with seed 0, not 3; leave --seed out"),
        ({"seed": 3}, {"seed": 0}, "started with seed 3, not 0; leave --seed out"),
        ({"preset": "paper"}, {"preset": "auto"}, "started with preset = paper, now it is auto"),
    ],
)
def test_a_training_goes_on_with_the_judges_the_seed_and_the_preset_it_began_with(
    cells, tiny_plan, tmp_path, first, then, word
):
    out = tmp_path / "m.segue"
    plan = None if "seed" in then or "preset" in then else tiny_plan(cells)
    stop_at_once = FitObserver(loop=Observer(should_stop=lambda: True))
    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(cells, config=FitConfig(steps=3, plan=plan, out=out, **first), observer=stop_at_once)
    with pytest.raises(UsageError, match=word):
        fit(cells, config=FitConfig(steps=3, plan=plan, out=out, resume=True, **then))


def test_the_time_of_all_runs_counts(cells, tiny_plan, tmp_path):
    plan, out = tiny_plan(cells), tmp_path / "m.segue"

    def stop_late():
        time.sleep(1)
        return True

    with pytest.raises(TrainingInterruptedError, match="stopped"):
        fit(
            cells,
            config=FitConfig(steps=2, plan=plan, out=out),
            observer=FitObserver(loop=Observer(on_step=lambda record, left: None, should_stop=stop_late)),
        )
    state = run_folder_of(out) / "state.safetensors"
    spent = read_tensors(state)[1]["seconds"]
    write_tensors(state, read_tensors(state)[0], read_tensors(state)[1] | {"seconds": spent + 1000})
    model = fit(cells, config=FitConfig(steps=2, plan=plan, out=out, resume=True))
    assert 1000 < model.header.training["seconds"] < 1100


def test_two_trainings_never_work_at_one_place(cells, tiny_plan, tmp_path):
    out = tmp_path / "m.segue"
    with run_folder(out), pytest.raises(BusyError, match="another training is at work there"):
        fit(cells, config=FitConfig(steps=1, plan=tiny_plan(cells), out=out))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_one_trains_without(cells, tiny_plan, tmp_path, monkeypatch, number):
    def without_locks(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", without_locks)
    fit(cells, config=FitConfig(steps=1, plan=tiny_plan(cells), out=tmp_path / "m.segue"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.segue", "m.training"]
    assert not (tmp_path / "m.training" / "lock").exists()


def test_data_that_are_not_fit_for_training_are_refused_with_all_reasons(tmp_path, write_cells):
    folder = write_cells(tmp_path, count=3)
    for name in ("cell-00.tif", "cell-02.tif"):
        image = read_image(folder / "images" / name)
        write_image(folder / "images" / name, replace(image, pixels=image.pixels[:, :-1]))
    with pytest.raises(DatasetError, match=r"(?s)not fit for training:.*cell-00.*cell-02"):
        fit(folder, steps=1)


def test_the_observer_hears_of_every_stage_in_order(cells, tiny_plan):
    told = []
    fit(
        cells,
        config=FitConfig(steps=2, plan=tiny_plan(cells)),
        observer=FitObserver(
            on_examined=lambda examination: told.append("examined"),
            on_plan=lambda plan, train, held: told.append("plan"),
            on_prepared=lambda done, total: told.append(f"{done} of {total}"),
            on_trained=lambda: told.append("trained"),
            loop=Observer(
                on_begun=lambda: told.append("begun"),
                on_step=lambda record, left: told.append("step"),
                on_validation=lambda record: told.append("validation"),
            ),
        ),
    )
    prepared = [f"{number} of 8" for number in range(1, 9)]
    learnt = ["step", "validation", "step", "validation"]
    assert told == ["examined", "plan", *prepared, "begun", *learnt, "trained"]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"budget": 20.0, "steps": 3}, r"a budget \(20 s\) or a number of steps \(3\), not both"),
        ({"steps": 0}, "at least 1 step, not 0"),
        ({"budget": 0.0}, "above 0 s, not 0"),
        ({"steps": 3, "resume": True}, "can only be resumed where it was kept"),
        ({"steps": 3, "preset": "papre"}, 'one of auto, paper, not "papre"'),
        ({"steps": 3, "seed": -1}, "a seed is a whole number"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(wishes, message):
    with pytest.raises(UsageError, match=message):
        FitConfig(**wishes)


def test_what_stands_in_the_configuration_does_not_stand_beside_it(cells):
    with pytest.raises(UsageError, match="give it in one place"):
        fit(cells, steps=1, config=FitConfig(steps=1))


def test_a_plan_decides_everything(cells, tiny_plan):
    plan = tiny_plan(cells)
    with pytest.raises(UsageError, match="preset or a plan, not both"):
        FitConfig(steps=1, plan=plan, preset="paper")
    with pytest.raises(UsageError, match="the plan holds the seed 0, not 4"):
        FitConfig(steps=1, plan=plan, seed=4)
