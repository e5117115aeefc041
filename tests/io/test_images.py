import gzip
import pickle
import struct
from contextlib import suppress

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from segue.arrays import Image, Probabilities, Space
from segue.errors import ImageError, LabelError, MissingInputError, SegueError, UsageError
from segue.io.images import (
    check_finite,
    list_images,
    read_image,
    write_image,
    write_labels,
    write_probabilities,
)

NOISE = np.random.default_rng(0).integers(0, 256, (24, 30)).astype(np.uint8)
VOLUME = np.random.default_rng(1).integers(0, 256, (6, 7, 8)).astype(np.uint8)


def as_png(path):
    Pillow.fromarray(NOISE).save(path, format="PNG")


def as_colour_png(path):
    Pillow.fromarray(np.stack([NOISE, NOISE.T.reshape(24, 30), 255 - NOISE], -1)).save(path, format="PNG")


def as_jpeg(path):
    Pillow.fromarray(NOISE).save(path, format="JPEG")


def as_bmp(path):
    Pillow.fromarray(NOISE).save(path, format="BMP")


def as_gif(path):
    Pillow.fromarray(NOISE).save(path, format="GIF")


def as_tiff(path):
    tifffile.imwrite(path, NOISE)


def as_lzw_tiff(path):
    tifffile.imwrite(path, NOISE, compression="lzw", rowsperstrip=5)


def as_tiled_ome(path):
    write_labels(path, VOLUME, space=Space(pixel_size=(1, 1, 1), unit="micrometer"))


def as_jpeg_tiff(path):
    tifffile.imwrite(path, NOISE, compression="jpeg", tile=(16, 16))


def as_nifti(path):
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), path)


FORMATS = {
    "png": ("a.png", as_png),
    "colour png": ("a.png", as_colour_png),
    "jpeg": ("a.jpg", as_jpeg),
    "bmp": ("a.bmp", as_bmp),
    "gif": ("a.gif", as_gif),
    "tiff": ("a.tif", as_tiff),
    "lzw tiff": ("a.tif", as_lzw_tiff),
    "ome tiff": ("a.tif", as_tiled_ome),
    "jpeg tiff": ("a.tif", as_jpeg_tiff),
    "nii": ("a.nii", as_nifti),
    "nii.gz": ("a.nii.gz", as_nifti),
}


@pytest.fixture(params=FORMATS)
def sample(request, tmp_path):
    """A good file of each format."""
    name, write = FORMATS[request.param]
    write(tmp_path / name)
    return tmp_path / name


def test_a_file_cut_to_a_half_or_two_thirds_is_an_error_that_names_it(sample):
    whole = sample.read_bytes()
    read_image(sample)
    for length in (len(whole) // 2, len(whole) * 2 // 3, 60):
        sample.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=sample.name):
            read_image(sample)


def test_only_segue_errors_leave_the_reader_whatever_bytes_are_changed(sample):
    whole = sample.read_bytes()
    rng = np.random.default_rng(len(whole))
    read = 0
    for _ in range(300):
        mutant = bytearray(whole)
        reach = len(whole) if rng.random() < 0.5 else min(400, len(whole))  # the header deserves more
        for _ in range(rng.integers(1, 5)):
            mutant[rng.integers(reach)] = (0, 1, 127, 128, 255, rng.integers(256))[rng.integers(6)]
        if rng.random() < 0.1:
            del mutant[rng.integers(len(mutant)) :]
        sample.write_bytes(mutant)
        with suppress(SegueError):
            read += read_image(sample, max_pixels=10_000_000).pixels.dtype == np.float32
    assert read < 300


def complex_tiff(path):
    tifffile.imwrite(path, np.ones((4, 4), np.complex64))


def complex_nifti(path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.complex64), np.eye(4)), path)


def nifti_pair(path):
    header = nibabel.Nifti1Pair(VOLUME, np.eye(4)).header
    path.write_bytes(header.binaryblock[:344] + b"ni1\0" + bytes(100))


def singular_nifti(path):
    header = nibabel.Nifti1Image(VOLUME, np.eye(4)).header
    header["srow_x"], header["sform_code"], header["vox_offset"] = 0, 1, 352
    path.write_bytes(header.binaryblock + bytes(4) + VOLUME.tobytes())


