"""Objects as regions of interest of ImageJ: a zip of ROI files that its ROI manager opens.

Corners are those of pixels, as everywhere here and as ImageJ's wand makes them, so that a region selects exactly the
pixels of its object. An object of one part without holes is a traced region; any other is a composite one, whose
path holds all of its rings. The name of a region is the id of its object.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segue.errors import LabelError, UsageError
from segue.io.files import whole_file
from segue.io.scratch import Readable
from segue.objects.naming import OBJECT, class_names
from segue.objects.outlines import Polygon, outlines_in

if TYPE_CHECKING:
    from roifile import ImagejRoi

LONGEST_SIDE = 32767
"""ImageJ keeps the bounding box of a region in 16 bits with a sign."""

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""The steps of a path in a composite region, as in java.awt.geom.PathIterator."""


def write_imagej(
    path: Path, ids: Readable, *, object_classes: Sequence[str] | None = None, classes: Sequence[str] = (OBJECT,)
) -> None:
    """Write the objects of `ids` (Y, X) or (Z, Y, X) as a zip of regions, whole or not at all.

    In a volume an object has one region in each slice that it meets, at the position of that slice. `object_classes`
    are the names of the classes of the ids 1..n, out of `classes`; the first of `classes` is the class of all without
    them. A region has its class as a property, and as its group the place of the class in `classes`, from 1 on.

    Raises LabelError if a side is longer than `LONGEST_SIDE`, UsageError without roifile, CannotCreateError or
    StorageError.
    """
    check_imagej()
    if max(ids.shape[-2:], default=0) > LONGEST_SIDE:
        raise LabelError(f"objects of the shape {ids.shape} are too large for ImageJ, which ends at {LONGEST_SIDE:,}")
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for outline in outlines_in(ids):
            (name,) = class_names([outline.number], object_classes, default=classes[0])
            roi = _region(outline.polygons)
            roi.name = str(outline.number)
            roi.properties = {"class": name}
            roi.group = min(classes.index(name) + 1, 255)
            # Not z_position: that counts in hyperstacks only, and in a stack the region would be on every slice.
            roi.position = 0 if outline.slice is None else outline.slice + 1
            in_slice = "" if outline.slice is None else f"-{outline.slice + 1:04d}"
            entry = zipfile.ZipInfo(f"{outline.number:06d}{in_slice}.roi")
            archive.writestr(entry, roi.tobytes(), zipfile.ZIP_DEFLATED)


def check_imagej() -> None:
    """Raise UsageError, with the way out, if roifile is not installed."""
    try:
        import roifile  # noqa: F401
    except ImportError as error:
        raise UsageError("regions of ImageJ need roifile; install it with: pip install roifile") from error


def _region(polygons: Sequence[Polygon]) -> "ImagejRoi":
    from roifile import ROI_TYPE, ImagejRoi

    rings = [np.array(ring[:-1], np.int32) for polygon in polygons for ring in polygon]
    corners = np.concatenate(rings)
    roi = ImagejRoi()
    (roi.left, roi.top), (roi.right, roi.bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    if len(rings) == 1:
        roi.roitype = ROI_TYPE.TRACED
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = corners - (roi.left, roi.top)
        return roi
    roi.roitype = ROI_TYPE.RECT
    roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(ring: NDArray[np.int32]) -> NDArray[np.float32]:
    steps = np.column_stack([np.full(len(ring), LINE), ring]).astype(np.float32)
    steps[0, 0] = MOVE
    return np.append(steps.reshape(-1), np.float32(CLOSE))
