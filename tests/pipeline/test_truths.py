import json

import numpy as np
import pytest

from segue.arrays import Image, Space
from segue.errors import DatasetError
from segue.io.images import write_image, write_labels
from segue.pipeline.truths import find_truths


def write(path, ids):
    write_labels(path, np.asarray(ids, np.int32), space=Space())


def test_a_folder_of_masks_means_what_its_data_set_says(membranes, cells):
    # classes = ["membrane", "cell"], although the pixels look like background and foreground
    told = find_truths(membranes / "masks")
    truths, kind = told.truths, told.spec.kind
    assert kind == "classes"
    assert truths[0].read().classes == ("membrane", "cell")
    assert [one.name for one in truths] == [f"membrane-{number:02d}" for number in range(7)]
    assert find_truths(cells / "masks").spec.kind == find_truths(cells).spec.kind == "objects"


def test_masks_on_their_own_are_understood_from_their_values(tmp_path):
    write(tmp_path / "alone" / "a.tif", [[0, 1], [0, 3]])
    told = find_truths(tmp_path / "alone" / "a.tif")
    truths = told.truths
    assert len(truths) == 1
    assert told.spec.kind in ("classes", "objects")
    assert (truths[0].read().ids > 0).tolist() == [[False, True], [False, True]]


CELLS = np.kron([[0, 1, 0, 1]], np.ones((4, 4), int)) * 255


def data_set(root, images="images", masks="masks"):
    write(root / masks / "a.tif", CELLS)
    write_image(root / images / "a.tif", Image(pixels=np.zeros((1, *CELLS.shape), np.float32)))
    return root


@pytest.mark.parametrize("part", ["", "masks"])
def test_the_values_are_not_guessed_where_their_description_is_wrong(tmp_path, part):
    data = data_set(tmp_path)
    (data / "dataset.toml").write_text("values = { 255 = 0, 0 = 1 }\n")
    assert find_truths(data / part).truths[0].read().ids[0].tolist() == [1] * 4 + [0] * 4 + [1] * 4 + [0] * 4
    (data / "dataset.toml").write_text("value = { 255 = 0, 0 = 1 }\n")
    with pytest.raises(DatasetError, match=r"dataset\.toml: unknown key 'value'; did you mean 'values'\?"):
        find_truths(data / part)
    (data / "dataset.toml").write_text('values = { 255 = 0, 0 = 1 }\nregion = "nowhere"\n')
    with pytest.raises(DatasetError, match="region = 'nowhere', but there is no such folder"):
        find_truths(data / part)


@pytest.mark.parametrize("part", ["", "labelsTr"])
def test_nor_where_the_description_of_nnunet_is_wrong(tmp_path, part):
    data = data_set(tmp_path, "imagesTr", "labelsTr")
    (data / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "a"}, "labels": {"background": 0, "cell": 2}})
    )
    with pytest.raises(DatasetError, match="without gaps"):
        find_truths(data / part)
    (data / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        find_truths(data / part)


def test_a_data_set_whose_description_has_no_image_for_a_mask_is_wrong_too(tmp_path):
    data = data_set(tmp_path)
    (data / "masks" / "a.tif").rename(data / "masks" / "b.tif")
    (data / "dataset.toml").write_text("values = { 255 = 0, 0 = 1 }\n")
    with pytest.raises(DatasetError, match="no image has a mask"):
        find_truths(data)


@pytest.mark.parametrize("description", [None, "value = { 255 = 0, 0 = 1 }\n"])
def test_masks_beside_somebody_elses_data_set_are_on_their_own(tmp_path, description):
    data = data_set(tmp_path)
    write(data / "drawn" / "a.tif", CELLS)
    if description is not None:
        (data / "dataset.toml").write_text(description)
    told = find_truths(data / "drawn")
    assert (told.guessed, told.kind_told) == (True, False)
    assert dict(told.spec.values) == {0: 0, 255: 1}


@pytest.mark.parametrize("half", ["images", "imagesTr"])
def test_half_a_data_set_that_nobody_describes_does_not_keep_masks_from_being_read(tmp_path, half):
    data = data_set(tmp_path, half, "truth")
    assert dict(find_truths(data / "truth").spec.values) == {0: 0, 255: 1}
    (data / "dataset.toml").write_text("values = { 255 = 0, 0 = 1 }\n")
    with pytest.raises(DatasetError, match="there is images"):
        find_truths(data / "truth")


def test_names_that_end_like_those_of_masks_do_not_make_a_folder_of_masks_a_data_set(tmp_path):
    for name in ("a", "b_seg"):
        write(tmp_path / f"{name}.tif", CELLS)
    assert [one.name for one in find_truths(tmp_path).truths] == ["a", "b_seg"]
