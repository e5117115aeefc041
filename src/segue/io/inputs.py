"""From files to images to predict, under the names that the pairs of their data set have.

So the answer to an image is found again by the name of its pair, and what a dataset.toml says of a pair holds for its
image also when it is predicted. Only folders are looked at: an image that nobody has annotated has a name as well.

nnU-Net    files in imagesTr/ or imagesTs/ beside dataset.json: CASE_0000 and CASE_0001 are the channels of CASE
CTC        frames in a folder such as 01/, if some folder like it has a reference (01_GT/SEG): 01/t000 is 01_t000
DSB 2018   the only image of <id>/images/, beside <id>/masks/, is <id>, if <id>/ stands beside dataset.toml
all else   each file is an image by its own name
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from segue.arrays import Image
from segue.errors import ImageError
from segue.io.datasets import read_pair_image
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.description import FILE_NAME, pixel_size_of, read_description
from segue.io.layouts import FRAME, SEQUENCE, annotated_sequences, frame_name
from segue.io.natural import image_files, stem_of
from segue.io.nnunet import IMAGES_FOLDERS, JSON_NAME, channels_of, files_of_case, read_content, spacing_of
from segue.io.pairs import IMAGE_FOLDERS, Pair, match


@dataclass(frozen=True, kw_only=True)
class Input:
    """One image to predict."""

    name: str
    """What its pair is called in its data set, or would be; for most the stem of its file."""
    files: tuple[Path, ...]
    """One file; or several of which each holds a channel."""
    root: Path
    """The folder of its data set, if it lies in one."""

    @property
    def file(self) -> Path:
        """The first of its files: what messages call it."""
        return self.files[0]


_Rule = Callable[[Path], Input]
"""From a file of a folder to the image that it belongs to."""


def find_inputs(files: Iterable[Path]) -> list[Input]:
    """The images that `files` belong to, each once, in the order of their first files.

    A file that is one channel brings the others with it. Raises DatasetError if a dataset.json that counts the channels
    is wrong.
    """
    rules: dict[Path, _Rule] = {}
    found: dict[tuple[Path, ...], Input] = {}
    for path in files:
        folder = path.parent
        if folder not in rules:
            place = folder.absolute()
            rules[folder] = _nnunet(place) or _tracking(place) or _data_science_bowl(place) or _alone(place)
        one = rules[folder](path)
        found.setdefault(one.files, one)
    return list(found.values())


def read_input(one: Input, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """Read an image, (C, [Z,] Y, X), from one file or from one for each channel.

    Raises MissingInputError or ImageError, naming the file.
    """
    missing = [path.name for path in one.files if not path.is_file()]
    if 0 < len(missing) < len(one.files):
        raise ImageError(
            f"{one.file.parent / one.name}: {JSON_NAME} names {len(one.files)} channels, but {', '.join(missing)} "
            "is not there; add it"
        )
    return read_pair_image(Pair(name=one.name, images=one.files), max_pixels=max_pixels)


def described_pixel_size(one: Input) -> tuple[float, ...] | None:
    """What the dataset.toml of its data set says of the pixels of an image, in micrometres, (z) y x.

    It may also stand beside the image. In the layout of nnU-Net, what it does not say may stand in CASE.json. Raises
    DatasetError if one of them is wrong.
    """
    places = (one.root / FILE_NAME, one.file.parent / FILE_NAME)
    description = next((read_description(place) for place in places if place.is_file()), None)
    told = pixel_size_of(one.name, description) if description else None
    folder = one.file.absolute().parent
    is_case = folder.name in IMAGES_FOLDERS and (folder.parent / JSON_NAME).is_file()
    return told or (spacing_of(one.name, one.file) if is_case else None)


def _nnunet(folder: Path) -> _Rule | None:
    source = folder.parent / JSON_NAME
    if folder.name not in IMAGES_FOLDERS:
        return None
    if not source.is_file():
        return lambda path: Input(name=stem_of(path), files=(path,), root=folder.parent)
    channels = len(channels_of(read_content(source), source=source))
    masks = folder.with_name(folder.name.replace("images", "labels"))
    present = {path.name for path in image_files(folder)}

    def rule(path: Path) -> Input:
        stem = stem_of(path)
        suffix = path.name[len(stem) :]
        numbered = re.fullmatch(r"(.+)_\d{4}", stem)
        # With a mask of its own name it is a case, though that name ends as those of channels do.
        if numbered and not (masks / path.name).is_file():
            names = files_of_case(numbered[1], suffix, channels=channels, present=present)
            if path.name in names and names[0] in present:
                files = tuple(path.with_name(name) for name in names)
                return Input(name=numbered[1], files=files, root=folder.parent)
        return Input(name=stem, files=(path,), root=folder.parent)

    return rule


def _tracking(folder: Path) -> _Rule | None:
    if not re.fullmatch(SEQUENCE, folder.name) or not annotated_sequences(folder.parent):
        return None

    def rule(path: Path) -> Input:
        is_frame = re.fullmatch(FRAME, stem_of(path)) is not None
        return Input(name=frame_name(path) if is_frame else stem_of(path), files=(path,), root=folder.parent)

    return rule


def _data_science_bowl(folder: Path) -> _Rule | None:
    case = folder.parent
    if folder.name != "images" or not (case / "masks").is_dir() or (case / FILE_NAME).exists():
        return None
    images = image_files(folder)
    if len(images) != 1:
        return None
    if stem_of(images[0]) != case.name:  # perhaps a data set of its own, or one to be
        is_own = bool(match(images, _masks_in(case / "masks"))[0])
        if is_own or not (case.parent / FILE_NAME).is_file():
            return None
    return lambda path: Input(name=case.name, files=(path,), root=case.parent)


def _masks_in(folder: Path) -> list[Path]:
    """The files in a folder of masks, or its folders of one file an object."""
    return image_files(folder) or [path for path in folder.iterdir() if path.is_dir()]


def _alone(folder: Path) -> _Rule:
    root = folder.parent if folder.name.lower() in IMAGE_FOLDERS else folder
    return lambda path: Input(name=stem_of(path), files=(path,), root=root)
