import csv
import errno
import json
import os
import shutil
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tifffile

from segue.arrays import Space
from segue.cli.predict import with_formats
from segue.io.images import read_image, write_image
from segue.simulate import simulate_cells
from segue.trained import load


@pytest.fixture
def images(tmp_path):
    """Three unseen images of different sizes."""
    for number, shape in enumerate([(64, 64), (37, 90), (20, 20)]):
        write_image(tmp_path / "in" / f"t{number}.tif", simulate_cells(shape, seed=100 + number)[0])
    return tmp_path / "in"


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("kind", "dtype", "axes"), [("classes", np.uint8, 2), ("objects", np.uint16, 2), ("probabilities", np.float32, 3)]
)
def test_every_image_is_answered_by_its_name_in_the_type_of_the_kind(kind, dtype, axes, world, images, segue, tmp_path):
    out = tmp_path / "out"
    answer = segue("predict", world.model, images, "--out", out, "--as", kind)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [str(out / f"t{number}.tif") for number in range(3)]
    assert sorted(path.name for path in out.iterdir()) == ["t0.tif", "t1.tif", "t2.tif"]
    for path in sorted(out.iterdir()):
        values = tifffile.imread(path)
        assert (values.dtype, values.ndim) == (dtype, axes)
        assert values.shape[-2:] == read_image(images / path.name).shape
        if kind == "probabilities":
            assert len(values) == 2
            np.testing.assert_allclose(values.sum(axis=0), 1, atol=1e-5)
            assert values.min() >= 0


def test_the_three_kinds_tell_one_story(world, images, segue, tmp_path):
    for kind in ("classes", "objects", "probabilities"):
        assert segue("predict", world.model, images / "t0.tif", "--out", tmp_path / kind, "--as", kind).code == 0
    classes, objects, probabilities = (
        tifffile.imread(tmp_path / kind / "t0.tif") for kind in ("classes", "objects", "probabilities")
    )
    np.testing.assert_array_equal(classes, probabilities.argmax(axis=0))
    assert sorted(np.unique(objects)) == list(range(objects.max() + 1))


def test_without_a_kind_the_answer_is_what_the_model_was_trained_on(world, images, segue, tmp_path):
    segue("predict", world.model, images / "t0.tif", "--out", tmp_path / "a")
    segue("predict", world.model, images / "t0.tif", "--out", tmp_path / "b", "--as", "objects")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_file_a_folder_and_a_pattern_name_the_same_images(world, images, segue, tmp_path):
    for name, inputs in (("a", sorted(images.iterdir())), ("b", [images]), ("c", [images / "t*.tif"])):
        assert segue("predict", world.model, *inputs, "--out", tmp_path / name).code == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b") == tree(tmp_path / "c")


def test_the_json_stands_alone_and_counts_the_objects(world, images, segue, tmp_path):
    answer = segue("predict", world.model, images, "--out", tmp_path / "out", "--json")
    assert (answer.code, answer.err) == (0, "")
    outputs = json.loads(answer.out)["outputs"]
    assert [one["input"] for one in outputs] == [str(images / f"t{number}.tif") for number in range(3)]
    for one in outputs:
        assert set(one) == {"input", "output", "objects", "pixel_size", "resampled", "error"}
        assert one["error"] is None
        assert one["objects"] == tifffile.imread(one["output"]).max()


def test_nifti_is_answered_with_nifti_of_the_same_affine(world, segue, tmp_path):
    import nibabel

    pixels = simulate_cells((40, 48), seed=7)[0].pixels[0].astype(np.uint8)
    affine = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(pixels.T[..., np.newaxis], affine), str(tmp_path / "a.nii.gz"))
    answer = segue("predict", world.model, tmp_path / "a.nii.gz", "--out", tmp_path / "out", "--as", "classes")
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'out' / 'a.nii.gz'}\n")
    found: Any = nibabel.load(str(tmp_path / "out" / "a.nii.gz"))
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)
    assert found.shape == (48, 40, 1)
    assert found.get_data_dtype() == np.uint8


