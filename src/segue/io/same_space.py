"""Whether two files that belong together lie on each other, as the affines of NIfTI say it."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Space

_NEAR = 0.501
"""Voxels that two files may lie apart; with more, another voxel would be the nearest. Half a voxel, the corner taken
for the centre, is let pass."""


def how_apart(space: Space, other: Space, shape: tuple[int, ...]) -> str:
    """How two arrays of one `shape` ([Z,] Y, X) lie apart, and the way out; nothing if they lie on each other.

    Where the voxels are in memory (RAS+) counts, not their order in the files. A file without an affine lies where
    the other one does.
    """
    if space.affine is None or other.affine is None:
        return ""
    here, there = _affine_in_memory(space, shape), _affine_in_memory(other, shape)
    ends = [(0, length - 1) for length in _lengths(space, shape)]
    corners = np.array([(*corner, 1) for corner in product(*ends)], np.float64).T
    distance = np.linalg.solve(here, (here - there) @ corners)
    if np.abs(distance).max() <= _NEAR:
        return ""
    return (
        f"say they lie differently in space: {_shown(space)}, but {_shown(other)}; if they were made voxel for voxel "
        "on each other, save both with one affine (in Python Nifti1Image(mask, image.affine)), else resample one onto "
        "the other"
    )


def _affine_in_memory(space: Space, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(4, 4), from x, y, z of the array in memory to RAS+ millimetres."""
    import nibabel

    orientations: Any = nibabel.orientations
    affine = np.array(space.affine, np.float64)
    order = orientations.io_orientation(affine)
    lengths = _lengths(space, shape)
    turned: NDArray[np.float64] = affine @ orientations.inv_ornt_aff(
        order, [lengths[int(axis)] for axis in order[:, 0]]
    )
    return turned


def _lengths(space: Space, shape: tuple[int, ...]) -> list[int]:
    """Voxels along x, y, z; the axis across an image (the third of its file) has one."""
    import nibabel

    orientations: Any = nibabel.orientations
    lengths = list(reversed(shape))
    if len(lengths) == 2:
        lengths.insert(int(orientations.io_orientation(np.array(space.affine, np.float64))[2, 0]), 1)
    return lengths


def _shown(space: Space) -> str:
    affine = np.array(space.affine, np.float64)
    sizes = " x ".join(f"{size:.4g}" for size in np.linalg.norm(affine[:3, :3], axis=0))
    origin = ", ".join(f"{place:.4g}" for place in affine[:3, 3])
    return f"{space.orientation} with voxels of {sizes} mm from ({origin})"
