import shutil
from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import Image, Space
from segue.errors import DatasetError, ImageError
from segue.fingerprint import examine
from segue.io.datasets import find_pairs
from segue.io.images import write_image, write_labels
from segue.io.labels import LabelSpec
from segue.pipeline.judges import about_own_set, about_sides, look_alikes, sides, spec_to_judge
from segue.plan import make_plan
from segue.simulate import CellsConfig, simulate_cells


def write_set(folder, seeds, *, change=lambda pixels: pixels):
    """Cells, an image a seed, as `change` makes it of (C, Y, X) pixels; the masks keep their places."""
    for seed in seeds:
        image, labels = simulate_cells((64, 64), seed=seed, config=CellsConfig(diameter=12))
        pixels = np.ascontiguousarray(change(image.pixels), np.float32)
        write_image(folder / "images" / f"{seed}.tif", replace(image, pixels=pixels))
        write_labels(folder / "masks" / f"{seed}.tif", labels.ids, space=labels.space)
    (folder / "dataset.toml").write_text('labels = "objects"\n')
    return folder


def found(learn, judge):
    pairs = find_pairs(learn)
    examination = examine(pairs)
    return look_alikes(find_pairs(judge), pairs, examination)


@pytest.mark.parametrize("seeds", [[1, 2, 3], range(1, 11)], ids=["few images", "many"])
@pytest.mark.parametrize(
    "change",
    [lambda pixels: 1.5 * pixels + 7, lambda pixels: np.rot90(pixels, axes=(1, 2)), lambda pixels: pixels[:, :, ::-1]],
    ids=["of another brightness", "turned", "mirrored"],
)
def test_a_changed_copy_of_an_image_to_learn_from_is_told(tmp_path, seeds, change):
    learn = write_set(tmp_path / "learn", seeds)
    judge = write_set(tmp_path / "judge", [3], change=change)
    write_set(judge, [77])
    assert found(learn, judge) == [("3", "3")]


def test_other_images_are_not_told(tmp_path):
    assert found(write_set(tmp_path / "learn", range(1, 11)), write_set(tmp_path / "judge", range(20, 26))) == []


def test_images_alike_on_one_side_alone_are_not_told(tmp_path):
    learn, judge = write_set(tmp_path / "learn", [1, 2]), write_set(tmp_path / "judge", [5, 6])
    for folder in ("images", "masks"):
        shutil.copy(judge / folder / "5.tif", judge / folder / "7.tif")
    assert found(learn, judge) == []


def test_an_equal_image_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"3\.tif: this image judges the training and is learnt from too, as 3,"):
        found(write_set(tmp_path / "learn", [1, 3]), write_set(tmp_path / "judge", [2, 3]))


def test_of_a_slow_sequence_a_neighbour_is_named_and_not_the_first(tmp_path):
    """Frames turn from one pattern into another, so that only neighbours correlate by more than 0.95."""
    one, other = (np.kron(np.random.default_rng(seed).normal(0, 20, (8, 8)), np.ones((8, 8))) for seed in (1, 2))
    for side, angles in (("learn", (0.0, 0.4, 0.8, 1.2)), ("judge", (1.0, 2.8))):
        for number, angle in enumerate(angles):
            frame = Image(pixels=(100 + np.cos(angle) * one + np.sin(angle) * other)[None].astype(np.float32))
            write_image(tmp_path / side / "images" / f"{number}.tif", frame)
            write_labels(tmp_path / side / "masks" / f"{number}.tif", np.eye(64, dtype=np.int32), space=Space())
        (tmp_path / side / "dataset.toml").write_text('labels = "classes"\n')
    assert found(tmp_path / "learn", tmp_path / "judge") == [("0", "2")]


def test_images_of_another_size_or_with_other_channels_are_not_compared(tmp_path):
    learn = write_set(tmp_path / "learn", [1, 2])
    judge = write_set(tmp_path / "judge", [1], change=lambda pixels: np.concatenate([pixels] * 2))
    write_set(judge, [2], change=lambda pixels: pixels.repeat(2, axis=1).repeat(2, axis=2))
    assert found(learn, judge) == []


