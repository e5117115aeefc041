"""How deep in its object a pixel lies: an auxiliary target that tells touching objects apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.targets.boxes import object_boxes


def normalized_distance(ids: NDArray[np.int32], *, spacing: Sequence[float] | None = None) -> NDArray[np.float32]:
    """Distance of each object pixel to the outside of its object, divided by the greatest one of that object.

    `ids` is (Y, X) or (Z, Y, X), int32, 1 or more for every object. The result is float32 of the same shape:
    0 outside of objects, in (0, 1] inside, small at an object's border and 1 at its innermost place.
    Distances are Euclidean, between pixel centres, to the nearest pixel that is not of the object; `spacing`
    is the size of a pixel along each axis. Another object counts as outside, also where the two touch. What
    lies beyond the image does not: an object cut by the image's edge is deepest at the edge. An object of one
    pixel, or one that fills the whole image, is 1 everywhere.
    """
    from scipy import ndimage

    result = np.zeros(ids.shape, np.float32)
    for box in object_boxes(ids):
        region = tuple(
            slice(max(side.start - 1, 0), min(side.stop + 1, length))
            for side, length in zip(box.region, ids.shape, strict=True)
        )
        mask = ids[region] == box.number
        if mask.all():
            result[region] = 1
            continue
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        result[region][mask] = depth[mask] / depth.max()
    return result
