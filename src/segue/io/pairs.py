"""Which mask belongs to which image, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.io.findings import Finding
from segue.io.natural import natural_key, stem_of
from segue.io.object_classes import ClassSource

MASK_ENDINGS = ("_masks", "_mask", "_labels", "_label", "_seg")
"""What programs append to the stem of an image to name its mask."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One image with its mask."""

    name: str
    """The stem that image and mask share; unique in a data set."""
    images: tuple[Path, ...]
    """One file; or several of which each holds a channel."""
    mask: Path | None = None
    """The mask; a folder if it holds one file for each object; None if there is none."""
    region: Path | None = None
    """A mask of the pixels that count; None means all."""
    group: str = ""
    """Images of one group never stand on both sides of a split."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres along (z) y x, if the data set's description says it; overrides the file."""
    object_classes: ClassSource | None = None
    """What says the class of each object; None if all objects are of one class."""


def match(images: Sequence[Path], masks: Sequence[Path]) -> tuple[list[Pair], list[Finding]]:
    """Pair files of equal stems, or whose mask adds one of `MASK_ENDINGS`; report all that stays alone."""
    findings: list[Finding] = []
    image_of = _by_stem(images, findings, what="images")
    mask_of = _by_stem(masks, findings, what="masks")
    pairs: list[Pair] = []
    for stem, image in image_of.items():
        names = (stem, *(stem + ending for ending in MASK_ENDINGS))
        mask = next((mask_of.pop(name) for name in names if name in mask_of), None)
        if mask is None:
            findings.append(
                Finding(
                    severity="warning",
                    file=str(image),
                    reason=f"there is no mask with the stem {stem!r}",
                    remedy="annotate it, or move it away; it is left out",
                )
            )
        else:
            pairs.append(Pair(name=stem, images=(image,), mask=mask, group=stem))
    findings += [
        Finding(
            severity="error",
            file=str(mask),
            reason=f"there is no image with the stem {stem!r}",
            remedy="give image and mask the same name before the suffix, or move the mask away",
        )
        for stem, mask in mask_of.items()
    ]
    return sorted(pairs, key=lambda pair: natural_key(pair.name)), findings


def split_by_ending(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The images and the masks among the files of one folder, told by `MASK_ENDINGS`."""
    masks = [path for path in files if stem_of(path).lower().endswith(MASK_ENDINGS)]
    return [path for path in files if path not in set(masks)], masks


def _by_stem(files: Sequence[Path], findings: list[Finding], *, what: str) -> dict[str, Path]:
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(stem_of(path), []).append(path)
    for stem, same in by_stem.items():
        if len(same) > 1:
            names = ", ".join(path.name for path in same)
            findings.append(
                Finding(
                    severity="error",
                    file=str(same[0]),
                    reason=f"{len(same)} {what} have the stem {stem!r}: {names}",
                    remedy="keep one of them; until then the first is used",
                )
            )
    return {stem: same[0] for stem, same in by_stem.items()}
