"""An image has the name, the files and the pixel size in prediction that its pair has in training."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from segue.errors import DatasetError, ImageError, MissingInputError
from segue.io.datasets import find_pairs, read_pair_image
from segue.io.inputs import described_pixel_size, find_inputs, read_input

MASK = np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], np.uint8)


def put(root, *names):
    """A small image at each place; its values tell its name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(MASK + np.uint8(sum(name.encode()) % 100)).save(path)
    return [root / name for name in names]


def describe(root, channels, suffix=".png"):
    names = {str(number): f"c{number}" for number in range(channels)}
    content = {"channel_names": names, "labels": {"background": 0, "cell": 1}, "file_ending": suffix}
    (root / "dataset.json").write_text(json.dumps(content))


def nnunet(root, channels):
    for case in ("c_2", "c_10"):
        put(root, f"labelsTr/{case}.png", *(f"imagesTr/{case}_{number:04d}.png" for number in range(channels)))
    describe(root, channels)


def nnunet_colour(root):
    put(root, "imagesTr/a_0000.png", "labelsTr/a.png", "imagesTr/b_0000.png", "labelsTr/b.png")
    describe(root, 3)


def decathlon(root):
    names = ("a_0000.png", "a_0001.png", "b.png")
    put(root, *(f"{folder}/{name}" for folder in ("imagesTr", "labelsTr") for name in names))
    describe(root, 1)


def nnunet_without_json(root):
    put(root, "imagesTr/a.png", "labelsTr/a.png", "imagesTr/b_2.png", "labelsTr/b_2.png")


def tracking(root):
    for sequence in ("01", "02"):
        put(root, *(f"{sequence}/t{number:03d}.tif" for number in range(2)))
        put(root, *(f"{sequence}_GT/SEG/man_seg{number:03d}.tif" for number in range(2)))


def bowl(root, image="{}", mask="0{}"):
    for case in ("c1", "c2"):
        put(root, f"{case}/images/{image.format(case)}.png", f"{case}/masks/{mask.format(case)}.png")


def folders(root, images="images", masks="masks"):
    for name in ("a", "t000", "c_0001"):
        put(root, f"{images}/{name}.png", f"{masks}/{name}.png")


LAYOUTS = {
    "nnU-Net": lambda root: nnunet(root, 1),
    "nnU-Net of two channels": lambda root: nnunet(root, 2),
    "nnU-Net of colours": nnunet_colour,
    "nnU-Net without dataset.json": nnunet_without_json,
    "Decathlon": decathlon,
    "Cell Tracking Challenge": tracking,
    "Data Science Bowl": bowl,
    "Data Science Bowl, names that repeat": lambda root: (bowl(root, "image", "0"), (root / "dataset.toml").touch()),
    "Data Science Bowl, one mask each": lambda root: bowl(root, "{}", "{}"),
    "folders": folders,
    "folders in capitals": lambda root: folders(root, "Images", "Masks"),
    "folders of one image": lambda root: put(root, "image/b.png", "mask/b.png"),
    "one file an object": lambda root: put(root, "images/b.png", "masks/b/0.png", "masks/b/1.png"),
    "endings": lambda root: put(root, "a.png", "a_mask.png", "b_img.png", "b_masks.png"),
}


