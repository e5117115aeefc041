"""Files lie on each other where their affines put the same voxel of memory in the same place."""

import nibabel
import numpy as np
import pytest

from segue.arrays import Space
from segue.io.images import read_image
from segue.io.same_space import how_apart

SHAPE = (4, 5, 6)
"""z y x in memory."""
AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1, 0, 40], [0, 0, 2, 0], [0, 0, 0, 1]])


def space_of(path, affine, shape=SHAPE[::-1]):
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.uint8), affine), path)
    return read_image(path).space


def moved(*, by=(0, 0, 0), scale=1.0):
    affine = AFFINE.copy()
    affine[:3, 3] += by
    affine[:3, :3] *= scale
    return affine


def test_what_differs_is_said_with_both_orientations_and_a_way_out(tmp_path):
    image, mask = space_of(tmp_path / "image.nii", AFFINE), space_of(tmp_path / "mask.nii", np.eye(4))
    said = how_apart(mask, image, SHAPE)
    assert (
        "RAS with voxels of 1 x 1 x 1 mm from (0, 0, 0), but LPS with voxels of 1 x 1 x 2 mm from (40, 40, 0)" in said
    )
    assert "save both with one affine" in said


@pytest.mark.parametrize(
    ("affine", "same"),
    [
        (AFFINE, True),
        (moved(by=(0.5, 0, 0)), True),
        (moved(by=(0.6, 0, 0)), False),
        (moved(by=(0, 0, 0.9)), True),  # less than half of 2 mm
        (moved(by=(0, 0, 1.1)), False),
        (moved(scale=1.001), True),
        (moved(scale=1.2), False),
        (np.diag([1, -1, 1, 1]) @ AFFINE, False),
    ],
)
def test_less_than_a_voxel_between_two_files_is_nothing(tmp_path, affine, same):
    one, other = space_of(tmp_path / "one.nii", AFFINE), space_of(tmp_path / "other.nii", affine)
    assert (how_apart(one, other, SHAPE) == "") is same
    assert (how_apart(other, one, SHAPE) == "") is same


@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SLA"])
def test_the_order_of_the_voxels_in_the_file_does_not_count(tmp_path, order):
    image = nibabel.Nifti1Image(np.zeros(SHAPE[::-1], np.uint8), AFFINE)
    to = nibabel.orientations.axcodes2ornt(order)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(AFFINE), to))
    nibabel.save(turned, tmp_path / "turned.nii")
    turned_space = read_image(tmp_path / "turned.nii").space
    assert turned_space.orientation == order
    assert how_apart(turned_space, space_of(tmp_path / "image.nii", AFFINE), SHAPE) == ""


@pytest.mark.parametrize("across", [0, 1, 2])
def test_a_plane_lies_where_its_pixels_are_however_thick_it_is(tmp_path, across):
    axes = [axis for axis in range(3) if axis != across]
    affine = np.zeros((4, 4))
    for column, row in enumerate([*axes, across]):
        affine[row, column] = 2.0
    affine[3, 3] = 1
    thick, turned = affine.copy(), affine.copy()
    thick[across, 2] = 9
    turned[axes[0], 0] = -2
    spaces = [
        space_of(tmp_path / f"{number}.nii", one, (6, 5, 1)) for number, one in enumerate((affine, thick, turned))
    ]
    assert how_apart(spaces[0], spaces[1], (5, 6)) == ""
    assert "say they lie differently in space" in how_apart(spaces[0], spaces[2], (5, 6))


def test_a_file_that_does_not_say_where_it_lies_lies_on_the_other(tmp_path):
    assert how_apart(Space(), space_of(tmp_path / "a.nii", AFFINE), SHAPE) == ""
