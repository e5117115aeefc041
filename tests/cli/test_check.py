import json

import numpy as np
import pytest

from segue.arrays import Image, Space
from segue.io.images import write_image, write_labels
from segue.io.labels import read_mask


def test_the_text_says_what_the_data_are(world, segue):
    answer = segue("check", world.data)
    assert answer.code == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0].split() == ["images", "8,", "2D,", "64", "x", "64", "px"]
    assert any(line.startswith("class cell") for line in lines)
    assert "note: " in answer.out
    assert lines[-1] == "nothing is wrong with these data"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["CT", "CT"], "intensities are Hounsfield units, the same in each scan"),
        (["PET", "CT"], "intensities of channel 1 are Hounsfield units, the same in each scan"),
        (["PET", "MRI"], None),
    ],
)
def test_the_text_says_which_channels_are_ct(tmp_path, segue, names, said):
    rng = np.random.default_rng(0)
    ids = np.zeros((32, 32), np.int32)
    ids[8:24, 8:24] = 1
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.tif", Image(pixels=rng.random((2, 32, 32), np.float32)))
        write_labels(tmp_path / "masks" / f"{number}.tif", ids, space=Space())
    (tmp_path / "dataset.toml").write_text(f'labels = "classes"\nchannels = {json.dumps(names)}\n')
    lines = segue("check", tmp_path).out.splitlines()
    assert [line.removeprefix("CT").strip() for line in lines if line.startswith("CT ")] == [said] * (said is not None)


def test_the_json_stands_alone_and_says_the_same(world, segue):
    answer = segue("check", world.data, "--json")
    assert (answer.code, answer.err) == (0, "")
    plain = json.loads(answer.out)
    assert set(plain) == {"layout", "fingerprint", "findings", "errors"}
    assert (plain["layout"], plain["errors"]) == ("folders", 0)
    print_ = plain["fingerprint"]
    assert (print_["images"], print_["kind"], print_["classes"]) == (8, "objects", ["background", "cell"])
    assert print_["median_shape"] == [64, 64]
    counts = [len(np.unique(read_mask(path).values)) - 1 for path in (world.data / "masks").iterdir()]
    assert print_["objects"]["total"] == sum(counts)
    assert all(set(one) == {"severity", "file", "reason", "remedy"} for one in plain["findings"])


@pytest.fixture
def spoilt(world, tmp_path):
    """A copy of the data set with an image without its mask, and a mask of another size."""
    import shutil

    shutil.copytree(world.data, tmp_path / "data")
    (tmp_path / "data" / "masks" / "c0.tif").unlink()
    mask = read_mask(tmp_path / "data" / "masks" / "c1.tif")
    write_labels(tmp_path / "data" / "masks" / "c1.tif", mask.values[:50], space=mask.space, kind="objects")
    return tmp_path / "data"


def test_errors_and_warnings_are_told_with_file_reason_and_remedy_and_the_code_is_65(spoilt, segue):
    answer = segue("check", spoilt)
    assert (answer.code, answer.err) == (65, "")
    lines = answer.out.splitlines()
    wrong = next(number for number, line in enumerate(lines) if line.startswith("error: "))
    assert lines[wrong].startswith(f"error: {spoilt / 'masks' / 'c1.tif'}: its shape is 50 x 64 (y x), but that of its")
    assert lines[wrong + 1].startswith("    ")
    assert f"warning: {spoilt / 'images' / 'c0.tif'}: there is no mask with the stem 'c0'" in lines
    assert "nothing is wrong" not in answer.out


def test_the_json_of_bad_data_is_whole_json_and_the_code_is_65(spoilt, segue):
    answer = segue("check", spoilt, "--json")
    assert (answer.code, answer.err) == (65, "")
    plain = json.loads(answer.out)
    assert plain["errors"] == 1
    first = plain["findings"][0]
    assert (first["severity"], first["file"]) == ("error", str(spoilt / "masks" / "c1.tif"))


def test_a_look_at_the_data_changes_nothing(spoilt, segue):
    before = {path: path.stat().st_mtime_ns for path in spoilt.rglob("*")}
    segue("check", spoilt)
    assert {path: path.stat().st_mtime_ns for path in spoilt.rglob("*")} == before
