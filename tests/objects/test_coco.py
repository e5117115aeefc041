import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO
from scipy import ndimage

from segue.objects.coco import coco, coco_entries, run_lengths, write_coco

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
"""That of pycocotools."""


def read(path) -> COCO:
    with redirect_stdout(StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("seed", range(4))
def test_pycocotools_reads_back_the_identical_ids(seed, tmp_path):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 4, (17, 23))  # many parts, holes and corners that touch
    smooth = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(60, 61)), 1.5) > 0)[0]
    images = [noise, smooth, np.full((1, 1), 5), np.full((4, 6), 2), np.zeros((3, 3), int)]
    entries = [entry for place, ids in enumerate(images) for entry in coco_entries(ids, name=f"{place}.png")]
    write_coco(tmp_path / "coco.json", coco(entries))
    found = read(tmp_path / "coco.json")
    kinds = set()
    for number, ids in zip(found.getImgIds(), images, strict=True):
        back = np.zeros_like(ids)
        for annotation in found.loadAnns(found.getAnnIds(imgIds=[number])):
            body = found.annToMask(annotation).astype(bool)
            assert annotation["area"] == body.sum()
            assert annotation["bbox"] == masks.toBbox(found.annToRLE(annotation)).tolist()
            kinds.add(type(annotation["segmentation"]))
            back[body] = annotation["object_id"]
        assert (back == ids).all()
    assert kinds == {list, dict}


def test_a_simple_object_is_a_polygon_and_one_with_a_hole_a_run_length_code():
    ids = np.zeros((5, 8), int)
    ids[1:3, 5:7] = 4
    ids[1:4, 1:4] = 9
    ids[2, 2] = 0
    ((image, (square, ring)),) = coco_entries(ids, name="a.png")
    assert image == {"file_name": "a.png", "width": 8, "height": 5}
    assert square["segmentation"] == [[7, 1, 7, 3, 5, 3, 5, 1]]
    assert (square["area"], square["bbox"], square["iscrowd"]) == (4, [5, 1, 2, 2], 0)
    # columns of 5: one of background and one pixel; 3 of the ring; 2; 1, a hole, 1; 2; 3; the rest
    assert ring["segmentation"] == {"counts": [6, 3, 2, 1, 1, 1, 2, 3, 21], "size": [5, 8]}
    assert (ring["object_id"], ring["area"]) == (9, 8)


@pytest.mark.parametrize("fill", [0.3, 0.8])
def test_run_lengths_are_those_of_pycocotools(fill):
    whole = np.zeros((13, 11), bool)
    part = np.random.default_rng(1).random((6, 5)) < fill
    whole[7:13, 6:11] = part
    mine = run_lengths(part, top=7, left=6, shape=whole.shape)
    theirs = masks.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert masks.frPyObjects(mine, 13, 11) == theirs


def test_an_object_that_fills_the_image_has_a_code_without_background():
    full = np.ones((2, 3), bool)
    assert run_lengths(full, top=0, left=0, shape=(2, 3))["counts"] == [0, 6]


def test_classes_scores_and_numbers_are_those_of_the_data_set(tmp_path):
    first = coco_entries(
        np.array([[1, 0, 2]]),
        name="a.png",
        object_classes=["white", "red"],
        classes=("red", "white"),
        scores={1: 0.25, 2: 0.123456},
    )
    second = coco_entries(np.array([[7]]), name="b.png", classes=("red", "white"))
    write_coco(tmp_path / "coco.json", coco([*first, *second], classes=("red", "white")))
    data_set = json.loads((tmp_path / "coco.json").read_text())
    assert data_set["categories"] == [{"id": 1, "name": "red"}, {"id": 2, "name": "white"}]
    assert [(one["id"], one["file_name"]) for one in data_set["images"]] == [(1, "a.png"), (2, "b.png")]
    found = [(one["id"], one["image_id"], one["category_id"], one.get("score")) for one in data_set["annotations"]]
    assert found == [(1, 1, 2, 0.25), (2, 1, 1, 0.1235), (3, 2, 1, None)]
    assert [path.name for path in tmp_path.iterdir()] == ["coco.json"]


def test_each_slice_of_a_volume_is_an_image():
    ids = np.zeros((3, 4, 5), int)
    ids[1:, 2, 2] = 6
    entries = coco_entries(ids, name="v.tif")
    assert [image["slice"] for image, _ in entries] == [0, 1, 2]
    assert [[one["object_id"] for one in annotations] for _, annotations in entries] == [[], [6], [6]]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 4)])
def test_an_image_without_objects_is_still_an_image(shape):
    ((image, annotations),) = coco_entries(np.zeros(shape, int), name="a.png")
    assert (image["height"], image["width"], annotations) == (*shape, [])
