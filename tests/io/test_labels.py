import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from segue.arrays import IGNORE
from segue.errors import LabelError
from segue.io.labels import LabelSpec, RawMask, apply_spec, read_mask

RED, GREEN, BLACK = 0xFF0000, 0x00FF00, 0x000000


def raw(values, **fields):
    return RawMask(values=np.array(values, np.int64), name="masks/a.png", **fields)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.int32, np.float32])
def test_whole_numbers_of_any_type_are_raw_values(tmp_path, dtype):
    values = np.array([[0, 1, 100], [7, 7, 3]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    mask = read_mask(tmp_path / "a.tif")
    assert mask.values.dtype == np.int64
    assert np.array_equal(mask.values, values)
    assert mask.coding == "gray"


def test_large_ids_are_not_rounded(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[2**24 + 1, 2**32 - 1]], np.uint32))
    assert read_mask(tmp_path / "a.tif").values.tolist() == [[2**24 + 1, 2**32 - 1]]


def test_a_palette_image_gives_its_indices_and_not_its_colours(tmp_path):
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    picture.putdata([0, 1, 2, 1])
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").values.tolist() == [[0, 1], [2, 1]]


def test_a_palette_image_gives_its_colours_where_colours_are_expected(tmp_path):
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    picture.putdata([0, 1, 2, 1])
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    spec = LabelSpec(kind="classes", classes=("a", "b", "c"), values={BLACK: 0, GREEN: 1, RED: 2}, coding="colour")
    assert apply_spec(read_mask(tmp_path / "a.png"), spec).ids.tolist() == [[0, 2], [1, 2]]


def test_a_coloured_gif_gives_its_colours(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [0, 0, 0]]], np.uint8)
    Pillow.fromarray(colours).save(tmp_path / "a.gif")
    mask = read_mask(tmp_path / "a.gif")
    assert mask.coding == "colour"
    assert mask.values.tolist() == [[RED, GREEN], [BLACK, BLACK]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
@pytest.mark.parametrize("description", [None, "ImageJ=1.53t\nmin=0.0\nmax=255.0\n"])
def test_where_the_smallest_value_is_white_a_mask_is_as_stored(tmp_path, dtype, description):
    values = np.array([[0, 1, 1], [0, 0, 1]]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite", description=description, metadata=None)
    assert read_mask(tmp_path / "a.tif").values.tolist() == values.astype(int).tolist()


def test_a_gray_gif_gives_its_grays_because_every_gif_has_a_palette(tmp_path):
    picture = Pillow.fromarray(np.zeros((2, 2), np.uint8)).convert("P")
    picture.putdata([0, 1, 1, 1])
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "a.gif")
    assert read_mask(tmp_path / "a.gif").values.tolist() == [[255, 0], [0, 0]]


def test_a_bilevel_mask_is_0_and_1(tmp_path):
    Pillow.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").values.tolist() == [[1, 0]]


def test_a_colour_mask_is_packed_and_a_gray_one_in_rgb_is_gray(tmp_path):
    colour = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    Pillow.fromarray(colour).save(tmp_path / "c.png")
    Pillow.fromarray(np.array([[[9, 9, 9], [0, 0, 0]]], np.uint8)).save(tmp_path / "g.png")
    assert read_mask(tmp_path / "c.png").values.tolist() == [[RED, GREEN]]
    assert read_mask(tmp_path / "c.png").coding == "colour"
    assert read_mask(tmp_path / "g.png").values.tolist() == [[9, 0]]
    assert read_mask(tmp_path / "g.png").coding == "gray"


def test_a_jpeg_mask_says_that_it_is_lossy(tmp_path):
    Pillow.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.jpg")
    assert read_mask(tmp_path / "a.jpg").lossy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 0.5]], np.float32), r"1 pixels .* not whole numbers \(such as 0.5\)"),
        (np.array([[0, np.nan]], np.float32), "not whole numbers"),
        (np.array([[0, 1e30]], np.float32), r"2\^63"),
        (np.zeros((2, 3, 3), np.uint8), "has 2 channels"),
    ],
)
def test_what_cannot_be_a_mask_is_refused(tmp_path, values, message):
    axes = {"axes": "CYX"} if values.ndim == 3 else None
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=axes, photometric="minisblack")
    with pytest.raises(LabelError, match=message):
        read_mask(tmp_path / "a.tif")


