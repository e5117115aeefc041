import gzip
import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from segue.arrays import Probabilities, Space
from segue.errors import ImageError
from segue.io.images import answer_name, read_image, write_labels, write_probabilities

RAS = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.int16)  # x, y, z
RAS_AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]], float)
CODES = [
    "".join(code)
    for axes in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")])
    for code in itertools.product(*axes)
]


def load(path):
    return nibabel.load(path)


def oriented(code):
    """The volume `RAS` stored in the orientation `code`, with the affine that keeps every voxel where it
    was."""
    transform = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(code))
    stored = nibabel.orientations.apply_orientation(RAS, transform)
    return stored, RAS_AFFINE @ inv_ornt_aff(transform, RAS.shape)


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_reads_as_the_same_array_and_is_restored_on_writing(tmp_path, code):
    stored, affine = oriented(code)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert np.array_equal(image.pixels[0], np.transpose(RAS, (2, 1, 0)))
    assert image.space.orientation == code
    assert image.space.pixel_size == pytest.approx((2.5, 0.75, 0.5))
    assert image.space.unit == "millimeter"
    write_labels(tmp_path / "b.nii.gz", image.pixels[0].astype(int), space=image.space)
    written = load(tmp_path / "b.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), stored)
    assert np.allclose(written.affine, affine, rtol=0, atol=1e-6)
    assert written.get_data_dtype() == np.uint8
    assert np.isnan(written.header["scl_slope"])


def test_an_oblique_affine_is_restored(tmp_path):
    turn = np.array([[0.9, -0.3, 0.1, 5], [0.25, 0.8, -0.2, -7], [-0.1, 0.2, 2.0, 11], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(RAS, turn), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    write_labels(tmp_path / "b.nii.gz", image.pixels[0].astype(int), space=image.space)
    written = load(tmp_path / "b.nii.gz")
    assert np.allclose(written.affine, turn, rtol=0, atol=1e-6)
    assert np.array_equal(np.asarray(written.dataobj), RAS)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
@pytest.mark.parametrize("code", ["RAS", "LPS", "ASR", "SRA"])
def test_a_single_plane_is_a_2d_image_and_is_written_back_in_its_shape(tmp_path, shape, code):
    plane = np.arange(35).reshape(shape).astype(np.uint8)
    affine = inv_ornt_aff(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(code)), (5, 7, 1))
    nibabel.save(nibabel.Nifti1Image(plane, affine), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert image.spatial_axes == 2
    if code == "RAS":
        assert np.array_equal(image.pixels[0], plane.reshape(5, 7).T)
    write_labels(tmp_path / "b.nii", image.pixels[0].astype(int), space=image.space)
    written = load(tmp_path / "b.nii")
    assert np.array_equal(np.asarray(written.dataobj), plane)
    assert np.allclose(written.affine, load(tmp_path / "a.nii").affine, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 1, 5)])
def test_the_last_axis_holds_channels(tmp_path, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert np.array_equal(image.pixels, values.reshape(2, 3, 4, 5).transpose(3, 2, 1, 0))


def test_a_time_series_of_vectors_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4, 2, 5), np.uint8), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ImageError, match=r"its shape is \(2, 3, 4, 2, 5\)"):
        read_image(tmp_path / "a.nii")


def test_version_2_and_big_endian_files_are_read(tmp_path):
    nibabel.save(nibabel.Nifti2Image(RAS, RAS_AFFINE), tmp_path / "a.nii.gz")
    swapped = nibabel.Nifti1Image(RAS, RAS_AFFINE, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(swapped, tmp_path / "b.nii")
    for name in ("a.nii.gz", "b.nii"):
        assert np.array_equal(read_image(tmp_path / name).pixels[0], RAS.transpose(2, 1, 0))


def test_slope_and_intercept_are_applied(tmp_path):
    picture = nibabel.Nifti1Image(RAS, RAS_AFFINE)
    picture.header.set_slope_inter(0.5, 3)
    nibabel.save(picture, tmp_path / "a.nii")
    stored = np.asarray(load(tmp_path / "a.nii").dataobj)
    assert np.allclose(read_image(tmp_path / "a.nii").pixels[0], stored.transpose(2, 1, 0))


def test_colour_voxels_become_three_channels(tmp_path):
    colour = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"], colour["G"], colour["B"] = RAS, RAS + 1, RAS + 2
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert image.is_rgb
    assert np.array_equal(image.pixels, [RAS.T, RAS.T + 1, RAS.T + 2])


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-3), ("mm", 1), ("meter", 1e3), ("unknown", 1)])
def test_the_unit_of_the_header_is_turned_into_millimetres(tmp_path, unit, factor):
    picture = nibabel.Nifti1Image(RAS, RAS_AFFINE)
    picture.header.set_xyzt_units(unit)
    nibabel.save(picture, tmp_path / "a.nii")
    size = read_image(tmp_path / "a.nii").space.pixel_size
    assert size == pytest.approx((2.5 * factor, 0.75 * factor, 0.5 * factor))


def test_an_answer_to_a_tiff_can_be_written_as_nifti_with_its_pixel_size(tmp_path):
    space = Space(pixel_size=(2000.0, 500.0, 250.0), unit="micrometer")
    write_labels(tmp_path / "a.nii.gz", RAS.transpose(2, 1, 0), space=space)
    assert load(tmp_path / "a.nii.gz").header.get_zooms() == pytest.approx((0.25, 0.5, 2.0))