def test_a_table_and_outlines_stand_beside_the_objects_and_agree_with_them(world, images, segue, tmp_path):
    out = tmp_path / "out"
    answer = segue("predict", world.model, images / "t1.tif", "--out", out, "--table", "--outlines")
    assert answer.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["t1.csv", "t1.geojson", "t1.tif"]
    ids, areas = np.unique(tifffile.imread(out / "t1.tif"), return_counts=True)
    ids, areas = ids[ids > 0], areas[ids > 0]
    with (out / "t1.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(ids)
    outlines = json.loads((out / "t1.geojson").read_text())
    assert outlines["type"] == "FeatureCollection"
    assert len(outlines["features"]) == len(ids)


def test_every_format_can_be_asked_for_and_all_hold_the_same_objects(world, images, segue, tmp_path):
    from pyarrow import parquet
    from roifile import roiread

    out = tmp_path / "out"
    formats = ["--table", "csv,parquet", "--outlines", "geojson,imagej,coco", "--overlay"]
    assert segue("predict", world.model, images, "--out", out, *formats).code == 0
    endings = (".tif", ".csv", ".parquet", ".geojson", ".rois.zip", ".overlay.png")
    expected = {f"t{number}{ending}" for number in range(3) for ending in endings} | {"coco.json"}
    assert {path.name for path in out.iterdir()} == expected
    data_set = json.loads((out / "coco.json").read_text())
    for image in data_set["images"]:
        stem = image["file_name"].removesuffix(".tif")
        objects = tifffile.imread(out / f"{stem}.tif")
        ids = np.unique(objects[objects > 0]).tolist()
        of_image = [one for one in data_set["annotations"] if one["image_id"] == image["id"]]
        assert [one["object_id"] for one in of_image] == ids
        assert parquet.read_table(out / f"{stem}.parquet")["id"].to_pylist() == ids
        regions = roiread(out / f"{stem}.rois.zip")
        assert isinstance(regions, list)
        assert [int(region.name) for region in regions] == ids
        assert tifffile.imread(out / f"{stem}.tif").shape == (image["height"], image["width"])


@pytest.mark.parametrize("order", [0, 1, 2])
def test_options_that_stand_alone_never_swallow_an_input(order, world, images, segue, tmp_path):
    words = [["--table"], ["--outlines"], [images / "t0.tif"]]
    turned = [word for group in words[order:] + words[:order] for word in group]
    assert segue("predict", world.model, *turned, "--out", tmp_path / "out").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["t0.csv", "t0.geojson", "t0.tif"]


def test_words_are_completed_only_where_a_format_is_missing():
    assert with_formats(["--table", "--outlines"]) == ["--table", "csv", "--outlines", "geojson"]
    assert with_formats(["--table", "a.tif"]) == ["--table", "csv", "a.tif"]
    assert with_formats(["--table", "parquet"]) == ["--table", "parquet"]
    assert with_formats(["--outlines", "coco,imagj"]) == ["--outlines", "coco,imagj"]
    assert with_formats(["--outlines=coco", "x"]) == ["--outlines=coco", "x"]
    assert with_formats(["--", "--table", "x"]) == ["--", "--table", "x"]


def test_the_decoding_is_that_of_the_model_but_for_what_is_said(world, images, segue, tmp_path):
    command = ["predict", world.model, images / "t0.tif", "--as", "objects"]
    assert segue(*command, "--out", tmp_path / "all", "--decode", "smallest_object=1").code == 0
    settings = ["--decode", "smallest_object=1", "--decode", "smallest_object=60"]
    assert segue(*command, "--out", tmp_path / "large", *settings).code == 0
    sizes = {
        name: np.bincount(tifffile.imread(tmp_path / name / "t0.tif").ravel())[1:].tolist() for name in ("all", "large")
    }
    assert sizes["large"] == [size for size in sizes["all"] if size >= 60]
    assert len(sizes["large"]) < len(sizes["all"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--decode", "smallest_dp=0.5"], 'did you mean "smallest_dip"?'),
        (["--decode", "smallest_dip=2"], "give a number from 0 to below 1"),
        (["--as", "classes", "--decode", "smoothing=1"], "ask for objects instead of classes"),
        (["--as", "probabilities", "--overlay"], "ask for objects instead of probabilities"),
        (["--outlines=geojsn"], 'did you mean "geojson"?'),
        (["--table="], "known are csv, parquet"),
    ],
)
def test_a_wish_that_cannot_be_is_2_and_writes_nothing(words, message, world, images, segue, tmp_path):
    answer = segue("predict", world.model, images, "--out", tmp_path / "out", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert not (tmp_path / "out").exists()


def test_the_tile_and_the_memory_do_not_change_the_probabilities(world, segue, tmp_path):
    write_image(tmp_path / "a.tif", simulate_cells((150, 131), seed=3)[0])
    command = ["predict", world.model, tmp_path / "a.tif", "--as", "probabilities", "--precision", "fp32"]
    whole = tmp_path / "whole"
    assert segue(*command, "--out", whole).code == 0
    expected = tifffile.imread(whole / "a.tif")
    for name, options in (("t", ["--tile", 64]), ("u", ["--tile", 101]), ("m", ["--max-memory", "1MB"])):
        assert segue(*command, "--out", tmp_path / name, *options).code == 0
        difference = np.abs(tifffile.imread(tmp_path / name / "a.tif") - expected)
        assert difference.max() <= 1e-5


def test_mirror_images_change_the_answer_and_no_mirror_leaves_them_out(world, images, segue, tmp_path):
    command = ["predict", world.model, images / "t0.tif", "--as", "probabilities", "--precision", "fp32"]
    for name, options in (("with", ["--mirror"]), ("default", []), ("without", ["--no-mirror"])):
        assert segue(*command, "--out", tmp_path / name, *options).code == 0
    probabilities = {name: tifffile.imread(tmp_path / name / "t0.tif") for name in ("with", "default", "without")}
    np.testing.assert_array_equal(probabilities["default"], probabilities["with"])  # the plan says mirror = true
    assert np.abs(probabilities["with"] - probabilities["without"]).max() > 1e-3


def test_a_mirrored_image_has_the_mirrored_answer_if_mirror_images_are_averaged(world, segue, tmp_path):
    image = simulate_cells((48, 48), seed=9)[0].pixels[0].astype(np.uint8)
    for name, pixels in (("a", image), ("b", image[:, ::-1]), ("c", image.T)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    command = ["predict", world.model, *(tmp_path / f"{name}.tif" for name in "abc"), "--out", tmp_path / "out"]
    assert segue(*command, "--as", "probabilities", "--precision", "fp32", "--mirror").code == 0
    a, b, c = (tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in "abc")
    np.testing.assert_allclose(b[:, :, ::-1], a, atol=1e-5)
    np.testing.assert_allclose(c.transpose(0, 2, 1), a, atol=1e-5)


@pytest.mark.parametrize("name", ["two words", "\u00b5m \u2603", "a[1]", "new\nline", "-x", "a.b.c", "(v1.0)"])
def test_whatever_the_name_of_an_image_its_answer_has_it_too(name, world, segue, tmp_path):
    tifffile.imwrite(tmp_path / f"{name}.png.tif", np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert segue("predict", world.model, tmp_path / f"{name}.png.tif", "--out", tmp_path / name).code == 0
    assert [path.name for path in (tmp_path / name).iterdir()] == [f"{name}.png.tif"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2)])
def test_an_image_of_almost_nothing_is_answered_in_its_size(shape, world, segue, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))
    assert segue("predict", world.model, tmp_path / "a.tif", "--out", tmp_path / "out").code == 0
    assert tifffile.imread(tmp_path / "out" / "a.tif").shape == shape


def test_a_constant_image_is_an_image(world, segue, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((30, 30), 7, np.uint16))
    answer = segue("predict", world.model, tmp_path / "a.tif", "--out", tmp_path / "out", "--as", "probabilities")
    assert answer.code == 0
    assert np.isfinite(tifffile.imread(tmp_path / "out" / "a.tif")).all()


def test_of_good_and_bad_images_the_good_ones_are_answered_and_the_bad_ones_named(world, images, segue, tmp_path):
    (images / "t1.tif").write_bytes(b"")
    answer = segue("predict", world.model, images, "--out", tmp_path / "out", "--json")
    assert answer.code == 3
    assert answer.err.splitlines() == [
        f"segue: {images / 't1.tif'}: it holds 0 bytes; copy or export it again",
        f"segue: 1 of 3 images failed; the others are in {tmp_path / 'out'}",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["t0.tif", "t2.tif"]
    outputs = json.loads(answer.out)["outputs"]
    assert [one["output"] is None for one in outputs] == [False, True, False]
    assert [one["error"] is None for one in outputs] == [True, False, True]


def test_of_several_images_that_all_fail_each_is_named_and_nothing_is_left(world, images, segue, tmp_path):
    for path in images.iterdir():
        path.write_bytes(b"II*\0")
    answer = segue("predict", world.model, images, "--out", tmp_path / "new" / "out")
    assert (answer.code, answer.out) == (65, "")
    lines = answer.err.splitlines()
    assert [line.split(": ")[1] for line in lines[:3]] == [str(images / f"t{number}.tif") for number in range(3)]
    assert lines[3:] == ["segue: none of the 3 images could be predicted"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["classes", "objects", "probabilities"])
def test_a_full_disk_is_74_and_leaves_the_answers_of_before(kind, world, images, segue, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    out = tmp_path / "out"
    out.mkdir()
    (out / "t0.tif").write_bytes(b"the answer of before")
    monkeypatch.setattr(os, "fsync", full)
    answer = segue("predict", world.model, images, "--out", out, "--as", kind)
    assert (answer.code, answer.out) == (74, "")
    assert answer.err.startswith(f"segue: {out / 't0.tif'}: No space left on device, ")
    assert answer.err.count("\n") == 1
    assert tree(out) == {"t0.tif": b"the answer of before"}


def test_a_file_that_may_not_grow_is_74_and_nothing_half_written(world, start, tmp_path):
    write_image(tmp_path / "a.tif", simulate_cells((200, 200), seed=1)[0])
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    process = start(
        *("predict", world.model, tmp_path / "a.tif", "--out", tmp_path / "out", "--as", "probabilities"),
        before=limited,
    )
    out, err = process.communicate()
    assert (process.returncode, out) == (74, "")
    assert err.startswith(f"segue: {tmp_path / 'out' / 'a.tif'}: File too large, ")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_prediction_with_whole_files_only(number, code, world, start, wait_for, tmp_path):
    (tmp_path / "in").mkdir()
    image = simulate_cells((64, 64), seed=1)[0]
    write_image(tmp_path / "first.tif", image)
    for index in range(500):
        shutil.copy(tmp_path / "first.tif", tmp_path / "in" / f"{index:03d}.tif")
    out = tmp_path / "out"
    process = start("predict", world.model, tmp_path / "in", "--out", out)
    wait_for((out / "002.tif").exists, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err.strip() in ("segue: interrupted", "segue: terminated")
    written = sorted(path.name for path in out.iterdir())
    assert 3 <= len(written) < 500
    assert written == [f"{index:03d}.tif" for index in range(len(written))]
    for name in written:
        assert tifffile.imread(out / name).shape == (64, 64)


@pytest.fixture
def sized(world, tmp_path):
    """The model, as if trained on images of several pixel sizes, and an image that says its own."""
    model = load(world.model)
    training = {**model.header.training, "fingerprint": {"pixel_size_differs": True}}
    model.with_header(pixel_size=(0.5, 0.5), unit="micrometer", training=training).save(tmp_path / "sized.segue")
    image = simulate_cells((40, 30), seed=7)[0]
    write_image(tmp_path / "big.tif", replace(image, space=Space(pixel_size=(1.0, 1.0), unit="micrometer")))
    write_image(tmp_path / "silent.tif", replace(image, space=Space()))
    return tmp_path


def test_it_is_said_which_images_were_resampled_and_which_do_not_say_their_pixel_size(sized, segue):
    answer = segue("predict", sized / "sized.segue", sized / "big.tif", sized / "silent.tif", "--out", sized / "out")
    assert answer.code == 0
    assert "the network works at a pixel size of 0.5 micrometer; 1 image was resampled" in answer.err
    assert "such as big.tif, 1 micrometer" in answer.err
    assert "1 image does not say its pixel size (such as silent.tif)" in answer.err
    assert "0.5 micrometer; --pixel-size says another one" in answer.err


def test_the_pixel_size_of_the_user_counts(sized, segue):
    words = ["--pixel-size", "0.5", "--json"]
    answer = segue("predict", sized / "sized.segue", sized / "big.tif", "--out", sized / "out", *words)
    assert (answer.code, answer.err) == (0, "")
    (output,) = json.loads(answer.out)["outputs"]
    assert (output["pixel_size"], output["resampled"]) == ([0.5, 0.5], False)
    wrong = segue("predict", sized / "sized.segue", sized / "big.tif", "--out", sized / "b", "--pixel-size", "small")
    assert wrong.code == 2
    assert '"small" is not a pixel size' in wrong.err
