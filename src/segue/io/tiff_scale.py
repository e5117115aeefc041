"""How large a pixel of a TIFF file is: from OME-XML, ImageJ's description, or the resolution tags, in
micrometres."""

import math
from typing import Any

from segue.arrays import Space

_MICROMETRES = {
    "pm": 1e-6,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    **dict.fromkeys(("µm", "μm", "um", "\\u00B5m", "\\u00b5m", "\\u03bcm", "micron", "microns"), 1.0),
    **dict.fromkeys(("Å", "angstrom", "angstroms"), 1e-4),
    **dict.fromkeys(("in", "inch", "inches"), 25_400.0),
    **{
        f"{prefix}{meter}": factor
        for prefix, factor in {"nano": 1e-3, "micro": 1.0, "milli": 1e3, "centi": 1e4, "": 1e6}.items()
        for meter in ("meter", "metre", "meters", "metres")
    },
}
"""Length units as OME and ImageJ write them; the backslash forms are what ImageJ makes of the micro sign."""

_OF_PRINTERS = {25_400.0, 10_000.0}
"""Micrometres in an inch and a centimetre, in which ImageJ carries on the resolution of a screen or a printer."""

LARGEST_TRUSTED = 5.0
"""Micrometres. A plain resolution tag, or ImageJ's in inches or centimetres, is believed only if its pixel is smaller
than this, that is above 5,080 dots per inch: coarser values are nearly always those of a screen, a printer or a
default."""

SMALLEST_TRUSTED = 1e-5
"""Micrometres. Smaller pixels than a hundredth of a nanometre are damaged tags."""


def tiff_space(tif: Any, series: Any, *, spatial_axes: int) -> Space:
    """The Space of `series` of the open tifffile.TiffFile `tif`; without a size if the file does not say one
    for all axes."""
    if tif.is_ome:
        position = next(number for number, one in enumerate(tif.series) if one is series)
        sizes = _ome_sizes(tif, position)
    elif tif.is_imagej:
        sizes = _imagej_sizes(tif, series)
    else:
        sizes = _tag_sizes(series.keyframe)
    wanted = sizes[-spatial_axes:]
    if any(size is None or not math.isfinite(size) or size <= SMALLEST_TRUSTED for size in wanted):
        return Space()
    return Space(pixel_size=tuple(float(size) for size in wanted if size is not None), unit="micrometer")


Sizes = tuple[float | None, float | None, float | None]
"""Micrometres along z, y, x; None where unknown."""


def ome_root(tif: Any) -> Any:
    """The root element of the OME-XML of `tif`; None if it is damaged (a bare & in a name is enough)."""
    from xml.etree import ElementTree

    try:
        return ElementTree.fromstring(tif.ome_metadata)  # noqa: S314 - expat limits entity expansion
    except ElementTree.ParseError:
        return None


def _ome_sizes(tif: Any, index: int) -> Sizes:
    root = ome_root(tif)
    images = [] if root is None else [element for element in root if element.tag.rpartition("}")[2] == "Image"]
    if not 0 <= index < len(images):
        return (None, None, None)
    pixels = next((element for element in images[index] if element.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return (None, None, None)

    def size(axis: str) -> float | None:
        value = _number(pixels.get(f"PhysicalSize{axis}"))
        factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        return None if value is None or factor is None else value * factor

    return (size("Z"), size("Y"), size("X"))


def _imagej_sizes(tif: Any, series: Any) -> Sizes:
    metadata = tif.imagej_metadata or {}
    unit = metadata.get("unit", "")
    in_z, in_y, in_x = (_MICROMETRES.get(str(metadata.get(key, unit))) for key in ("zunit", "yunit", "unit"))
    y, x = (_pixels_per_unit(series.keyframe, tag) for tag in ("YResolution", "XResolution"))
    z = _number(metadata.get("spacing", _unsaid_spacing(metadata, series, unit=in_z)))
    sizes = (
        None if z is None or in_z is None else abs(z) * in_z,
        None if y is None or in_y is None else in_y / y,
        None if x is None or in_x is None else in_x / x,
    )
    if in_x in _OF_PRINTERS and max(sizes[1] or 0, sizes[2] or 0) >= LARGEST_TRUSTED:
        return (None, None, None)
    return sizes


def _unsaid_spacing(metadata: dict[str, Any], series: Any, *, unit: float | None) -> float | None:
    """What a description without `spacing` means: ImageJ leaves out a depth of 1. None if nobody has set a depth.

    Beside a resolution of printers the 1 is only ImageJ's default.
    """
    slices = dict(zip(series.axes, series.shape, strict=True)).get("Z", 1)
    return 1.0 if "ImageJ" in metadata and slices > 1 and unit not in _OF_PRINTERS else None


def _tag_sizes(page: Any) -> Sizes:
    unit = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof("ResolutionUnit", 1)))
    y, x = (_pixels_per_unit(page, tag) for tag in ("YResolution", "XResolution"))
    if unit is None or y is None or x is None or max(unit / y, unit / x) >= LARGEST_TRUSTED:
        return (None, None, None)
    return (None, unit / y, unit / x)


def _pixels_per_unit(page: Any, tag: str) -> float | None:
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) < 2 or not value[0] or not value[1]:
        return None
    return float(value[0] / value[1])


def _number(text: object) -> float | None:
    try:
        return float(text)  # type: ignore[arg-type]  # the ValueError and TypeError are the answer
    except (TypeError, ValueError):
        return None