def huge_offset_nifti(path):
    header = nibabel.Nifti1Image(VOLUME, np.eye(4)).header
    header["vox_offset"] = 1e9
    path.write_bytes(header.binaryblock + bytes(4) + VOLUME.tobytes())


def unknown_type_nifti(path):
    header = nibabel.Nifti1Image(VOLUME, np.eye(4)).header
    header["datatype"], header["vox_offset"] = 99, 352
    path.write_bytes(header.binaryblock + bytes(4) + VOLUME.tobytes())


def numpy_file(path):
    with path.open("wb") as stream:
        np.save(stream, NOISE)


def empty_tiff(path):
    path.write_bytes(b"II*\0" + struct.pack("<I", 0))


def mixed_pages(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(NOISE, metadata=None)
        writer.write(NOISE.astype(np.uint16), metadata=None)


def other_colour_mode(path):
    tifffile.imwrite(path, np.zeros((2, 3, 4, 5), np.uint8), metadata={"axes": "QQYX"}, photometric="minisblack")


BAD = {
    "nothing": (b"", "it holds 0 bytes"),
    "one byte": (b"\x89", "not an image that Segue reads"),
    "text": (b"hello, this is text\n" * 10, "it looks like text"),
    "zeros": (bytes(1000), "it begins with the bytes 00 00"),
    "pickle": (pickle.dumps({"a": 1}), "it looks like a Python pickle"),
    "pdf": (b"%PDF-1.7\n" + bytes(range(256)), "it looks like a PDF"),
    "zip": (b"PK\x03\x04" + bytes(100), "it looks like a ZIP archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "it looks like an HDF5 file"),
    "czi": (b"ZISRAWFILE" + bytes(600), "it looks like a Zeiss CZI file"),
    "dicom": (bytes(128) + b"DICM" + bytes(500), "it looks like a DICOM file"),
    "html": (b"<!DOCTYPE html><html>", "it looks like text .XML, SVG or HTML."),
    "webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "it looks like a WebP"),
    "numpy": (numpy_file, "it looks like a NumPy array"),
    "png signature alone": (b"\x89PNG\r\n\x1a\n", "damaged"),
    "jpeg signature alone": (b"\xff\xd8\xff\xe0", "damaged"),
    "gif signature alone": (b"GIF89a", "damaged"),
    "bmp signature alone": (b"BM", "damaged"),
    "tiff signature alone": (b"II*\0", "not even the header"),
    "tiff without a page": (empty_tiff, "without any page"),
    "tiff of mixed pages": (mixed_pages, "of 2 kinds"),
    "tiff of unknown axes": (other_colour_mode, "its axes are 'QQYX'"),
    "complex tiff": (complex_tiff, "complex numbers"),
    "complex nifti": (complex_nifti, "complex numbers"),
    "nifti pair": (nifti_pair, "pair .hdr/.img"),
    "singular nifti": (singular_nifti, "affine is singular"),
    "nifti with its pixels far away": (huge_offset_nifti, r"begin at byte 1e\+09"),
    "nifti of an unknown type": (unknown_type_nifti, "damaged or of an unusual kind"),
    "gzip of text": (gzip.compress(b"hello" * 1000), "what it holds is not NIfTI"),
    "gzip cut off": (gzip.compress(bytes(1000))[:15], "damaged|not NIfTI"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_its_sentence(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.nii" if "nifti" in name else tmp_path / "bad.png"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.exit_code == 65


def test_a_path_that_does_not_exist_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"nowhere\.png: there is no such file"):
        read_image(tmp_path / "nowhere.png")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(MissingInputError, match="cannot be opened"):
        read_image(tmp_path / "loop")
    with pytest.raises(MissingInputError, match=r"not a possible file name|cannot be opened"):
        read_image(tmp_path / "a\0b.png")


def test_a_folder_is_not_an_image(tmp_path):
    with pytest.raises(ImageError, match="it is a folder"):
        read_image(tmp_path)


def test_names_with_spaces_newlines_and_accents_are_read(tmp_path):
    path = tmp_path / "é ü\n木.png"
    as_png(path)
    assert np.array_equal(read_image(path).pixels[0], NOISE)


def test_nan_and_infinite_values_are_read_but_found_by_the_check(tmp_path):
    values = np.ones((3, 4), np.float32)
    values[1, 2], values[2, 0] = np.nan, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", values)
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels[0], values, equal_nan=True)
    with pytest.raises(ImageError, match=r"2 of 12 values .* first at channel 0, y 1, x 2"):
        check_finite(image)
    check_finite(Image(pixels=np.ones((1, 3, 4), np.float32)))


def test_a_value_too_large_for_float32_is_infinite_and_found_by_the_check(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[1e300, 1]]))
    with pytest.raises(ImageError, match="1 of 2 values"):
        check_finite(read_image(tmp_path / "a.tif"))


def test_a_single_pixel_is_an_image(tmp_path):
    for name, values in (("a.png", np.array([[7]], np.uint8)), ("a.tif", np.array([[7]], np.uint8))):
        write_image(tmp_path / name, Image(pixels=values[np.newaxis].astype(np.float32)))
        assert np.array_equal(read_image(tmp_path / name).pixels, [[[7]]])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 255], np.uint8), ([0, 65535], np.uint16), ([0, 0.5], np.float32), ([-1, 1], np.float32)],
)
def test_an_image_is_written_in_the_smallest_type_that_holds_it(tmp_path, values, dtype):
    write_image(tmp_path / "a.tif", Image(pixels=np.array([[values]], np.float32)))
    assert tifffile.imread(tmp_path / "a.tif").dtype == dtype


