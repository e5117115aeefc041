"""Which mask belongs to which image, by their names."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.io.findings import Finding
from segue.io.natural import composed, natural_key, stem_of
from segue.io.object_classes import ClassSource

MASK_ENDINGS = ("_masks", "_mask", "_cp_masks", "_labels", "_label", "_seg", "_gt", "-labels")
"""What programs append to the stem of an image to name its mask; this table and those below hold in any case."""
MASK_BEGINNINGS = ("mask_",)
"""What stands before the name of a mask instead."""
IMAGE_ENDINGS = ("_image", "_img", "-volume")
"""What the stem of an image may have of its own; the name of its mask has it too, or not."""
IMAGE_BEGINNINGS = ("image_", "img_")
"""What stands before the name of an image instead."""
IMAGE_FOLDERS = ("images", "image")
"""Folders of images; the first that is there counts."""
MASK_FOLDERS = ("masks", "labels", "mask", "label")
"""Folders of masks, in the same way."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One image with its mask."""

    name: str
    """The stem of the image, or the name of its case; unique in a data set."""
    images: tuple[Path, ...]
    """One file; or several of which each holds a channel."""
    mask: Path | None = None
    """The mask; a folder if it holds one file for each object; None if there is none."""
    without_objects: bool = False
    """The folder `mask` is empty, so there is nothing in the image."""
    region: Path | None = None
    """A mask of the pixels that count; None means all."""
    group: str = ""
    """Images of one group never stand on both sides of a split."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres along (z) y x, if the data set says it beside the image; overrides the file."""
    object_classes: ClassSource | None = None
    """What says the class of each object; None if all objects are of one class."""

    @property
    def has_values(self) -> bool:
        """Whether there is a mask whose values help to tell what those of the data set mean."""
        return self.mask is not None and not self.without_objects


def match(images: Sequence[Path], masks: Sequence[Path]) -> tuple[list[Pair], list[Finding]]:
    """Pair images with masks (files, or folders of one file an object) by `files_of`; report all that stays alone."""
    findings: list[Finding] = []
    image_of = _by_stem(images, findings)
    masks_of = files_of(list(image_of), masks)
    pairs: list[Pair] = []
    for stem, image in image_of.items():
        own = masks_of.get(stem, [])
        if not own:
            findings.append(
                Finding(
                    severity="warning",
                    file=str(image),
                    reason=f"there is no mask with the stem {stem!r}",
                    remedy="annotate it, or move it away; it is left out",
                )
            )
            continue
        if len(own) > 1:
            findings.append(_several(own, f"masks are named like the image {stem!r}"))
        pairs.append(Pair(name=stem, images=(image,), mask=own[0], group=stem))
    taken = {mask for own in masks_of.values() for mask in own}
    findings += [
        Finding(
            severity="error",
            file=str(mask),
            reason=f"there is no image with the stem {_stem(mask)!r}",
            remedy="give image and mask the same name before the suffix, or move the mask away",
        )
        for mask in masks
        if mask not in taken
    ]
    return sorted(pairs, key=lambda pair: natural_key(pair.name)), findings


def files_of(names: Sequence[str], files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files that belong to each image name, the best first; names without a file are missing.

    Equal stems come first, then stems with an ending of masks, then those of which the name's own ending or beginning
    is taken away, and all three again in any case.
    Letters that look the same are the same. A file that two names claim in one step belongs to neither.
    """
    found: dict[str, list[Path]] = {}
    left = {path: _stem(path) for path in files}
    for fold in (composed, _in_any_case):
        for spellings in _STEPS:
            by_stem: dict[str, list[Path]] = defaultdict(list)
            for path, stem in left.items():
                by_stem[fold(stem)].append(path)
            wanted = {name: dict.fromkeys(map(fold, spellings(name))) for name in names if name not in found}
            claims = Counter(stem for stems in wanted.values() for stem in stems)
            for name, stems in wanted.items():
                own = [path for stem in stems if claims[stem] == 1 for path in by_stem.get(stem, ())]
                if own:
                    found[name] = own
                    for path in own:
                        del left[path]
    return found


def _in_any_case(name: str) -> str:
    return composed(name).lower()


def _same(name: str) -> list[str]:
    return [name]


def _with_ending(name: str) -> list[str]:
    return [name + ending for ending in MASK_ENDINGS]


def _renamed(name: str) -> list[str]:
    lower = name.lower()
    bare = name
    for ending in IMAGE_ENDINGS:
        if lower.endswith(ending):
            bare = name[: -len(ending)]
    for beginning in IMAGE_BEGINNINGS:
        if lower.startswith(beginning):
            bare = name[len(beginning) :]
    return [bare, *_with_ending(bare), *(beginning + bare for beginning in MASK_BEGINNINGS)]


_STEPS: tuple[Callable[[str], list[str]], ...] = (_same, _with_ending, _renamed)
"""From the name of an image to the stems that its mask may have, the surest first."""


def split_by_ending(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The images and the masks among the files of one folder, told by `MASK_ENDINGS` and `MASK_BEGINNINGS`.

    A file that has a mask of its own is an image, whatever its name (a_gt.png beside a_gt_mask.png).
    """
    stems = {path: _in_any_case(stem_of(path)) for path in files}
    present = set(stems.values())
    masks = {
        path
        for path, stem in stems.items()
        if (stem.endswith(MASK_ENDINGS) or stem.startswith(MASK_BEGINNINGS)) and present.isdisjoint(_with_ending(stem))
    }
    return [path for path in files if path not in masks], [path for path in files if path in masks]


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else stem_of(path)


def _by_stem(images: Sequence[Path], findings: list[Finding]) -> dict[str, Path]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in images:
        by_stem[stem_of(path)].append(path)
    findings += [_several(same, f"images have the stem {stem!r}") for stem, same in by_stem.items() if len(same) > 1]
    return {stem: same[0] for stem, same in by_stem.items()}


def _several(files: Sequence[Path], what: str) -> Finding:
    return Finding(
        severity="error",
        file=str(files[0]),
        reason=f"{len(files)} {what}: {', '.join(path.name for path in files)}",
        remedy="keep one of them; until then the first is used",
    )