@pytest.mark.parametrize(("side", "version"), [(32_767, b"n+1"), (32_768, b"n+2")])
def test_a_side_above_32767_is_written_as_version_2(tmp_path, side, version):
    ids = np.arange(side).reshape(1, side) % 3
    write_labels(tmp_path / "a.nii", ids, space=Space(pixel_size=(2.0, 3.0), unit="micrometer"))
    head = (tmp_path / "a.nii").read_bytes()[:348]
    assert version in (head[344:347], head[4:7])
    image = read_image(tmp_path / "a.nii")
    assert np.array_equal(image.pixels[0], ids)
    assert image.space.micrometres == pytest.approx((2.0, 3.0))


@pytest.mark.parametrize("codes", [(4, 4), (1, 1), (2, 0), (2, 1), (0, 1)])
@pytest.mark.parametrize("code", ["RAS", "LPS", "ASR"])
def test_what_sform_and_qform_refer_to_is_restored_on_writing(tmp_path, codes, code):
    stored, affine = oriented(code)
    picture = nibabel.Nifti1Image(stored, affine)
    picture.set_qform(affine, codes[1])
    picture.set_sform(affine, codes[0])
    nibabel.save(picture, tmp_path / "a.nii")
    write_labels(tmp_path / "b.nii", RAS.transpose(2, 1, 0), space=read_image(tmp_path / "a.nii").space)
    written = load(tmp_path / "b.nii")
    assert (written.header["sform_code"], written.header["qform_code"]) == codes
    assert np.allclose(written.affine, affine, rtol=0, atol=1e-5)
    assert np.array_equal(np.asarray(written.dataobj), stored)


def write_with_another_qform(path):
    picture = nibabel.Nifti1Image(RAS, RAS_AFFINE)
    picture.set_qform(np.diag([0.5, 0.75, 2.5, 1]), 1)
    picture.set_sform(RAS_AFFINE, 4)
    nibabel.save(picture, path)


def write_with_a_damaged_qform(path):
    picture = nibabel.Nifti1Image(RAS, RAS_AFFINE)
    picture.set_qform(RAS_AFFINE, 1)
    picture.set_sform(RAS_AFFINE, 4)
    picture.header["quatern_b"] = 7
    nibabel.save(picture, path)


def write_with_a_code_that_does_not_exist(path):
    picture = nibabel.Nifti1Image(RAS, RAS_AFFINE)
    picture.set_sform(RAS_AFFINE, 4)
    picture.header["qform_code"] = 77
    nibabel.save(picture, path)


@pytest.mark.parametrize(
    "write", [write_with_another_qform, write_with_a_damaged_qform, write_with_a_code_that_does_not_exist]
)
def test_a_qform_that_is_not_the_affine_is_not_claimed_for_it(tmp_path, write):
    write(tmp_path / "a.nii")
    space = read_image(tmp_path / "a.nii").space
    assert np.allclose(np.array(space.affine), RAS_AFFINE)
    write_labels(tmp_path / "b.nii", RAS.transpose(2, 1, 0), space=space)
    header = load(tmp_path / "b.nii").header
    assert (header["sform_code"], header["qform_code"]) == (4, 0)


@pytest.mark.parametrize("code", ["RAS", "LPS", "ASR"])
def test_probabilities_have_their_channels_last_and_the_orientation_of_the_file(tmp_path, code):
    stored, affine = oriented(code)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    values = np.concatenate([image.pixels, 100 - image.pixels])
    answer = Probabilities(values=values, classes=("a", "b"), space=image.space)
    write_probabilities(tmp_path / "b.nii", answer)
    written = np.asarray(load(tmp_path / "b.nii").dataobj)
    assert np.array_equal(written[..., 0], stored)
    assert np.array_equal(written[..., 1], 100 - stored)
    assert np.array_equal(read_image(tmp_path / "b.nii").pixels, values)


def test_probabilities_of_a_plane_read_back(tmp_path):
    values = np.random.default_rng(0).random((2, 5, 7), np.float32)
    write_probabilities(tmp_path / "b.nii.gz", Probabilities(values=values, classes=("a", "b")))
    assert np.array_equal(read_image(tmp_path / "b.nii.gz").pixels, values)


def test_a_flipped_bit_in_the_pixels_of_a_compressed_file_is_noticed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 20)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), tmp_path / "a.nii.gz")
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[-1000] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_a_header_that_claims_32767_cubed_is_refused(tmp_path, suffix):
    header = nibabel.Nifti1Image(RAS, RAS_AFFINE).header
    header.set_data_shape((32767, 32767, 32767))
    header["vox_offset"] = 352
    data = header.binaryblock + bytes(100)
    (tmp_path / f"a.{suffix}").write_bytes(gzip.compress(data) if suffix == "nii.gz" else data)
    with pytest.raises(ImageError, match="32,767 x 32,767 x 32,767 pixels"):
        read_image(tmp_path / f"a.{suffix}")


def test_a_gzip_bomb_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(RAS, RAS_AFFINE), tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(data + bytes(30_000_000), 9))
    with pytest.raises(ImageError, match="goes on for more than a megabyte"):
        read_image(tmp_path / "a.nii.gz")


def test_nifti_is_answered_by_nifti_and_everything_else_by_tiff(tmp_path):
    inputs = ("a.png", "b.nii.gz", "c.ome.tif", "d.NII", "e.f.jpg")
    assert [answer_name(tmp_path / name) for name in inputs] == [
        "a.tif",
        "b.nii.gz",
        "c.tif",
        "d.nii",
        "e.f.tif",
    ]
