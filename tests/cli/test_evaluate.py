import json
import math
import shutil

import numpy as np
import pytest

from segue.arrays import Space
from segue.io.images import write_labels
from segue.io.labels import read_mask


@pytest.fixture
def perfect(world, tmp_path):
    """Predictions that are the truth itself."""
    shutil.copytree(world.data / "masks", tmp_path / "predicted")
    return tmp_path / "predicted"


def check_shape(plain, *, images):
    """The JSON of design.md, section 5: images, metrics with mean and interval, per_image."""
    assert plain["images"] == images == len(plain["per_image"])
    for entry in plain["metrics"].values():
        assert set(entry) == {"mean", "low", "high"}
        assert all(value is None or math.isfinite(value) for value in entry.values())
        if entry["low"] is not None:
            assert entry["low"] <= entry["mean"] <= entry["high"]
    for row in plain["per_image"]:
        assert set(row) == {"name", "metrics"}
        assert set(row["metrics"]) <= set(plain["metrics"])


@pytest.mark.parametrize(
    ("options", "kind", "best"),
    [
        ([], "objects", {"average_precision": 1, "f1": 1, "count_error": 0}),
        (["--as", "objects"], "objects", {"average_precision": 1}),
        (["--as", "classes"], "classes", {"dice": 1, "iou": 1, "pixel_error": 0}),
        (["--as", "membranes"], "membranes", {}),
    ],
)
def test_the_truth_scored_against_itself_is_perfect(options, kind, best, world, perfect, segue):
    if kind == "classes":
        for path in perfect.iterdir():
            mask = read_mask(path)
            write_labels(path, (mask.values > 0).astype(np.uint8), space=mask.space)
    answer = segue("evaluate", world.data, perfect, "--json", "-", *options)
    assert (answer.code, answer.err) == (0, "")
    plain = json.loads(answer.out)
    check_shape(plain, images=8)
    assert (plain["kind"], plain["missing"]) == (kind, [])
    assert {row["name"] for row in plain["per_image"]} == {f"c{number}" for number in range(8)}
    for name, value in best.items():
        assert plain["metrics"][name]["mean"] == value


def test_the_json_file_holds_what_stdout_would(world, perfect, segue, tmp_path):
    target = tmp_path / "new" / "scores.json"
    shown = segue("evaluate", world.data, perfect, "--json", "-")
    kept = segue("evaluate", world.data, perfect, "--json", target)
    assert json.loads(target.read_text()) == json.loads(shown.out)
    assert kept.code == 0
    assert kept.out.startswith("objects of 8 images: mean, and 95 % interval over images\n")
    assert [path.name for path in target.parent.iterdir()] == ["scores.json"]


def test_the_text_names_the_worst_images_first(world, perfect, segue):
    mask = read_mask(perfect / "c3.tif")
    write_labels(perfect / "c3.tif", np.zeros_like(mask.values), space=mask.space, kind="objects")
    answer = segue("evaluate", world.data, perfect)
    assert answer.code == 0
    assert "worst by average_precision: c3 (0.0000), " in answer.out


def test_of_membranes_the_text_has_the_scores_at_one_threshold_for_all_images_too(world, perfect, segue):
    lines = segue("evaluate", world.data, perfect, "--as", "membranes").out.splitlines()
    assert {"v_rand", "pooled/v_rand", "pooled/v_info", "pooled/adapted_rand_error"} <= {
        line.split()[0] for line in lines
    }


def test_images_without_a_prediction_are_named_and_not_scored(world, perfect, segue):
    (perfect / "c1.tif").unlink()
    answer = segue("evaluate", world.data, perfect, "--json", "-")
    assert answer.code == 0
    assert answer.err == "segue: 1 images have no prediction and were not scored: c1\n"
    plain = json.loads(answer.out)
    check_shape(plain, images=7)
    assert plain["missing"] == ["c1"]


def test_the_folder_of_masks_and_single_files_can_be_the_truth_too(world, perfect, segue):
    of_folder = json.loads(segue("evaluate", world.data / "masks", perfect, "--json", "-").out)
    assert of_folder["images"] == 8
    one = json.loads(
        segue("evaluate", world.data / "masks" / "c0.tif", perfect / "c0.tif", "--json", "-", "--as", "objects").out
    )
    check_shape(one, images=1)
    assert one["metrics"]["average_precision"] == {"mean": 1.0, "low": None, "high": None}


def test_of_four_objects_three_found_the_scores_are_those_counted_by_hand(segue, tmp_path):
    truth = np.zeros((40, 40), np.int32)
    for number, corner in enumerate([(2, 2), (2, 22), (22, 2), (22, 22)], 1):
        truth[corner[0] : corner[0] + 10, corner[1] : corner[1] + 10] = number
    predicted = np.where(truth == 4, 0, truth)
    write_labels(tmp_path / "truth" / "a.tif", truth, space=Space(), kind="objects")
    write_labels(tmp_path / "predicted" / "a.tif", predicted, space=Space(), kind="objects")
    answer = segue("evaluate", tmp_path / "truth", tmp_path / "predicted", "--as", "objects", "--json", "-")
    metrics = json.loads(answer.out)["metrics"]
    assert metrics["average_precision"]["mean"] == pytest.approx(3 / 4)
    assert metrics["f1"]["mean"] == pytest.approx(2 * 3 / (2 * 3 + 1))


def test_what_is_doubtful_about_the_masks_of_the_truth_is_said(segue, tmp_path):
    truth = np.kron([[1, 0, 1]], np.ones((4, 4), np.int32)) * 255
    for folder in ("data/images", "data/masks", "predicted"):
        write_labels(tmp_path / folder / "a.tif", truth, space=Space())
    (tmp_path / "data" / "dataset.toml").write_text('labels = "objects"\n')
    answer = segue("evaluate", tmp_path / "data", tmp_path / "predicted")
    assert answer.code == 0
    assert "a.tif: the masks are binary (0 and 255), so all objects of a mask count as one; touching" in answer.err


def test_objects_of_several_classes_are_scored_class_by_class_if_a_table_tells_them(segue, tmp_path):
    ids = np.array([[1, 1, 0, 2, 2, 0, 3, 3]], np.int32)
    for folder in ("data/images", "data/masks", "predicted"):
        write_labels(tmp_path / folder / "a.tif", ids, space=Space(), kind="objects")
    (tmp_path / "data" / "types").mkdir()
    (tmp_path / "data" / "types" / "a.csv").write_text("id,class\n1,red\n2,red\n3,white\n")
    description = 'classes = ["background", "red", "white"]\nobject_classes = "types"\n'
    (tmp_path / "data" / "dataset.toml").write_text(description)
    without = segue("evaluate", tmp_path / "data", tmp_path / "predicted")
    assert without.code == 0
    assert "1 predictions have no table of the classes of objects beside them" in without.err
    assert "class_accuracy" not in without.out
    (tmp_path / "predicted" / "a.csv").write_text("id,class\n1,red\n2,white\n3,white\n")
    answer = segue("evaluate", tmp_path / "data", tmp_path / "predicted", "--json", "-")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["metrics"]["class_accuracy"]["mean"] == pytest.approx(2 / 3)
    checked = segue("check", tmp_path / "data")
    assert "of class          red 2, white 1" in checked.out
