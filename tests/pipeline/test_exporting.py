import csv
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from segue.arrays import Image, Space
from segue.errors import ImageError, UsageError
from segue.io.scratch import View
from segue.pipeline.exporting import (
    COCO_NAME,
    OUTLINE_FORMATS,
    TABLE_FORMATS,
    Exports,
    ImageObjects,
    check_exports,
    write_exports,
)
from segue.pipeline.exporting import overlay as overlay_of

EVERYTHING = Exports(table=TABLE_FORMATS, outlines=OUTLINE_FORMATS, overlay=True)
CLASSES = ("background", "red", "white")


def scene(*shape: int) -> ImageObjects:
    """Two objects, the first white and the second red, and an image of two channels."""
    ids = np.zeros(shape, np.uint32)
    ids[..., 1:4, 1:4], ids[..., 6:8, 2:9] = 1, 2
    probabilities = np.stack([ids == 0, ids == 2, ids == 1]).astype(np.float32)
    probabilities[:, ids == 1] = np.array([0.25, 0.25, 0.5], np.float32)[:, None]
    space = Space(pixel_size=(0.5,) * len(shape), unit="micrometer")
    pixels = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    image = Image(pixels=pixels, space=space, name="folder/a.png")
    return ImageObjects(ids=ids, image=image, pixels=pixels, probabilities=probabilities)


@pytest.mark.parametrize("shape", [(10, 12), (3, 10, 12)], ids=["plane", "volume"])
def test_everything_stands_beside_the_objects_and_tells_one_story(shape, tmp_path):
    from pyarrow import parquet

    entries = write_exports(tmp_path / "a.b.tif", scene(*shape), classes=CLASSES, exports=EVERYTHING)
    names = ["a.b.csv", "a.b.geojson", "a.b.overlay.png", "a.b.parquet", "a.b.rois.zip"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names

    with (tmp_path / "a.b.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["white", "red"]
    assert [float(row["confidence"]) for row in rows] == [0.75, 1]
    assert [float(row["class_confidence"]) for row in rows] == pytest.approx([2 / 3, 1])
    assert {"mean_0", "sum_1"} <= set(rows[0])
    table = parquet.read_table(tmp_path / "a.b.parquet").to_pydict()
    assert list(table) == list(rows[0])
    assert table["class"] == ["white", "red"]

    slices = 1 if len(shape) == 2 else shape[0]
    features = json.loads((tmp_path / "a.b.geojson").read_text())["features"]
    assert [one["properties"]["classification"]["name"] for one in features] == ["white", "red"] * slices
    measured = features[0]["properties"]["measurements"]
    assert measured["confidence"] == 0.75
    assert measured["mean_0"] == pytest.approx(float(rows[0]["mean_0"]))
    assert not {"id", "class"} & set(measured)
    assert len(zipfile.ZipFile(tmp_path / "a.b.rois.zip").namelist()) == 2 * slices
    assert [one["category_id"] for _, annotations in entries for one in annotations] == [2, 1] * slices
    assert [one["score"] for one in entries[0][1]] == [0.75, 1]
    assert entries[0][0]["file_name"] == "a.png"


def test_only_what_is_asked_for_is_written(tmp_path):
    for exports, names in (
        (Exports(), []),
        (Exports(table=("parquet",)), ["a.parquet"]),
        (Exports(outlines=("imagej",)), ["a.rois.zip"]),
        (Exports(outlines=("coco",)), []),
        (Exports(overlay=True), ["a.overlay.png"]),
    ):
        folder = tmp_path / f"{exports}"
        folder.mkdir()
        entries = write_exports(folder / "a.nii.gz", scene(10, 12), classes=CLASSES, exports=exports)
        assert [path.name for path in folder.iterdir()] == names
        assert bool(entries) == ("coco" in exports.outlines)


def test_a_model_of_one_class_names_it_and_has_nothing_to_doubt(tmp_path):
    found = scene(10, 12)
    two = replace(found, probabilities=np.stack([found.ids[:] == 0, found.ids[:] > 0]).astype(np.float32))
    write_exports(tmp_path / "a.tif", two, classes=("background", "cell"), exports=Exports(table=("csv",)))
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == ["cell", "cell"]
    assert "class_confidence" not in rows[0]


@pytest.mark.parametrize("exports", [EVERYTHING, Exports(overlay=True)])
def test_an_image_without_objects_has_empty_files_that_are_whole(exports, tmp_path):
    none = replace(scene(10, 12), ids=np.zeros((10, 12), np.uint32))
    entries = write_exports(tmp_path / "a.tif", none, classes=CLASSES, exports=exports)
    assert [annotations for _, annotations in entries] in ([], [[]])
    with Picture.open(tmp_path / "a.overlay.png") as picture:
        assert picture.size == (12, 10)


def test_the_overlay_is_as_large_as_the_image_and_coloured_where_objects_end():
    ids, grey = scene(10, 12).ids[:], Image(pixels=scene(10, 12).pixels[:1])
    drawn = overlay_of(grey, ids)
    assert drawn.shape == (10, 12, 3)
    coloured = (drawn != drawn[..., :1]).any(axis=-1)
    expected = ids > 0
    expected[2, 2] = False
    assert (coloured == expected).all()


def test_the_overlay_of_a_volume_shows_slices_side_by_side():
    ids, image = scene(20, 10, 12).ids, scene(20, 10, 12).image
    assert overlay_of(image, ids).shape == (3 * 10 + 8, 3 * 12 + 8, 3)
    assert overlay_of(Image(pixels=image.pixels[:, :1]), ids[:1]).shape == (10, 12, 3)


def test_of_the_objects_of_a_volume_an_overlay_looks_at_the_slices_it_shows():
    found = scene(40, 10, 12)
    seen = []

    def read(block):
        seen.append(block[0])
        return found.ids[block]

    assert (overlay_of(found.image, View((40, 10, 12), read)) == overlay_of(found.image, found.ids)).all()
    assert [part.start for part in seen] == [2, 6, 11, 15, 20, 24, 28, 33, 37]
    assert {part.stop - part.start for part in seen} == {1}


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"table": ["excel"]}, '"excel" is not a format of the table; known are csv, parquet'),
        ({"outlines": ["geojsn"]}, '"geojsn" is not a format of the outlines; did you mean "geojson"?'),
        ({"outlines": ["csv"]}, "known are geojson, imagej, coco"),
    ],
)
def test_formats_that_do_not_exist_are_refused(wishes, message):
    with pytest.raises(UsageError) as raised:
        Exports(**wishes)
    assert message in str(raised.value)


def test_an_image_that_a_format_cannot_hold_is_named():
    wide = Image(pixels=np.zeros((1, 1, 32768), np.float32), name="wide.tif")
    with pytest.raises(ImageError, match=r"wide\.tif: it has 1 x 32768 pixels, but ImageJ's regions end at 32,767"):
        check_exports(Exports(outlines=("imagej",)), wide)
    check_exports(Exports(outlines=("geojson", "coco"), table=("parquet",)), wide)


def test_the_name_of_the_coco_file_is_no_image_and_no_answer():
    assert COCO_NAME.endswith(".json")
