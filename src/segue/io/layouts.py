"""The folder layouts Segue reads as they are, each a function from a folder to what it found there.

folders    images/ + masks/ (or labels/) with equal stems                 Segue's own
           images/ + masks/<stem>/*.png, one file an object
nnU-Net    imagesTr/ + labelsTr/ + dataset.json                           nnU-Net v2 raw, also the MSD
CTC        01/t000.tif + 01_GT/SEG/man_seg000.tif                         Cell Tracking Challenge
DSB 2018   <id>/images/<id>.png + <id>/masks/*.png, one file an object    2018 Data Science Bowl
endings    one folder, masks end in _mask, _masks, _labels, ...           many programs

Which names belong together stands in `segue.io.pairs`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segue.errors import DatasetError
from segue.io.description import Description
from segue.io.findings import Finding
from segue.io.natural import image_files, natural_key, stem_of
from segue.io.nnunet import JSON_NAME, channels_of, describe, files_of_case, read_content, spacing_of
from segue.io.pairs import IMAGE_FOLDERS, MASK_FOLDERS, Pair, match, split_by_ending

SEQUENCE = r"\d{2,3}"
"""How the folder of a sequence is called in the Cell Tracking Challenge."""
FRAME = r"t(\d+)"
"""How a frame of it is called, without its suffix."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What was found in a folder."""

    name: str
    pairs: list[Pair]
    findings: list[Finding]
    description: Description


def find_layout(root: Path) -> Layout:
    """Recognise the layout of the folder `root`. Raises DatasetError if it has none of the known ones."""
    layout = recognise(root)
    if layout is not None:
        return layout
    entries = sorted((path.name + "/" * path.is_dir() for path in root.iterdir()), key=natural_key)
    shown = ", ".join(entries[:6]) + (", ..." if len(entries) > 6 else "") if entries else "nothing"
    raise DatasetError(
        f"{root}: no data set is recognised here, the folder holds {shown}. Segue reads images/ + masks/ with equal "
        "names; one folder with names ending in _mask; nnU-Net (imagesTr, labelsTr, dataset.json); Cell Tracking "
        "Challenge (01, 01_GT/SEG)"
    )


def recognise(root: Path) -> Layout | None:
    """The layout of the folder `root`, None if it has none that is known. Raises DatasetError if it has half of one."""
    for look in _LOOKS:
        layout = look(root)
        if layout is not None:
            return layout
    return None


def _folders(root: Path) -> Layout | None:
    images, masks = _folders_called(IMAGE_FOLDERS, root), _folders_called(MASK_FOLDERS, root)
    if not images:
        return None
    if not masks:
        if images[0].name != "images":
            return None
        raise DatasetError(
            f"{root}: there is images/ but no masks/; put one mask for each image into masks/, with the same name"
        )
    files = image_files(masks[0])
    of_objects = [path for path in sorted(masks[0].iterdir()) if path.is_dir() and not path.name.startswith(".")]
    for folder, empty in ((images[0], not image_files(images[0])), (masks[0], not files and not of_objects)):
        if empty:
            raise DatasetError(f"{folder}: the folder holds no image files; put PNG, TIFF, JPEG or NIfTI files in it")
    pairs, findings = match(image_files(images[0]), files or of_objects)
    description = Description()
    if not files:
        pairs, description = _one_file_an_object(pairs, findings)
    findings += [
        Finding(
            severity="note",
            file=str(folder),
            reason=f"this folder is ignored, because the masks are taken from {masks[0].name}/",
            remedy=f"nothing has to be done if this is right; otherwise move {masks[0].name}/ away",
        )
        for folder in masks[1:]
    ]
    return Layout(name="folders", pairs=pairs, findings=findings, description=description)


def _folders_called(names: Sequence[str], root: Path) -> list[Path]:
    """The folders in `root` that have one of `names`, in any case, in the order of `names`."""
    found = [path for path in root.iterdir() if path.name.lower() in names and path.is_dir()]
    return sorted(found, key=lambda path: (names.index(path.name.lower()), path.name != path.name.lower(), path.name))


def _one_file_an_object(pairs: Sequence[Pair], findings: list[Finding]) -> tuple[list[Pair], Description]:
    """Pairs whose masks are folders of one file an object; where none holds two files, its file is the mask."""
    files = [image_files(pair.mask) if pair.mask is not None else [] for pair in pairs]
    if any(len(own) > 1 for own in files):
        pairs = [replace(pair, without_objects=not own) for pair, own in zip(pairs, files, strict=True)]
        return list(pairs), Description(labels="objects")
    findings += [
        _left_out(pair.images[0], "warning", f"{pair.mask} holds no mask", "annotate it, or move it away")
        for pair, own in zip(pairs, files, strict=True)
        if not own
    ]
    return [replace(pair, mask=own[0]) for pair, own in zip(pairs, files, strict=True) if own], Description()


def _endings(root: Path) -> Layout | None:
    images, masks = split_by_ending(image_files(root))
    if not images or not masks:
        return None
    pairs, findings = match(images, masks)
    return Layout(name="endings", pairs=pairs, findings=findings, description=Description())


