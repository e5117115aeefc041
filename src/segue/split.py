"""Which images a network learns from and which ones judge it. Geometry and names only: no pixels are read.

Images of one group, and near-duplicates, never stand on both sides. Where there are too few groups for
that, the split runs through the images: a strip of each is kept for validation. Such a validation is
optimistic about new images: it has the same staining, the same microscope and the same day as the training
part, so that it tells when to stop training, but not how good the network will be elsewhere.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segue.errors import UsageError
from segue.fingerprint import Examination
from segue.fingerprint.measures import ImageMeasure
from segue.io.natural import natural_key

FEWEST_GROUPS = 6
"""With fewer groups than this the split runs through the images."""

MOST_VALIDATION = 40
"""About as many images on the side of validation suffice for choosing the best weights."""

_STRIP = 0.2
"""Part of an image's length that its validation strip takes."""
_SHORTEST_STRIP = 32
"""A validation strip is at least this wide in pixels; a smaller image is used for training alone."""

Slices = tuple[slice, ...]
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Member:
    """What the split needs to know of one image."""

    name: str
    shape: tuple[int, ...]
    """Lengths of the spatial axes in pixels."""
    group: str = ""
    """Images of one group stay together; an empty group is one of its own."""
    kind: str = ""
    """Images of one kind (such as gray, or RGB) are stained or recorded alike; each kind is represented."""
    twins: int | None = None
    """Images with the same number are near-duplicates and stay together."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Whole images on two sides."""

    train: tuple[int, ...]
    """Places of the images to learn from, ascending."""
    validation: tuple[int, ...]
    """Places of the images to judge with, ascending; empty if there can be none."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A box of one image."""

    image: int
    """The place of the image."""
    box: Box
    """First pixel and one past the last along each spatial axis."""

    @property
    def slices(self) -> Slices:
        """The box as slices of the spatial axes."""
        return tuple(slice(start, stop) for start, stop in self.box)


@dataclass(frozen=True, kw_only=True)
class BlockSplit:
    """Parts of images on two sides; the parts of an image are apart by a buffer that belongs to neither."""

    train: tuple[Part, ...]
    """One part of every image."""
    validation: tuple[Part, ...]
    """One part of each image that is large enough; empty if none is, and then nothing can be validated."""


def members_of(examination: Examination) -> list[Member]:
    """The images of an examined data set, in its order, ready for `split_pairs`."""
    twins = {place: number for number, group in enumerate(examination.similar) for place in group}
    return [
        Member(
            name=one.name,
            shape=one.image.shape,
            group=one.group,
            kind=_kind_of(one.image),
            twins=twins.get(place),
        )
        for place, one in enumerate(examination.images)
    ]


def _kind_of(image: ImageMeasure) -> str:
    """Channels, colour, and whether most pixels are dark (fluorescence), bright (stained tissue) or not."""
    first = image.channels[0]
    level = (first.median - first.low) / max(first.high - first.low, 1e-30)
    tone = "dark" if level < 1 / 3 else "bright" if level > 2 / 3 else "middle"
    return f"{len(image.channels)} channels, {'colour' if image.is_colourful else 'gray'}, {tone}"


def split_pairs(
    members: Sequence[Member], *, validation_fraction: float = 0.15, buffer: int = 16
) -> Split | BlockSplit:
    """Choose images, or parts of images, for validation. Deterministic.

    Groups are put in the order of kind, shape and name, and validation takes some at even distances: a
    stack of sections gives some of both halves, and every kind of image is represented according to its
    number. At least one group and about `validation_fraction` of the images, but not many more than
    MOST_VALIDATION, go to validation.

    With fewer than FEWEST_GROUPS groups, see `split_blocks` (and what it costs, at the head of this module).
    Raises UsageError without an image or if `validation_fraction` does not lie between 0 and 1.
    """
    if not members:
        raise UsageError("0 images cannot be split; give at least one")
    if not 0 < validation_fraction < 1:
        raise UsageError(f"validation_fraction is {validation_fraction}; it must lie between 0 and 1")
    groups = gather_groups(members)
    if len(groups) < FEWEST_GROUPS:
        return split_blocks([member.shape for member in members], buffer=buffer)
    ordered = sorted(groups, key=lambda group: _order(members[group[0]]))
    kinds = [members[group[0]].kind for group in ordered]
    wanted = min(max(round(validation_fraction * len(members)), 1), MOST_VALIDATION)
    chosen = sorted(place for group in _choose(ordered, kinds, wanted=wanted) for place in group)
    return Split(
        train=tuple(sorted(set(range(len(members))) - set(chosen))),
        validation=tuple(chosen),
    )


