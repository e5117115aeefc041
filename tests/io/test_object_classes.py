"""Which class each object is of, as masks and tables say it."""

import numpy as np
import pytest
import tifffile

from segue.arrays import IGNORE, Space
from segue.errors import DatasetError, LabelError, MissingInputError
from segue.fingerprint import examine
from segue.io.datasets import find_pairs, read_pair, resolve_spec
from segue.io.images import write_labels
from segue.io.object_classes import ClassSource, has_class_table, read_class_table, read_object_classes

CLASSES = ("background", "red", "white")
IDS = np.array([[7, 7, 7, 0, 2, 2], [7, 7, 0, 0, 2, 9]], np.int32)
TYPES = np.array([[1, 1, 0, 0, 2, 2], [1, 2, 0, 0, 2, 1]], np.uint8)
"""7 is red in three of its five pixels, 2 is white, 9 is red."""


def mask_source(folder, types, **told):
    tifffile.imwrite(folder / "types.tif", np.asarray(types), photometric="minisblack")
    return ClassSource(file=folder / "types.tif", **told)


def table_source(folder, text):
    (folder / "types.csv").write_text(text, "utf-8")
    return ClassSource(file=folder / "types.csv")


def read(source, ids=IDS):
    return read_object_classes(source, ids, classes=CLASSES, space=Space())


def test_an_object_is_of_the_class_of_most_of_its_pixels(tmp_path):
    assert read(mask_source(tmp_path, TYPES)) == {7: 1, 2: 2, 9: 1}


def test_ignored_objects_and_pixels_outside_of_objects_have_no_say(tmp_path):
    ids = np.where(IDS == 9, IGNORE, IDS)
    types = np.where(IDS == 0, 2, TYPES)
    assert read(mask_source(tmp_path, types), ids) == {7: 1, 2: 2}


def test_values_may_be_coded_and_say_that_a_class_is_not_known(tmp_path):
    coded = np.choose(TYPES, [0, 100, 200]).astype(np.uint8)
    coded[1, 5] = 255
    source = mask_source(tmp_path, coded, values=((0, 0), (100, 1), (200, 2), (255, IGNORE)))
    assert read(source) == {7: 1, 2: 2, 9: IGNORE}


def test_masks_may_be_coloured(tmp_path):
    from PIL import Image as Pillow

    colours = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255]], np.uint8)[TYPES]
    Pillow.fromarray(colours).save(tmp_path / "types.png")
    values = ((0x000000, 0), (0xFF0000, 1), (0xFFFFFF, 2))
    source = ClassSource(file=tmp_path / "types.png", values=values, coding="colour")
    assert read(source) == {7: 1, 2: 2, 9: 1}
    with pytest.raises(LabelError, match=r"is coloured; say in dataset\.toml.*object_values"):
        read(ClassSource(file=tmp_path / "types.png"))


