import pytest

from segue.errors import DatasetError
from segue.io.description import Description, explicit_spec, pixel_size_of, read_description

FULL = r"""
labels = "classes"
classes = ["background", "membrane"]
values = { 255 = 0, 0 = 1 }
ignore = 128
pixel_size = [0.004, 0.004]
group = "(.+)_t\\d+"
region = "fov"
"""


def described(tmp_path, text):
    (tmp_path / "dataset.toml").write_text(text, "utf-8")
    return read_description(tmp_path / "dataset.toml")


def spec_of(tmp_path, text):
    return explicit_spec(described(tmp_path, text), source=tmp_path / "dataset.toml")


def test_every_key_of_the_design_is_understood(tmp_path):
    description = described(tmp_path, FULL)
    assert description.pixel_size == (0.004, 0.004)
    assert description.group == r"(.+)_t\d+"
    assert description.region == "fov"
    spec = explicit_spec(description, source=tmp_path)
    assert spec is not None
    assert spec.kind == "classes"
    assert spec.classes == ("background", "membrane")
    assert spec.values == {255: 0, 0: 1}
    assert spec.ignore == {128}
    assert not spec.snap


def test_an_empty_file_says_nothing(tmp_path):
    assert described(tmp_path, "") == Description()


def test_colours_are_keys_too(tmp_path):
    spec = spec_of(tmp_path, 'values = { "#000000" = 0, "#FF0000" = 1, "#00ff00" = 1 }\nignore = "#ffffff"')
    assert spec.coding == "colour"
    assert spec.values == {0: 0, 0xFF0000: 1, 0x00FF00: 1}
    assert spec.ignore == {0xFFFFFF}
    assert spec.classes == ("background", "foreground")


def test_several_values_can_be_ignored(tmp_path):
    assert spec_of(tmp_path, "values = { 0 = 0, 1 = 1 }\nignore = [-1, 255]").ignore == {-1, 255}


def test_objects_may_say_which_value_is_background(tmp_path):
    spec = spec_of(tmp_path, 'labels = "objects"\nclasses = ["background", "cell"]\nvalues = { 255 = 0 }')
    assert spec.kind == "objects"
    assert spec.values == {255: 0}
    assert spec.classes == ("background", "cell")


@pytest.mark.parametrize("text", ['labels = "objects"', 'classes = ["a", "b"]', "ignore = 3"])
def test_without_values_the_masks_have_to_be_looked_at(tmp_path, text):
    assert spec_of(tmp_path, text) is None


WRONG = {
    "not toml": ("labels = objects", r"not valid TOML: .*line 1"),
    "not toml, later": ("ignore = 3\nvalues = { 0 = 0,, }", r"line 2"),
    "twice": ("ignore = 3\nignore = 4", "not valid TOML: Cannot overwrite"),
    "misspelt key": ("clases = ['a', 'b']", "unknown key 'clases'; did you mean 'classes'"),
    "foreign key": ("zzz = 1", "unknown key 'zzz'; allowed are labels, classes"),
    "misspelt kind": ("labels = 'object'", "labels = 'object'.*did you mean 'objects'"),
    "wrong kind": ("labels = 3", 'labels = 3, but it must be "classes" or "objects"'),
    "one class": ("classes = ['a']", "classes is wrong at"),
    "class not a text": ("classes = ['a', 3]", "classes is wrong at 3"),
    "class twice": ("classes = ['a', 'b', 'a']", "names 'a' twice"),
    "empty class": ("classes = ['a', ' ']", "empty name"),
    "background not first": ("classes = ['cell', 'background']", "background stands at position 1"),
    "ignore as a class": ("classes = ['a', 'ignore']", '"ignore" is not a class'),
    "class out of range": (
        "classes = ['a', 'b']\nvalues = {0 = 0, 1 = 1, 2 = 2}",
        "class 2, but the classes are 0 to 1",
    ),
    "negative class": ("values = {0 = 0, 1 = -1}", "maps to class -1"),
    "class without a value": ("classes = ['a', 'b', 'c']\nvalues = {0 = 0, 1 = 2}", "no value maps to b"),
    "class ids with a gap": ("values = {0 = 0, 1 = 2}", "no value maps to class 1"),
    "value not a number": ("values = {red = 1}", "'red'; a value of a mask is a whole number"),
    "value a short colour": ('values = {"#f00" = 1}', "'#f00'"),
    "numbers and colours": ('values = {0 = 0, "#ff0000" = 1}', "mixes numbers and colours"),
    "numbers ignored among colours": (
        'values = {"#000000" = 0, "#ff0000" = 1}\nignore = 3',
        "both be numbers or both",
    ),
    "same value twice": ("values = {0 = 0, 00 = 1}", "names 0 twice"),
    "class id not a number": ("values = {0 = 'a'}", "values is wrong at 'a'"),
    "class id a truth value": ("values = {0 = true}", "values is wrong at True"),
    "ignored and mapped": ("values = {0 = 0, 1 = 1}\nignore = 1", "1 stands in values and in ignore"),
    "objects with classes": (
        "labels = 'objects'\nvalues = {0 = 0, 1 = 1}",
        "can only say which value is background",
    ),
    "pixel size of one axis": ("pixel_size = [0.1]", "pixel_size is wrong"),
    "pixel size no list": (
        "pixel_size = 0.5",
        r"pixel_size is wrong at 0\.5: it is a list of 2 or 3 numbers, \(z\) y x, such as \[0\.5, 0\.5\]",
    ),
    "pixel size by name no list": ("[pixel_sizes]\n'a*' = 0.5", "pixel_sizes is wrong at .* it is a list of 2 or 3"),
    "classes no list": ("classes = 'cell'", "classes is wrong at 'cell': it is a list of names, such as"),
    "pixel size of nothing": ("pixel_size = [0.1, 0.0]", "pixel_size is wrong at 0.0"),
    "pixel size infinite": ("pixel_size = [0.1, inf]", "pixel_size is wrong at inf"),
    "pixel sizes by name": ("[pixel_sizes]\n'a*' = [0.1, 0.2, 0.3, 0.4]", "pixel_sizes is wrong at .*2 or 3 numbers"),
    "pixel sizes of nothing": ("[pixel_sizes]\na = [0, 1]", "pixel_sizes is wrong at 0"),
    "group no expression": ("group = '('", r"group = '\(' is no regular expression"),
    "group without parentheses": (r"group = '.+_t\d+'", "has no parentheses"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_explained(tmp_path, name):
    text, message = WRONG[name]
    with pytest.raises(DatasetError, match=message) as caught:
        described(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "dataset.toml"))


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "dataset.toml").write_text("ignore = 3", "utf-8-sig")
    assert read_description(tmp_path / "dataset.toml").ignore == 3


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "dataset.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_description(tmp_path / "dataset.toml")


def test_the_first_pattern_that_fits_a_name_says_its_pixel_size(tmp_path):
    text = "pixel_size = [1.0, 1.0]\n[pixel_sizes]\n'rat1_*' = [0.1, 0.1]\n'rat*' = [0.2, 0.2]\n'z[12]' = [5, 1, 1]\n"
    description = described(tmp_path, text)
    names = ("rat1_a", "rat12", "rat2_rat1_b", "mouse", "Rat1_a", "z1", "z3")
    sizes = [(0.1, 0.1), (0.2, 0.2), (0.2, 0.2), (1.0, 1.0), (1.0, 1.0), (5, 1, 1), (1.0, 1.0)]
    assert [pixel_size_of(name, description) for name in names] == sizes
    assert pixel_size_of("rat1", described(tmp_path, "")) is None
