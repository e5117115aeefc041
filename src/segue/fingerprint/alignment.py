"""Does a mask lie on its image? Its edges should lie on edges of the image, and objects inside of it.

Two things are measured: how strong the image's edges are under the mask's edges, when the mask is shifted
by a few pixels; and whether what the mask calls background looks like objects. Judging them is the doctor's
work.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.fingerprint.planes import busiest_plane

REACH = 10
"""Shifts of up to this many pixels along y and x are tried."""

_WINDOW = 1024
"""Larger planes are looked at through a window of this side in their middle, in pixels."""
_EDGE_PIXELS = 4000
"""At most this many pixels of the mask's edges are looked at, evenly spaced."""
_FEWEST = 60
"""Masks with fewer pixels of edge say nothing."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How one mask lies on its image."""

    curve: NDArray[np.float32]
    """(2 REACH + 1, 2 REACH + 1): mean strength of the image's edges under the mask's edges when the mask is
    shifted by (y - REACH, x - REACH) pixels; in standard deviations of the edge strength above its mean."""
    contrast: float
    """Mean intensity of the foreground minus that of the background, in standard deviations of the image."""
    coverage: float
    """Part of the annotated pixels that are not background, 0..1."""
    islands: float
    """Part of the background that lies in pieces which do not reach the image border, 0..1."""
    sea: float
    """Part of the foreground that lies in its largest piece, 0..1."""
    unrest: float
    """Mean edge strength in the background over that in the foreground, away from the edges of the mask."""

    @property
    def looks_inverted(self) -> bool:
        """The background is islands of structure in one quiet sea of foreground."""
        return self.coverage > 0.5 and self.sea > 0.95 and self.islands > 0.35 and self.unrest > 1.5


def measure_alignment(image: Image, labels: Labels) -> Alignment | None:
    """Compare the edges of `image` and `labels`, of one shape; of volumes, in the slice with the most edges.

    None if the mask has too few edges to say anything, or the image is constant or not finite.
    """
    plane = busiest_plane(labels.ids)
    pixels = image.pixels if plane is None else image.pixels[:, plane]
    ids = labels.ids if plane is None else labels.ids[plane]
    window = tuple(
        slice(max((length - _WINDOW) // 2, 0), max((length - _WINDOW) // 2, 0) + _WINDOW) for length in ids.shape
    )
    pixels, ids = pixels[:, *window], ids[window]
    if min(ids.shape) < 2 * REACH + 8:
        return None
    edge = _edges(ids)
    strength = _edge_strength(pixels)
    places = _sample(edge)
    if strength is None or len(places) < _FEWEST:
        return None
    return Alignment(
        curve=_curve(strength, places),
        contrast=_contrast(pixels, ids),
        **_arrangement(ids, edge=edge, strength=strength),
    )


def _edges(ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels on both sides of every change from one annotated id to another."""
    edge = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        ahead = ids[1:] if axis == 0 else ids[:, 1:]
        behind = ids[:-1] if axis == 0 else ids[:, :-1]
        differ = (ahead != behind) & (ahead >= 0) & (behind >= 0)
        if axis == 0:
            edge[1:] |= differ
            edge[:-1] |= differ
        else:
            edge[:, 1:] |= differ
            edge[:, :-1] |= differ
    return edge


def _edge_strength(pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Gradient after a Gaussian of 1 px, largest over channels, capped, of mean 0 and deviation 1; (Y, X)."""
    from scipy import ndimage

    if not np.isfinite(pixels).all():
        return None
    total = np.zeros(pixels.shape[1:], np.float32)
    for channel in pixels:
        spread = float(channel.std())
        if spread > 0:
            gradient = ndimage.gaussian_gradient_magnitude(channel / np.float32(spread), 1.0)
            total = np.maximum(total, gradient)
    total = np.minimum(total, np.percentile(total[::2, ::2], 99))  # a few specks shall not decide
    spread = float(total.std())
    if spread == 0:
        return None
    return np.asarray((total - total.mean()) / np.float32(spread), np.float32)


def _sample(edge: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N, 2) places of edge pixels at least REACH away from the border of the plane."""
    inner = edge[REACH:-REACH, REACH:-REACH]
    flat = np.flatnonzero(inner)
    flat = flat[:: max(len(flat) // _EDGE_PIXELS, 1)]
    return np.stack(np.unravel_index(flat, inner.shape), axis=1) + REACH


def _curve(strength: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
    width = strength.shape[1]
    flat = strength.ravel()
    start = places[:, 0] * width + places[:, 1]
    shifts = range(-REACH, REACH + 1)
    curve = [[flat[start + (down * width + right)].mean() for right in shifts] for down in shifts]
    return np.asarray(curve, np.float32)


def _contrast(pixels: NDArray[np.float32], ids: NDArray[np.int32]) -> float:
    gray = pixels.mean(axis=0)
    foreground, background = gray[ids > 0], gray[ids == 0]
    spread = float(gray.std())
    if foreground.size == 0 or background.size == 0 or spread == 0:
        return 0.0
    return float(foreground.mean() - background.mean()) / spread


def _arrangement(ids: NDArray[np.int32], *, edge: NDArray[np.bool_], strength: NDArray[np.float32]) -> dict[str, float]:
    """Coverage, islands, sea and unrest of `Alignment`."""
    from scipy import ndimage

    foreground, background = ids > 0, ids == 0
    covered, bare = int(foreground.sum()), int(background.sum())
    coverage = covered / max(covered + bare, 1)
    if coverage <= 0.5 or bare == 0:
        return {"coverage": coverage, "islands": 0.0, "sea": 0.0, "unrest": 1.0}
    sizes = np.bincount(ndimage.label(foreground)[0].ravel())[1:]
    pieces, _ = ndimage.label(background)
    rim = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    inland = ~np.isin(pieces, rim) & background
    lowest = float(strength.min())
    calm = ~ndimage.binary_dilation(edge, iterations=2)
    means = [
        float((strength[area & calm] - lowest).mean()) if (area & calm).any() else 0.0
        for area in (background, foreground)
    ]
    return {
        "coverage": coverage,
        "islands": int(inland.sum()) / bare,
        "sea": int(sizes.max()) / covered,
        "unrest": means[0] / max(means[1], 1e-6),
    }