def test_a_mask_of_classes_that_says_it_lies_elsewhere_is_an_error(tmp_path):
    affine = ((-1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    space = Space(affine=affine, orientation="LP", unit="millimeter", pixel_size=(1.0, 1.0))
    write_labels(tmp_path / "types.nii", TYPES, space=Space())
    source = ClassSource(file=tmp_path / "types.nii")
    assert read_object_classes(source, IDS, classes=CLASSES, space=Space()) == {7: 1, 2: 2, 9: 1}
    with pytest.raises(LabelError, match=r"types\.nii: this mask of classes and its image say they lie differently"):
        read_object_classes(source, IDS, classes=CLASSES, space=space)


def test_volumes_have_classes_too(tmp_path):
    source = mask_source(tmp_path, np.stack([TYPES, TYPES, TYPES]))
    assert read(source, np.stack([IDS, IDS, IDS])) == {7: 1, 2: 2, 9: 1}


@pytest.mark.parametrize(
    "text",
    [
        "id,class\n7,red\n2,white\n9,1\n",
        "\ufeffID;Area;Class\r\n7; 5;red\r\n2;3; white \r\n9;1;red\r\n400;1;white\r\n",
        "label\ttype\n\n9\tred\n2\t2\n7\tred\n7\t1\n",
        'object,note,class_name\n7,"a, b",red\n2,,white\n9,,red',
        "id,class\n7.0,1.0\n2.,2.0\n9.00,red\n",
    ],
)
def test_tables_say_the_class_by_name_or_number_in_any_order(tmp_path, text):
    assert read(table_source(tmp_path, text)) == {7: 1, 2: 2, 9: 1}


def test_an_empty_cell_of_a_table_says_that_the_class_is_not_known(tmp_path):
    assert read(table_source(tmp_path, "id,class\n7,\n2,white\n9,red\n"))[7] == IGNORE


def test_an_image_without_objects_needs_no_class(tmp_path):
    nothing = np.zeros((2, 6), np.int32)
    assert read(mask_source(tmp_path, nothing.astype(np.uint8)), nothing) == {}
    assert read(table_source(tmp_path, "id,class\n"), nothing) == {}


WRONG_MASKS = {
    "other shape": (TYPES[:, :5], r"mask of classes has the shape 2 x 5, but the mask of objects 2 x 6"),
    "class out of range": (TYPES + 1, r"holds the value 3 \(.* px\); allowed are 0 = background, 1 = red, 2 = white"),
    "all background": (TYPES * 0, "the objects 2, 7, 9 of 3 have no class; most of their pixels are background"),
    "one forgotten": (np.where(IDS == 2, 0, TYPES), "the object 2 of 3 has no class"),
    "mostly background": (np.where(IDS == 7, [[0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], TYPES), "the object 7"),
}


@pytest.mark.parametrize("name", WRONG_MASKS)
def test_a_mask_of_classes_that_does_not_fit_is_explained(tmp_path, name):
    values, message = WRONG_MASKS[name]
    with pytest.raises(LabelError, match=message) as caught:
        read(mask_source(tmp_path, values.astype(np.uint8)))
    assert str(caught.value).startswith(str(tmp_path / "types.tif"))


def test_of_many_objects_without_a_class_the_first_are_named(tmp_path):
    ids = np.arange(1, 31, dtype=np.int32).reshape(5, 6)
    with pytest.raises(LabelError, match="the objects 1, 2, 3, 4, 5, 6, 7, 8 and 22 more of 30 have no class"):
        read(mask_source(tmp_path, np.zeros((5, 6), np.uint8)), ids)


WRONG_TABLES = {
    "forgotten": ("id,class\n7,red\n2,white\n", "the object 9 of 3 has no class; add a row for each"),
    "class of nobody": ("id,class\n7,blue\n", r"line 2 has the class 'blue'; an object is red \(1\) or white \(2\)"),
    "class out of range": ("id,class\n\n7,3\n", "line 3 has the class '3'"),
    "background": ("id,class\n7,0\n", "line 2 has the class '0'"),
    "background by name": ("id,class\n7,background\n", "line 2 has the class 'background'"),
    "negative": ("id,class\n7,-1\n", "line 2 has the class '-1'"),
    "no number": ("id,class\nseven,red\n", "line 2 has the id 'seven'; an id is a whole number"),
    "two classes": ("id,class\n7,red\n7,white\n", "line 3 gives the object 7 a second class, 'white'"),
    "no header": ("7,red\n2,white\n", "names the columns 7, red; a table of classes has the columns id and class"),
    "empty": ("", r"names the columns \(none\)"),
    "short": ("id,class\n7,red\n2\n", "line 3 is too short"),
    "open quote": ('id,class\n7,"red\n', "cannot be read as CSV"),
}


@pytest.mark.parametrize("name", WRONG_TABLES)
def test_a_table_that_does_not_fit_is_explained(tmp_path, name):
    text, message = WRONG_TABLES[name]
    with pytest.raises(LabelError, match=message) as caught:
        read(table_source(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "types.csv"))


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "types.csv").write_bytes(b"\xff\xfei\x00d\x00")
    with pytest.raises(LabelError, match="not UTF-8"):
        read_class_table(tmp_path / "types.csv", classes=CLASSES)
    with pytest.raises(MissingInputError, match="there is no such file"):
        read_class_table(tmp_path / "other.csv", classes=CLASSES)


def test_only_a_table_with_ids_and_classes_is_a_table_of_classes(tmp_path):
    assert has_class_table(table_source(tmp_path, "id,class,area\n").file)
    assert not has_class_table(table_source(tmp_path, "id,area\n1,3\n").file)
    assert not has_class_table(tmp_path / "none.csv")


TOML = 'classes = ["background", "red", "white"]\nobject_classes = "types"\n'


def data_set(root, toml=TOML, *, tables=("b",), types=TYPES):
    """Two images; the classes of those in `tables` are in a table, those of the others in a mask."""
    for folder in ("images", "masks", "types"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate("ab"):
        pixels = (100 * (IDS > 0) + np.arange(12).reshape(2, 6) * (number + 1)).astype(np.uint8)
        tifffile.imwrite(root / "images" / f"{name}.tif", pixels)
        tifffile.imwrite(root / "masks" / f"{name}.tif", IDS.astype(np.uint16))
        if name in tables:
            (root / "types" / f"{name}.csv").write_text("id,class\n7,red\n2,white\n9,white\n")
        else:
            tifffile.imwrite(root / "types" / f"{name}.tif", types)
    (root / "dataset.toml").write_text(toml)
    return root


def labels_of(root, number=0):
    pairs = find_pairs(root)
    return read_pair(pairs[number], resolve_spec(pairs).spec)[1]


def test_a_folder_beside_the_images_says_the_classes_by_masks_and_tables(tmp_path):
    data_set(tmp_path)
    first, second = labels_of(tmp_path, 0), labels_of(tmp_path, 1)
    assert first.kind == second.kind == "objects"
    assert first.classes == CLASSES
    assert first.object_classes == {7: 1, 2: 2, 9: 1}
    assert second.object_classes == {7: 1, 2: 2, 9: 2}
    assert (first.ids == IDS).all()


def test_what_values_mean_is_said_in_the_description(tmp_path):
    told = 'object_values = { 0 = 0, 100 = 1, 200 = 2, 255 = "ignore" }\n'
    types = np.choose(TYPES, [0, 100, 200]).astype(np.uint8)
    types[1, 5] = 255
    labels = labels_of(data_set(tmp_path, TOML + told, types=types))
    assert labels.object_classes == {7: 1, 2: 2, 9: IGNORE}


def test_outside_of_the_region_objects_keep_their_class(tmp_path):
    data_set(tmp_path, TOML + 'region = "fov"\n')
    (tmp_path / "fov").mkdir()
    for name in "ab":
        inside = np.zeros(IDS.shape, np.uint8)
        inside[:, :5] = 1
        tifffile.imwrite(tmp_path / "fov" / f"{name}.tif", inside)
    labels = labels_of(tmp_path)
    assert (labels.ids[:, 5] == IGNORE).all()
    assert labels.classes_of(labels.ids)[0].tolist() == [1, 1, 1, 0, 2, IGNORE]


def test_without_object_classes_everything_is_as_before(tmp_path):
    labels = labels_of(data_set(tmp_path, 'labels = "objects"\n'))
    assert labels.object_classes is None
    assert labels.classes == ("background", "object")


def test_the_doctor_names_every_file_that_is_missing_or_wrong(tmp_path):
    data_set(tmp_path, tables=())
    (tmp_path / "types" / "a.tif").unlink()
    tifffile.imwrite(tmp_path / "types" / "b.tif", TYPES * 0)
    found = {one.file: one.reason for one in examine(find_pairs(tmp_path)).errors}
    assert "types/ has no file with the stem 'a'" in found[str(tmp_path / "images" / "a.tif")]
    assert any("the objects 2, 7, 9 of 3 have no class" in reason for reason in found.values())


def test_the_fingerprint_knows_the_pixels_and_objects_of_each_class(tmp_path):
    fingerprint = examine(find_pairs(data_set(tmp_path))).fingerprint
    assert fingerprint is not None
    assert fingerprint.kind == "objects"
    assert fingerprint.classes == CLASSES
    # a: 6 red, 3 white; b: 5 red, 4 white; of 24 pixels
    assert fingerprint.class_frequencies == pytest.approx((6 / 24, 11 / 24, 7 / 24))
    assert fingerprint.objects is not None
    assert fingerprint.objects.of_class == (0, 3, 3)
    assert type(fingerprint).from_dict(fingerprint.to_dict()) == fingerprint


WRONG_SETS = {
    "no folder": (
        'classes = ["background", "a"]\nobject_classes = "kinds"',
        "object_classes = 'kinds', but there is no",
    ),
    "outside": ('classes = ["background", "a"]\nobject_classes = "../types"', "there is no such folder in"),
    "no names": ('object_classes = "types"', "object_classes needs the names of the classes, background first"),
    "classes": ('labels = "classes"\n' + TOML, 'object_classes is about objects, but labels = "classes"'),
    "values alone": ('labels = "objects"\nobject_values = { 1 = 1 }', "object_classes is missing"),
    "classes alone": ('labels = "objects"\nclasses = ["background", "a", "b"]', r"2 classes of objects \(a, b\), but"),
    "class out of range": (TOML + "object_values = { 0 = 0, 1 = 1, 2 = 3 }", "object_values maps to class 3"),
    "misspelt ignore": (TOML + 'object_values = { 1 = "ignor" }', "object_values is wrong at 'ignor': each value is"),
    "no value": (TOML + "object_values = { red = 1 }", "object_values holds 'red'"),
}


@pytest.mark.parametrize("name", WRONG_SETS)
def test_a_description_that_contradicts_itself_is_explained(tmp_path, name):
    toml, message = WRONG_SETS[name]
    with pytest.raises(DatasetError, match=message):
        find_pairs(data_set(tmp_path, toml))


def test_a_mask_and_a_table_for_one_image_are_one_too_many(tmp_path):
    data_set(tmp_path)
    (tmp_path / "types" / "a.csv").write_text("id,class\n")
    with pytest.raises(DatasetError, match=r"a.tif and a.csv are both for one image; keep one"):
        find_pairs(tmp_path)


def test_objects_whose_classes_nobody_says_cannot_stand_beside_others_that_have_them(tmp_path):
    spec = resolve_spec(find_pairs(data_set(tmp_path / "first"))).spec
    other = find_pairs(data_set(tmp_path / "second", 'labels = "objects"\n'))
    with pytest.raises(LabelError, match="its objects should be red or white, but nothing says which object is which"):
        read_pair(other[0], spec)
