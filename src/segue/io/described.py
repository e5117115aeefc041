"""What dataset.toml adds to the pairs of a layout: regions, classes of objects, groups and pixel sizes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segue.errors import DatasetError
from segue.io.description import FILE_NAME, Description, fits, object_values, pixel_size_of
from segue.io.findings import Finding
from segue.io.natural import composed, image_files
from segue.io.object_classes import TABLE_SUFFIX, ClassSource
from segue.io.pairs import Pair, files_of


def describe_pairs(pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]) -> list[Pair]:
    """The pairs of the data set in `root` with all that its description says of them; what is wrong joins `findings`.

    Raises DatasetError if a folder that the description names is not there, or holds two files for one image.
    """
    pairs = _with_regions(pairs, root, description, findings)
    pairs = _with_object_classes(pairs, root, description, findings)
    pairs = _with_groups(pairs, root, description, findings)
    return _with_pixel_sizes(pairs, root, description, findings)


def _with_regions(pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]) -> list[Pair]:
    if description.region is None:
        return list(pairs)
    region_of = _files_beside(root, "region", description.region, pairs)
    for pair in pairs:
        if pair.name not in region_of:
            findings.append(
                Finding(
                    severity="error",
                    file=str(pair.images[0]),
                    reason=f"{description.region}/ has no region with the stem {pair.name!r}",
                    remedy="add it, or remove region from dataset.toml; without it the whole image counts",
                )
            )
    return [replace(pair, region=region_of.get(pair.name)) for pair in pairs]


def _with_object_classes(
    pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]
) -> list[Pair]:
    if description.object_classes is None:
        return list(pairs)
    file_of = _files_beside(root, "object_classes", description.object_classes, pairs, tables=True)
    values, coding = object_values(description, source=root / FILE_NAME)
    found = []
    for pair in pairs:
        file = file_of.get(pair.name)
        if file is not None:
            found.append(replace(pair, object_classes=ClassSource(file=file, values=values, coding=coding)))
            continue
        findings.append(
            Finding(
                severity="error",
                file=str(pair.images[0]),
                reason=f"{description.object_classes}/ has no file with the stem {pair.name!r}",
                remedy="add a mask of classes or a table (.csv) with the columns id and class for it, or move the "
                "image away",
            )
        )
        found.append(pair)
    return found


def _files_beside(root: Path, key: str, name: str, pairs: Sequence[Pair], *, tables: bool = False) -> dict[str, Path]:
    """For each pair's name its image file, or table if wanted, in the folder that a key of dataset.toml names.

    Raises DatasetError if there is no such folder in `root`, or two files for one image.
    """
    folder = root / name  # which may be a link to elsewhere, but must not be written as a way out of the data set
    if Path(name).is_absolute() or ".." in Path(name).parts or not folder.is_dir():
        raise DatasetError(f"{root / FILE_NAME}: {key} = {name!r}, but there is no such folder in {root}")
    files = image_files(folder)
    if tables:
        files += [
            path
            for path in sorted(folder.iterdir())
            if path.suffix.lower() == TABLE_SUFFIX and path.is_file() and not path.name.startswith(".")
        ]
    found = files_of([pair.name for pair in pairs], files)
    for same in found.values():
        if len(same) > 1:
            raise DatasetError(f"{folder}: {same[0].name} and {same[1].name} are both for one image; keep one of them")
    return {one: same[0] for one, same in found.items()}


def _with_groups(pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]) -> list[Pair]:
    if description.group is None:
        return list(pairs)
    pattern = composed(description.group)
    found = [re.search(pattern, composed(pair.name)) for pair in pairs]
    groups = [one[1] if one is not None else None for one in found]
    strangers = [pair.name for pair, group in zip(pairs, groups, strict=True) if group is None]
    if strangers:
        fits = len(pairs) - len(strangers)
        many = f"only {fits} of {len(pairs)} names, and not" if fits else f"none of the {len(pairs)} names, such as"
        findings.append(
            Finding(
                severity="warning",
                file=str(root / FILE_NAME),
                reason=f"group = {description.group!r} fits {many} {strangers[0]!r}; an image that it does not fit "
                "is a group of its own",
                remedy="nothing has to be done if these images belong to no other; otherwise correct the expression",
            )
        )
    return [
        replace(pair, group=pair.name if group is None else group) for pair, group in zip(pairs, groups, strict=True)
    ]


def _with_pixel_sizes(
    pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]
) -> list[Pair]:
    for pattern in description.pixel_sizes or {}:
        if not any(fits(pair.name, pattern) for pair in pairs):
            findings.append(
                Finding(
                    severity="warning",
                    file=str(root / FILE_NAME),
                    reason=f"pixel_sizes speaks of {pattern!r}, but no image has such a name",
                    remedy=f'write names without their suffix, * for any letters, such as "{pairs[0].name[:3]}*"',
                )
            )
    return [replace(pair, pixel_size=pixel_size_of(pair.name, description) or pair.pixel_size) for pair in pairs]