@pytest.mark.parametrize("ids", [[[-1, 0]], [[0, 2**32]]])
def test_ids_that_no_label_image_can_hold_are_refused(tmp_path, ids):
    with pytest.raises(LabelError, match=r"between 0 and 4,294,967,295"):
        write_labels(tmp_path / "a.tif", np.array(ids), space=Space())
    assert list(tmp_path.iterdir()) == []


def test_a_png_of_labels_reads_back_bit_for_bit(tmp_path):
    ids = np.array([[0, 1], [300, 65535]])
    write_labels(tmp_path / "a.png", ids, space=Space(), kind="objects")
    assert np.array_equal(read_image(tmp_path / "a.png").pixels[0], ids)


def test_a_suffix_that_cannot_hold_the_result_is_a_wrong_usage(tmp_path):
    volume = np.zeros((2, 3, 4), np.float32)
    for write in (
        lambda: write_labels(tmp_path / "a.png", volume.astype(int), space=Space()),
        lambda: write_labels(tmp_path / "a.jpg", volume.astype(int), space=Space()),
        lambda: write_labels(tmp_path / "a", volume.astype(int), space=Space()),
        lambda: write_probabilities(tmp_path / "a.png", Probabilities(values=volume, classes=("a", "b"))),
        lambda: write_image(tmp_path / "a.png", Image(pixels=volume + 0.5)),
    ):
        with pytest.raises(UsageError, match=r"a(\.png|\.jpg)?: "):
            write()
    assert list(tmp_path.iterdir()) == []


def test_images_are_listed_in_natural_order_and_nothing_else_is(tmp_path):
    for name in ("t10.png", "t2.PNG", "t1.nii.gz", ".hidden.png", "notes.txt", "b.tif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["b.tif", "t1.nii.gz", "t2.PNG", "t10.png"]
    assert [path.name for path in list_images(tmp_path / "t*")] == ["t1.nii.gz", "t2.PNG", "t10.png"]
    assert list_images(tmp_path / "t10.png") == [tmp_path / "t10.png"]


def test_a_list_without_images_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(MissingInputError, match="no image file matches"):
        list_images(tmp_path / "*.tif")
    with pytest.raises(MissingInputError, match="no such file or folder"):
        list_images(tmp_path / "a.tif")


def test_a_file_whose_name_looks_like_a_pattern_is_found(tmp_path):
    as_png(tmp_path / "a[1].png")
    assert list_images(tmp_path / "a[1].png") == [tmp_path / "a[1].png"]


def test_a_bad_file_says_nothing_on_the_terminal(tmp_path, capfd, caplog):
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0\x01\0\x00\x01\x03\0\x01\0\0\0\x04\0\0\0\0\0\0\0")
    with pytest.raises(ImageError, match="nothing in it"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