def _nnunet(root: Path) -> Layout | None:
    source = root / JSON_NAME
    if not (root / "imagesTr").is_dir():
        return None
    if not (root / "labelsTr").is_dir():
        raise DatasetError(f"{root}: there is imagesTr/ but no labelsTr/, the folder of its masks")
    if not source.is_file():
        pairs, findings = match(image_files(root / "imagesTr"), image_files(root / "labelsTr"))
        if not pairs:
            raise DatasetError(
                f"{root}: dataset.json is missing, which says how many channels (_0000, _0001, ...) an image has and "
                'what its labels mean: {"channel_names": {"0": "T2"}, "labels": {"background": 0, "tumour": 1}}'
            )
        return Layout(name="folders", pairs=pairs, findings=findings, description=Description())
    content = read_content(source)
    channels = channels_of(content, source=source)
    ending = content.get("file_ending")
    masks = [path for path in image_files(root / "labelsTr") if ending is None or path.name.endswith(str(ending))]
    images = {path.name: path for path in image_files(root / "imagesTr")}
    pairs, findings = [], []
    for mask in masks:
        suffix = mask.name[len(stem_of(mask)) :]
        case = stem_of(mask)
        names = files_of_case(case, suffix, channels=len(channels), present=images)
        missing = [name for name in names if name not in images]
        if missing:
            findings.append(
                Finding(
                    severity="error",
                    file=str(mask),
                    reason=f"imagesTr/ lacks {', '.join(missing)}",
                    remedy="add the missing channel, or move the mask away; the case is left out",
                )
            )
            continue
        files = tuple(images.pop(name) for name in names)
        pairs.append(Pair(name=case, images=files, mask=mask, group=case, pixel_size=spacing_of(case, files[0])))
    findings += [_alone(path) for path in images.values()]
    return Layout(name="nnU-Net", pairs=pairs, findings=findings, description=describe(content, source=source))


def _tracking(root: Path) -> Layout | None:
    sequences = annotated_sequences(root)
    if not sequences:
        return None
    pairs: list[Pair] = []
    findings: list[Finding] = []
    for sequence, truth in sequences.items():
        _read_sequence(sequence, truth, pairs, findings)
    if len({pair.group for pair in pairs}) == 1:
        # One sequence: its frames are all there is to split, although neighbours resemble each other.
        pairs = [replace(pair, group=pair.name) for pair in pairs]
        findings.append(
            Finding(
                severity="note",
                file=str(root),
                reason="there is only one sequence, so a split puts neighbouring frames on both sides",
                remedy="add a second sequence for scores that hold for new recordings",
            )
        )
    description = Description(labels="objects", classes=("background", "cell"))
    return Layout(name="Cell Tracking Challenge", pairs=pairs, findings=findings, description=description)


def annotated_sequences(root: Path) -> dict[Path, Path]:
    """The folders of frames in `root` that the Cell Tracking Challenge has a reference for, and that of each."""
    frames = sorted(path for path in root.iterdir() if path.is_dir() and re.fullmatch(SEQUENCE, path.name))
    truths = {path: root / f"{path.name}_GT" / "SEG" for path in frames}
    return {path: truth for path, truth in truths.items() if truth.is_dir()}


def _read_sequence(sequence: Path, truth: Path, pairs: list[Pair], findings: list[Finding]) -> None:
    frames = {}
    for path in image_files(sequence):
        number = re.fullmatch(FRAME, stem_of(path))
        if number:
            frames[int(number[1])] = path
    annotated = set()
    for mask in image_files(truth):
        number = re.fullmatch(r"man_seg_?(\d+)(_\d+)?", stem_of(mask))
        if number is None or int(number[1]) not in frames:
            reason = "there is no frame for it" if number else "its name is not man_segNNN"
            findings.append(_left_out(mask, "error", reason, "check the name against the frames of the sequence"))
        elif number[2]:
            findings.append(
                _left_out(
                    mask,
                    "warning",
                    f"it annotates only the slice {int(number[2][1:])} of the volume {frames[int(number[1])].name}",
                    "complete it to a volume in which the other slices hold the value that ignore names",
                )
            )
        else:
            frame = frames[int(number[1])]
            annotated.add(int(number[1]))
            pairs.append(Pair(name=frame_name(frame), images=(frame,), mask=mask, group=sequence.name))
    silent = len(frames) - len(annotated)
    if silent:
        reason = f"{silent} of its {len(frames)} frames have no complete reference"
        findings.append(_left_out(sequence, "note", reason, "nothing needs to be done; they are left out"))


def frame_name(frame: Path) -> str:
    """What the pair of a frame of the Cell Tracking Challenge is called: 01_t000."""
    return f"{frame.absolute().parent.name}_{stem_of(frame)}"


def _data_science_bowl(root: Path) -> Layout | None:
    cases = [path for path in root.iterdir() if (path / "images").is_dir() and (path / "masks").is_dir()]
    if not cases:
        return None
    pairs, findings = [], []
    for case in sorted(cases, key=lambda path: natural_key(path.name)):
        images = image_files(case / "images")
        if len(images) > 1 and match(images, image_files(case / "masks"))[0]:
            raise DatasetError(f"{root}: this folder holds data sets; give one of them, such as {case}")
        if len(images) != 1:
            reason = f"it holds {len(images)} images and {len(image_files(case / 'masks'))} masks"
            findings.append(_left_out(case, "error", reason, "each case needs one image and a mask for each object"))
            continue
        pairs.append(Pair(name=case.name, images=(images[0],), mask=case / "masks", group=case.name))
    pairs, description = _one_file_an_object(pairs, findings)
    return Layout(name="DSB 2018", pairs=pairs, findings=findings, description=description)


_LOOKS: tuple[Callable[[Path], Layout | None], ...] = (
    _nnunet,
    _folders,
    _tracking,
    _data_science_bowl,
    _endings,
)


def _alone(image: Path) -> Finding:
    return _left_out(image, "warning", "it belongs to no mask in labelsTr/", "annotate it, or move it away")


def _left_out(path: Path, severity: Any, reason: str, remedy: str) -> Finding:
    return Finding(severity=severity, file=str(path), reason=f"{reason}; it is left out", remedy=remedy)
