"""A folder is read once, and everything that is wrong with it is said in one go."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from segue.arrays import Image, Labels, Space
from segue.fingerprint import examine
from segue.fingerprint.orientation import FEWEST_IMAGES
from segue.io.datasets import find_pairs, resolve_spec
from segue.io.images import write_image, write_labels, write_png
from segue.io.labels import read_mask
from segue.simulate import CellsConfig, simulate_cells, simulate_membranes


def write_set(folder, pairs) -> Path:
    for number, (image, labels) in enumerate(pairs):
        write_image(folder / "images" / f"t{number}.tif", image)
        write_labels(folder / "masks" / f"t{number}.tif", labels.ids, space=labels.space, kind=labels.kind)
    return Path(folder)


def cells(count) -> list[tuple[Image, Labels]]:
    config = CellsConfig(diameter=16, density=0.25)
    return [simulate_cells((64, 72), seed=seed, config=config) for seed in range(count)]


def test_a_good_data_set_has_a_fingerprint_and_no_warning(tmp_path):
    pairs = cells(12)
    result = examine(find_pairs(write_set(tmp_path, pairs)))
    assert [finding.severity for finding in result.findings] == ["note"]  # what the masks mean
    assert result.errors == ()
    assert result.spec is not None
    assert result.spec.kind == "objects"
    fingerprint = result.fingerprint
    assert fingerprint is not None
    assert (fingerprint.images, fingerprint.median_shape) == (12, (64, 72))
    assert fingerprint.objects is not None
    assert fingerprint.objects.total == sum(labels.ids.max() for _, labels in pairs)
    assert [one.name for one in result.images] == [f"t{number}" for number in range(12)]  # natural order


def test_everything_wrong_is_said_in_one_pass(tmp_path):
    pairs = cells(8)
    folder = write_set(tmp_path, pairs)
    (folder / "images" / "t1.tif").write_bytes(b"")
    write_labels(folder / "masks" / "t2.tif", np.zeros((10, 10), int), space=pairs[0][1].space)
    broken = pairs[3][0].pixels[0].copy()
    broken[0, 0] = np.nan
    write_image(folder / "images" / "t3.tif", type(pairs[3][0])(pixels=broken[None], space=pairs[3][0].space))
    write_image(folder / "images" / "alone.tif", pairs[0][0])
    result = examine(find_pairs(folder))
    said = {finding.file.split("/")[-1]: finding.reason for finding in result.findings}
    assert "0 bytes" in said["t1.tif"]
    assert "10 x 10" in said["t2.tif"]
    assert "NaN" in said["t3.tif"]
    assert "no mask" in said["alone.tif"]
    assert len(result.errors) >= 3
    assert result.fingerprint is not None
    assert result.fingerprint.images == 6


def test_an_image_is_judged_even_if_its_mask_cannot_be_used(tmp_path):
    folder = write_set(tmp_path, cells(3))
    write_png(folder / "images" / "t9.png", np.zeros((64, 72), np.uint8))
    write_png(folder / "masks" / "t9.png", np.zeros((5, 5), np.uint8))
    reasons = [f.reason for f in examine(find_pairs(folder)).findings if "t9" in f.file]
    assert any("5 x 5" in reason for reason in reasons)
    assert any("same value" in reason for reason in reasons)


def test_a_set_of_which_nothing_can_be_read_has_errors_and_no_fingerprint(tmp_path):
    folder = write_set(tmp_path, cells(2))
    for mask in (folder / "masks").iterdir():
        mask.write_bytes(b"broken")
    result = examine(find_pairs(folder))
    assert result.fingerprint is None
    assert result.images == ()
    assert len(result.errors) == 2


def test_hundreds_of_files_with_the_same_trouble_become_one_line(tmp_path):
    pairs = cells(7)
    folder = write_set(tmp_path, pairs)
    for mask in (folder / "masks").iterdir():
        write_labels(mask, np.zeros((64, 73), int), space=pairs[0][1].space)
    (folder / "dataset.toml").write_text('labels = "objects"')
    result = examine(find_pairs(folder))
    (error,) = result.errors
    assert error.reason.startswith("7 of 7 files cannot be used, the first is")


def test_hundreds_of_images_without_a_mask_become_one_line(tmp_path):
    folder = write_set(tmp_path, cells(4))
    for number in range(200):
        (folder / "images" / f"alone{number}.tif").write_bytes(b"")
    (warning,) = [one for one in examine(find_pairs(folder)).findings if "no mask" in one.reason]
    assert warning.reason.startswith("200 files are alike, the first is ")


def test_colours_as_ids_are_not_said_to_have_gaps(tmp_path):
    folder = write_set(tmp_path, cells(3))
    for mask in list((folder / "masks").iterdir()):
        ids = read_mask(mask).values
        mask.unlink()
        colours = np.stack([ids * 37 % 256, ids * 91 % 256, ids * 53 % 256], axis=-1).astype(np.uint8)
        Pillow.fromarray(colours).save(mask.with_suffix(".png"))
    (folder / "dataset.toml").write_text('labels = "objects"')
    found = examine(find_pairs(folder))
    assert found.spec is not None
    assert found.spec.coding == "colour"
    assert not [one for one in found.findings if "consecutive" in one.reason]


def test_what_the_description_says_is_kept(tmp_path):
    folder = write_set(tmp_path, [simulate_membranes((64, 64), seed=seed) for seed in range(3)])
    (folder / "dataset.toml").write_text('classes = ["membrane", "cell"]\nvalues = { 0 = 0, 1 = 1 }')
    result = examine(find_pairs(folder))
    assert result.spec is not None
    assert result.spec.classes == ("membrane", "cell")
    assert result.fingerprint is not None
    assert result.fingerprint.class_frequencies[0] == pytest.approx(
        np.mean([(simulate_membranes((64, 64), seed=seed)[1].ids == 0).mean() for seed in range(3)])
    )


def test_progress_counts_every_pair(tmp_path):
    seen = []
    examine(find_pairs(write_set(tmp_path, cells(5))), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(number, 5) for number in range(1, 6)]


def test_volumes_are_examined(tmp_path):
    pairs = [simulate_cells((8, 32, 32), seed=seed, config=CellsConfig(diameter=10)) for seed in range(3)]
    fingerprint = examine(find_pairs(write_set(tmp_path, pairs))).fingerprint
    assert fingerprint is not None
    assert fingerprint.spatial_axes == 3
    assert fingerprint.median_shape == (8, 32, 32)


def test_a_pixel_size_that_is_told_leaves_ct_and_orientation_as_they_are(tmp_path):
    values = np.full((8, 12, 12), 50, np.float32)
    values[:, :, :4] = -1000
    ids = np.zeros(values.shape, int)
    ids[2:6, 4:8, 7:11] = 1
    affine = ((0.5, 0.0, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.0, 0.0, 2.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    space = Space(affine=affine, orientation="RAS")
    for number in range(FEWEST_IMAGES):
        write_image(tmp_path / "images" / f"c{number}.nii", Image(pixels=values[np.newaxis] + number, space=space))
        write_labels(tmp_path / "masks" / f"c{number}.nii", ids, space=space)
    alone = examine(find_pairs(tmp_path)).fingerprint
    (tmp_path / "dataset.toml").write_text("pixel_size = [5000, 700, 700]")
    told = examine(find_pairs(tmp_path)).fingerprint
    assert alone is not None
    assert told is not None
    assert (alone.pixel_size, told.pixel_size) == ((2.0, 0.5, 0.5), (5.0, 0.7, 0.7))
    assert alone.unit == told.unit == "millimeter"
    assert alone.hounsfield == told.hounsfield == (True,)
    assert alone.oriented == told.oriented == (False, False, True)


@pytest.mark.parametrize("reader", ["read_mask", "measure_image"])
def test_a_file_for_which_memory_does_not_suffice_is_named(tmp_path, monkeypatch, reader):
    def no_memory(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(f"segue.fingerprint.examination.{reader}", no_memory)
    errors = examine(find_pairs(write_set(tmp_path, cells(1)))).errors
    folder = "masks" if reader == "read_mask" else "images"
    assert [(one.file, one.reason) for one in errors] == [
        (str(tmp_path / folder / "t0.tif"), "there is not enough memory to examine it")
    ]


@pytest.mark.parametrize("coloured", range(12))
def test_an_examination_and_a_training_decide_the_same_of_objects(tmp_path, coloured):
    folder = write_set(tmp_path, cells(1) * 12)
    (folder / "dataset.toml").write_text('labels = "objects"')
    gray = read_mask(folder / "masks" / "t0.tif").values
    (folder / "masks" / f"t{coloured}.tif").unlink()
    colours = np.stack([gray, gray // 2, 0 * gray], axis=-1).astype(np.uint8)
    Pillow.fromarray(colours).save(folder / "masks" / f"t{coloured}.png")
    pairs = find_pairs(folder)
    spec = examine(pairs).spec
    assert spec == resolve_spec(pairs).spec
    assert spec.coding == "colour"
