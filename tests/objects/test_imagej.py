import sys
import zipfile
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi, roiread
from scipy import ndimage

from segue.errors import LabelError, UsageError
from segue.objects.imagej import LONGEST_SIDE, check_imagej, write_imagej


def read(path) -> list[ImagejRoi]:
    found = roiread(path)
    assert isinstance(found, list)
    return found


def fill(roi: ImagejRoi, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels whose centres lie inside of the region, by the even-odd rule, as ImageJ selects them."""
    crossings = np.zeros((shape[0], shape[1] + 1), int)
    for ring in roi.coordinates(multi=True):
        closed = np.vstack([ring, ring[:1]]).astype(int)
        for (x, y), (_, below) in pairwise(closed.tolist()):
            crossings[min(y, below) : max(y, below), x] += 1
    return (np.cumsum(crossings, axis=1)[:, : shape[1]] % 2).astype(bool)


def round_trip(path, ids: NDArray[Any]) -> NDArray[Any]:
    write_imagej(path, ids)
    back = np.zeros_like(ids)
    for roi in read(path):
        plane = back if ids.ndim == 2 else back[roi.position - 1]
        plane[fill(roi, plane.shape)] = int(roi.name)
    return back


@pytest.mark.parametrize("seed", range(4))
def test_filling_the_regions_gives_back_the_identical_ids(seed, tmp_path):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 4, (17, 23))  # many parts, holes and corners that touch
    smooth = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(40, 41)), 1) > 0)[0]
    for ids in (noise, smooth, rng.integers(0, 3, (3, 9, 8)), np.full((1, 1), 5), np.full((4, 6), 2)):
        assert (round_trip(tmp_path / "a.zip", ids) == ids).all()


def test_a_simple_object_is_a_traced_region_and_one_with_a_hole_a_composite_one(tmp_path):
    ids = np.zeros((9, 9), int)
    ids[1:3, 2:6] = 1
    ids[4:7, 4:7] = 12
    ids[5, 5] = 0
    write_imagej(tmp_path / "a.zip", ids)
    simple, ring = read(tmp_path / "a.zip")
    assert (simple.roitype, simple.composite) == (ROI_TYPE.TRACED, False)
    assert (simple.left, simple.top, simple.right, simple.bottom) == (2, 1, 6, 3)
    assert np.asarray(simple.coordinates()).tolist() == [[6, 1], [6, 3], [2, 3], [2, 1]]
    assert ring.composite
    assert (ring.left, ring.top, ring.right, ring.bottom) == (4, 4, 7, 7)
    assert len(ring.coordinates(multi=True)) == 2
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == ["000001.roi", "000012.roi"]


def test_a_region_of_a_volume_has_its_slice_as_the_position_in_the_stack_and_none_in_a_hyperstack(tmp_path):
    ids = np.zeros((3, 4, 5), int)
    ids[1:, 1:3, 1:4] = 7
    write_imagej(tmp_path / "a.zip", ids)
    places = [(roi.position, roi.c_position, roi.z_position, roi.t_position) for roi in read(tmp_path / "a.zip")]
    assert places == [(2, 0, 0, 0), (3, 0, 0, 0)]
    write_imagej(tmp_path / "b.zip", ids[1])
    assert [roi.position for roi in read(tmp_path / "b.zip")] == [0]


def test_a_region_knows_its_class(tmp_path):
    ids = np.array([[1, 0, 2, 0, 3]])
    write_imagej(tmp_path / "a.zip", ids, object_classes=["white", "red", "white"], classes=("red", "white"))
    regions = read(tmp_path / "a.zip")
    assert [roi.properties["class"] for roi in regions] == ["white", "red", "white"]
    assert [roi.group for roi in regions] == [2, 1, 2]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (5, 4), (2, 3, 4)])
def test_without_objects_the_zip_is_empty_and_whole(shape, tmp_path):
    write_imagej(tmp_path / "a.zip", np.zeros(shape, int))
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == []


def test_the_same_objects_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_imagej(tmp_path / f"{name}.zip", np.eye(5, dtype=int))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_images_that_imagej_cannot_address_are_refused(tmp_path):
    far = np.zeros((1, LONGEST_SIDE), np.uint8)
    far[0, -1] = 3
    assert (round_trip(tmp_path / "a.zip", far) == far).all()
    with pytest.raises(LabelError, match="too large for ImageJ, which ends at 32,767"):
        write_imagej(tmp_path / "b.zip", np.zeros((1, LONGEST_SIDE + 1), np.uint8))
    assert not (tmp_path / "b.zip").exists()


def test_without_roifile_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(UsageError, match="need roifile; install it with: pip install roifile"):
        check_imagej()