def test_an_image_to_judge_with_that_cannot_be_read_is_named(tmp_path):
    judge = write_set(tmp_path / "judge", [2])
    (judge / "images" / "2.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"2\.tif"):
        found(write_set(tmp_path / "learn", [1]), judge)


def test_what_is_said_of_look_alikes_names_some_and_counts_all():
    alike = [(f"v{number}", f"t{number}") for number in range(4)]
    said = about_own_set(alike, 9)
    assert "4 of 9 look like images that are learnt from (v0 like the learnt t0, v1 like the learnt t1, v2 " in said
    assert "t2, ...)" in said
    assert "1 of 9 look like images that are learnt from (v0 like the learnt t0)" in about_own_set(alike[:1], 9)
    assert "no image of it was found to look like" in about_own_set([], 9)


def test_what_is_said_of_held_out_images_is_when_scores_are_kinder_than_on_new_ones():
    part = (slice(0, 8), slice(0, 8))
    assert about_sides([(0, None)], hold_out=True) is None
    assert "a strip of each judges, which is kinder" in (about_sides([(0, part), (1, part)], hold_out=True) or "")
    assert "too little would be left" in (about_sides([], hold_out=True) or "")
    assert "as it was asked for" in (about_sides([], hold_out=False) or "")


NAMED = LabelSpec(kind="classes", classes=("background", "nerve", "vessel"), values={0: 0, 1: 1, 2: 2})


@pytest.mark.parametrize(
    "more", ["", "values = { 0 = 0, 1 = 1, 2 = 2 }"], ids=["the names alone", "also what the masks hold"]
)
def test_masks_to_judge_with_whose_classes_are_listed_in_another_order_are_refused(tmp_path, more):
    learn, judge = write_set(tmp_path / "learn", [1]), write_set(tmp_path / "judge", [2])
    labels = 'labels = "classes"\n' if more else ""
    (judge / "dataset.toml").write_text(f'{labels}classes = ["background", "vessel", "nerve"]\n{more}')
    with pytest.raises(DatasetError, match=r"judge: its classes are background, vessel, nerve, but those of .*learn"):
        spec_to_judge(find_pairs(judge), find_pairs(learn), NAMED)


def test_masks_to_judge_with_may_name_their_classes_otherwise_or_alike_with_other_values(tmp_path):
    learn, judge = write_set(tmp_path / "learn", [1]), write_set(tmp_path / "judge", [2])
    for names, values in ((("background", "nerve", "vessel"), "100"), (("outside", "nerve fibre", "vein"), "2")):
        listed = ", ".join(f'"{name}"' for name in names)
        (judge / "dataset.toml").write_text(
            f'labels = "classes"\nclasses = [{listed}]\nvalues = {{ 0 = 0, 1 = 1, {values} = 2 }}'
        )
        assert spec_to_judge(find_pairs(judge), find_pairs(learn), NAMED).classes == names


def test_an_empty_image_on_both_sides_shows_nothing_that_is_learnt_from(tmp_path):
    learn, judge = write_set(tmp_path / "learn", [1, 2]), write_set(tmp_path / "judge", [5])
    for folder in (learn, judge):
        write_set(folder, [9], change=np.zeros_like)
    assert found(learn, judge) == []


def test_groups_that_share_an_empty_image_stay_groups(tmp_path):
    """Ten patients of two images each, of which one is black: whole patients judge, and no patient is on both sides."""
    folder = write_set(tmp_path, range(10))
    for number in range(10):
        for part in ("images", "masks"):
            (folder / part / f"{number}.tif").rename(folder / part / f"p{number}_a.tif")
        write_image(folder / "images" / f"p{number}_b.tif", Image(pixels=np.zeros((1, 64, 64), np.float32)))
        write_labels(folder / "masks" / f"p{number}_b.tif", np.zeros((64, 64), np.int32), space=Space())
    (folder / "dataset.toml").write_text("labels = 'objects'\ngroup = '(p[0-9]+)_'\n")
    examination = examine(find_pairs(folder))
    assert examination.fingerprint is not None
    learn, judge = sides(examination, make_plan(examination.fingerprint), hold_out=True)
    patients = [{number // 2 for number, _ in side} for side in (learn, judge)]
    assert all(part is None for _, part in judge)
    assert patients[1]
    assert not patients[0] & patients[1]


def test_files_to_judge_with_that_do_not_belong_together_are_refused(tmp_path):
    learn, judge = write_set(tmp_path / "learn", [1]), write_set(tmp_path / "judge", [2])
    shutil.copy(judge / "masks" / "2.tif", judge / "masks" / "2.png.tif")
    shutil.copy(judge / "masks" / "2.tif", judge / "masks" / "2.tiff")
    with pytest.raises(DatasetError, match=r"(?s)judge: the data are not fit to judge with:.*2\.tif"):
        spec_to_judge(find_pairs(judge), find_pairs(learn), LabelSpec(kind="objects"))