def put_scaled(path, values, dtype):
    """Save floats as nibabel does below the header of integers: scaled to all that the type can hold."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti1Image(np.asarray(values, float).reshape(1, -1, 1), np.eye(4), header), path)


@pytest.mark.parametrize("top", [1, 2, 5, 100, 200, 254, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_ids_that_nibabel_has_scaled_are_those_that_were_saved(tmp_path, dtype, top):
    ids = np.arange(top + 1)
    put_scaled(tmp_path / "a.nii", ids, dtype)
    assert read_mask(tmp_path / "a.nii").values.ravel().tolist() == ids.tolist()


@pytest.mark.parametrize("values", [np.arange(301), np.linspace(0, 2, 41)], ids=["too many ids", "no ids"])
def test_of_scaled_values_that_cannot_be_told_the_slope_is_named_with_the_way_out(tmp_path, values):
    put_scaled(tmp_path / "a.nii", values, np.uint8)
    slope = f"{values.max() / 255:g}"
    with pytest.raises(LabelError, match=rf"not whole numbers .*scl_slope = {slope}\); .*save it as integers without"):
        read_mask(tmp_path / "a.nii")


def test_a_folder_of_masks_is_one_object_a_file_in_natural_order(tmp_path):
    for name, column in (("10.png", 2), ("2.png", 1), ("1.png", 0)):
        one = np.zeros((1, 3), np.uint8)
        one[0, column] = 255
        Pillow.fromarray(one).save(tmp_path / name)
    assert read_mask(tmp_path).values.tolist() == [[1, 2, 3]]


def test_in_a_folder_of_jpeg_masks_an_object_is_what_is_above_127(tmp_path):
    objects = np.zeros((2, 32, 32), np.uint8)
    objects[0, 4:12, 4:12], objects[1, 19:30, 17:30] = 255, 255
    for number, one in enumerate(objects):
        Pillow.fromarray(one).save(tmp_path / f"{number}.jpg", quality=75)
    assert np.array_equal(read_mask(tmp_path).values, (objects[0] > 0) + 2 * (objects[1] > 0))


def test_in_a_folder_of_masks_a_mask_of_several_objects_is_refused(tmp_path):
    Pillow.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(LabelError, match=r"a\.png: this mask holds 3 values, but in this layout .* file is one object"):
        read_mask(tmp_path)


def test_a_folder_without_masks_or_with_masks_of_two_shapes_is_refused(tmp_path):
    with pytest.raises(LabelError, match="holds no mask"):
        read_mask(tmp_path)
    Pillow.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.png")
    Pillow.fromarray(np.zeros((3, 2), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(LabelError, match=r"b\.png: its shape is \(3, 2\)"):
        read_mask(tmp_path)


def test_values_become_the_classes_they_map_to_and_ignored_ones_IGNORE():  # noqa: N802
    spec = LabelSpec(kind="classes", values={255: 0, 0: 1}, ignore=frozenset({128, 7}))
    labels = apply_spec(raw([[0, 255], [128, 7]]), spec)
    assert labels.ids.dtype == np.int32
    assert labels.ids.tolist() == [[1, 0], [IGNORE, IGNORE]]
    assert labels.kind == "classes"


def test_an_unknown_value_is_named_with_its_count_what_is_allowed_and_the_line_to_write():
    spec = LabelSpec(kind="classes", classes=("background", "cell"), values={0: 0, 255: 1})
    with pytest.raises(LabelError) as caught:
        apply_spec(raw([[0, 255, 3], [3, 17, 0]]), spec)
    assert str(caught.value) == (
        "masks/a.png: the mask holds the values 3 (2 px), 17 (1 px); allowed are 0 = background, 255 = cell. "
        "Mend the mask, or write in dataset.toml what it means, for example values = "
        "{ 0 = 0, 255 = 1, 3 = 0 } "
        "or ignore = 3"
    )


def test_of_many_unknown_values_the_first_eight_are_named():
    spec = LabelSpec(kind="classes", values={0: 0, 1: 1})
    with pytest.raises(LabelError, match=r"9 \(1 px\) and 90 more; allowed"):
        apply_spec(raw([np.arange(100)]), spec)


def test_snapping_takes_the_nearest_value():
    spec = LabelSpec(kind="classes", values={0: 0, 128: 1, 255: 2}, classes=("a", "b", "c"), snap=True)
    assert apply_spec(raw([[0, 63, 65, 130, 200, 254]]), spec).ids.tolist() == [[0, 0, 1, 1, 2, 2]]


def test_colours_snap_by_their_distance_in_red_green_blue():
    spec = LabelSpec(kind="classes", values={BLACK: 0, RED: 1}, coding="colour", snap=True)
    assert apply_spec(raw([[0x00FF00 >> 4, 0xF0000A]], coding="colour"), spec).ids.tolist() == [[0, 1]]


def test_a_gray_mask_among_colour_masks_is_taken_as_gray_colours():
    spec = LabelSpec(kind="classes", values={BLACK: 0, 0xFFFFFF: 1}, coding="colour")
    assert apply_spec(raw([[0, 255]]), spec).ids.tolist() == [[0, 1]]


def test_a_colour_mask_among_gray_masks_is_refused():
    with pytest.raises(LabelError, match=r'masks/a\.png: the mask is coloured.*"#ff0000" = 1'):
        apply_spec(raw([[RED]], coding="colour"), LabelSpec(kind="classes", values={0: 0, 1: 1}))


def test_object_ids_are_kept_and_may_have_gaps():
    spec = LabelSpec(kind="objects", classes=("background", "cell"), ignore=frozenset({-1, 9}))
    labels = apply_spec(raw([[0, 5, 70_000], [9, -1, 5]]), spec)
    assert labels.ids.tolist() == [[0, 5, 70_000], [IGNORE, IGNORE, 5]]
    assert labels.classes == ("background", "cell")


def test_a_background_value_of_object_masks_becomes_0():
    spec = LabelSpec(kind="objects", values={255: 0})
    assert apply_spec(raw([[255, 3]]), spec).ids.tolist() == [[0, 3]]


@pytest.mark.parametrize(("value", "message"), [(-2, r"must not be negative.*ignore = -2"), (2**31, "too large")])
def test_object_ids_that_cannot_be_kept_are_refused(value, message):
    with pytest.raises(LabelError, match=message):
        apply_spec(raw([[0, value]]), LabelSpec(kind="objects"))


def test_an_empty_mask_stays_empty():
    assert apply_spec(raw([[0]]), LabelSpec(kind="objects")).ids.tolist() == [[0]]
    assert apply_spec(raw([[0]]), LabelSpec(kind="classes", values={0: 0, 1: 1})).ids.tolist() == [[0]]