@pytest.fixture(params=[*LAYOUTS.values()], ids=[*LAYOUTS])
def data(request, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    request.param(root)
    return root


def test_an_image_has_the_name_and_the_files_of_its_pair(data, monkeypatch):
    pairs = find_pairs(data)
    found = find_inputs(path for pair in pairs for path in pair.images)
    assert [(one.name, one.files) for one in found] == [(pair.name, pair.images) for pair in pairs]
    for one, pair in zip(found, pairs, strict=True):
        assert (read_input(one).pixels == read_pair_image(pair).pixels).all()
        monkeypatch.chdir(pair.images[0].parent)  # the same from inside of the folder
        (inside,) = find_inputs([type(path)(path.name) for path in pair.images][-1:])
        assert (inside.name, len(inside.files)) == (one.name, len(one.files))


def test_the_description_says_the_pixel_size_of_an_image_by_the_name_of_its_pair(data):
    names = [pair.name for pair in find_pairs(data)]
    (data / "dataset.toml").write_text(f"pixel_size = [1.0, 2.0]\n[pixel_sizes]\n'{names[0]}' = [0.5, 0.25]\n")
    pairs = find_pairs(data)
    found = find_inputs(path for pair in pairs for path in pair.images)
    sizes = [described_pixel_size(one) for one in found]
    assert sizes == [pair.pixel_size for pair in pairs] == [(0.5, 0.25), *[(1.0, 2.0)] * (len(names) - 1)]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_spacing_of_an_nnunet_case_holds_in_prediction_as_in_training(tmp_path, monkeypatch, channels):
    names = [f"imagesTr/c_{number:04d}.tif" for number in range(channels)]
    put(tmp_path, "labelsTr/c.tif", *names, *(name.replace("Tr", "Ts").replace("c_", "n_") for name in names))
    describe(tmp_path, channels, ".tif")
    for case in ("imagesTr/c.json", "imagesTs/n.json"):
        (tmp_path / case).write_text('{"spacing": [5.0, 0.5, 0.25]}')
    (pair,) = find_pairs(tmp_path)
    found = find_inputs([tmp_path / "imagesTr" / "c_0000.tif", tmp_path / "imagesTs" / "n_0000.tif"])
    assert [described_pixel_size(one) for one in found] == [pair.pixel_size] * 2 == [(5.0, 0.5, 0.25)] * 2
    monkeypatch.chdir(tmp_path / "imagesTr")
    assert described_pixel_size(find_inputs([Path("c_0000.tif")])[0]) == pair.pixel_size
    (tmp_path / "dataset.toml").write_text("pixel_size = [1.0, 2.0, 3.0]")
    assert described_pixel_size(found[0]) == (1.0, 2.0, 3.0)


def test_images_that_nobody_has_annotated_are_called_in_the_same_way(tmp_path):
    tracking(tmp_path / "ctc")
    nnunet(tmp_path / "nnunet", 2)
    files = put(
        tmp_path, "ctc/03/t001.tif", "ctc/01/notes.tif", "nnunet/imagesTs/n_0001.png", "nnunet/imagesTs/n_0000.png"
    )
    found = find_inputs(files)
    assert [one.name for one in found] == ["03_t001", "notes", "n"]
    assert [path.name for path in found[-1].files] == ["n_0000.png", "n_0001.png"]


def test_files_in_folders_that_only_sound_like_a_layout_keep_their_names(tmp_path):
    files = put(tmp_path, "01/t000.tif", "new/a_0000.png", "new/a_0001.png", "cell/images/a.png", "a/images/b.png")
    put(tmp_path, "a/masks/b.png")
    (tmp_path / "cell" / "masks").mkdir()  # for masks that are still to be drawn
    (tmp_path / "a" / "dataset.toml").write_text("pixel_size = [1.0, 2.0]")
    found = find_inputs(files)
    assert [one.name for one in found] == ["t000", "a_0000", "a_0001", "a", "b"]
    assert all(len(one.files) == 1 for one in found)
    assert described_pixel_size(found[-1]) == (1.0, 2.0)
    assert [described_pixel_size(one) for one in found[:-1]] == [None] * 4


@pytest.mark.parametrize("image", ["set/images/a.png", "set/a.png"])
def test_the_description_may_stand_beside_an_image_or_above_its_folder(tmp_path, image):
    (one,) = find_inputs(put(tmp_path, image))
    assert described_pixel_size(one) is None
    (tmp_path / "set" / "dataset.toml").write_text("pixel_size = [1.0, 2.0]")
    assert described_pixel_size(one) == (1.0, 2.0)
    (tmp_path / "set" / "dataset.toml").write_text("pixel_size = 1")
    with pytest.raises(DatasetError, match="pixel_size is wrong at 1"):
        described_pixel_size(one)


def test_a_channel_that_is_not_there_is_named(tmp_path):
    nnunet(tmp_path, 2)
    (tmp_path / "imagesTr" / "c_2_0001.png").unlink()
    (one,) = find_inputs([tmp_path / "imagesTr" / "c_2_0000.png"])
    with pytest.raises(
        ImageError, match=r"c_2: dataset\.json names 2 channels, but c_2_0001\.png is not there; add it"
    ):
        read_input(one)
    with pytest.raises(MissingInputError, match=r"imagesTr/nothing\.png"):
        read_input(find_inputs([tmp_path / "imagesTr" / "nothing.png"])[0])


def test_a_dataset_json_that_does_not_name_the_channels_is_an_error(tmp_path):
    nnunet(tmp_path, 2)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match='"channel_names" is missing'):
        find_inputs([tmp_path / "imagesTr" / "c_2_0000.png"])