def gather_groups(members: Sequence[Member]) -> list[tuple[int, ...]]:
    """The places of images that have to stay together, by group or as twins, also over several steps."""
    leader = list(range(len(members)))

    def find(place: int) -> int:
        while leader[place] != place:
            place = leader[place]
        return place

    first: dict[tuple[str, object], int] = {}
    for place, member in enumerate(members):
        bonds: list[tuple[str, object]] = [("twins", member.twins)] if member.twins is not None else []
        bonds += [("group", member.group)] if member.group else []
        for bond in bonds:
            one, other = sorted((find(first.setdefault(bond, place)), find(place)))
            leader[other] = one
    together: dict[int, list[int]] = defaultdict(list)
    for place in range(len(members)):
        together[find(place)].append(place)
    return [tuple(group) for group in together.values()]


def _order(member: Member) -> tuple[object, ...]:
    return member.kind, member.shape, natural_key(member.name)


def _choose(groups: Sequence[tuple[int, ...]], kinds: Sequence[str], *, wanted: int) -> list[tuple[int, ...]]:
    """Groups at even distances, counted in images, with about `wanted` images; at least one group, never all.

    The line of all images is cut into `wanted` equal stretches, and the group in the middle of each is
    taken until there are enough. A group that is alone of its kind is left to training, if others can be
    taken; a kind of several groups that was passed over gives the one in its middle.
    """
    number_of = Counter(kinds)
    candidates = [place for place, kind in enumerate(kinds) if number_of[kind] > 1] or list(range(len(groups)))
    ends = np.cumsum([len(groups[place]) for place in candidates])
    taken: list[int] = []
    images = 0
    for position in _spread(wanted):
        place = candidates[int(np.searchsorted(ends, position * int(ends[-1]), side="right"))]
        size = len(groups[place])
        if place in taken or (taken and images + size > wanted + max(1, wanted // 4)):
            continue
        taken.append(place)
        images += size
    passed_over = {kinds[place] for place in candidates} - {kinds[place] for place in taken}
    for kind in sorted(passed_over, key=lambda kind: (-number_of[kind], kind)):
        alike = [place for place in candidates if kinds[place] == kind]
        middle = alike[len(alike) // 2]
        if number_of[kind] > 1 and images + len(groups[middle]) <= 2 * wanted:
            taken.append(middle)
            images += len(groups[middle])
    return [groups[place] for place in sorted(taken)]


def _spread(count: int) -> list[float]:
    """The middles of `count` equal stretches of 0..1, in an order that is spread out at any time."""
    bits = max(count - 1, 1).bit_length()  # van der Corput's order: numbers by their reversed bits
    order = sorted(range(count), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))
    return [(number + 0.5) / count for number in order]


def split_blocks(shapes: Sequence[tuple[int, ...]], *, buffer: int = 16) -> BlockSplit:
    """Keep a strip of each image for validation: a fifth of its length, at alternating sides.

    The sides are right, bottom, left, top from image to image (and so of the last two axes of volumes).
    Between the strip and the rest lies a `buffer` of pixels that belongs to neither, so that both do not
    show the same objects. An image whose strip would be narrower than 32 pixels, or would leave less than
    half of the image to learn from, is used for training as a whole. If none is large enough, `validation`
    is empty: with a single small image no validation is possible.
    """
    train: list[Part] = []
    validation: list[Part] = []
    for number, shape in enumerate(shapes):
        whole = tuple((0, length) for length in shape)
        axis = (len(shape) - 1, len(shape) - 2)[len(validation) % 2]
        strip = max(round(_STRIP * shape[axis]), _SHORTEST_STRIP)
        left = shape[axis] - strip - buffer
        if 2 * left < shape[axis]:
            train.append(Part(image=number, box=whole))
            continue
        far = len(validation) % 4 < 2  # right and bottom, then left and top
        kept = (shape[axis] - strip, shape[axis]) if far else (0, strip)
        rest = (0, left) if far else (shape[axis] - left, shape[axis])
        train.append(Part(image=number, box=_with(whole, axis=axis, span=rest)))
        validation.append(Part(image=number, box=_with(whole, axis=axis, span=kept)))
    return BlockSplit(train=tuple(train), validation=tuple(validation))


def _with(box: Box, *, axis: int, span: tuple[int, int]) -> Box:
    return (*box[:axis], span, *box[axis + 1 :])
