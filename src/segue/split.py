"""Which images a network learns from and which ones judge it. Geometry and names only: no pixels are read.

Images of one group, and near-duplicates, never stand on both sides. Where there are too few groups for
that, the split runs through the images: a strip of each is kept for validation. Such a validation is
optimistic about new images: it has the same staining, the same microscope and the same day as the training
part, so that it tells when to stop training, but not how good the network will be elsewhere. Images that
belong together are cut at one side, for frame t + 1 shows what was held out of frame t. Only near-duplicates
that are turned, flipped or far shifted still show it, for they have it at another place.

A class that only one group shows is never given to validation, nor cut: it would not be learnt. Only if
there is no other group at all its images are cut nevertheless.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segue.errors import UsageError
from segue.fingerprint import Examination
from segue.fingerprint.measures import ImageMeasure, LabelMeasure
from segue.grouping import connected_groups
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
    classes: frozenset[int] = frozenset()
    """Ids of the classes that its labels show; empty if all that is learnt are objects of one class."""


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
            classes=_classes_of(one.labels),
        )
        for place, one in enumerate(examination.images)
    ]


def _classes_of(labels: LabelMeasure) -> frozenset[int]:
    if labels.objects and not labels.objects.of_class:
        return frozenset()
    return frozenset(number for number, count in enumerate(labels.counts) if count > 0)


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
    MOST_VALIDATION, go to validation; what is learnt from still shows every class.

    With fewer than FEWEST_GROUPS groups, or if none can be spared, see `split_blocks` (and what it costs, at
    the head of this module).
    Raises UsageError without an image or if `validation_fraction` does not lie between 0 and 1.
    """
    if not members:
        raise UsageError("0 images cannot be split; give at least one")
    if not 0 < validation_fraction < 1:
        raise UsageError(f"validation_fraction is {validation_fraction}; it must lie between 0 and 1")
    groups = gather_groups(members)
    if len(groups) < FEWEST_GROUPS:
        return split_blocks(members, buffer=buffer)
    ordered = sorted(groups, key=lambda group: _order(members[group[0]]))
    sizes = [len(group) for group in ordered]
    kinds = [members[group[0]].kind for group in ordered]
    classes = [_shown(group, members) for group in ordered]
    wanted = min(max(round(validation_fraction * len(members)), 1), MOST_VALIDATION)
    # Where each group is the last of its kind, kinds do not count.
    taken = _choose(sizes, kinds, classes, wanted=wanted) or _choose(sizes, [""] * len(sizes), classes, wanted=wanted)
    if not taken:
        return split_blocks(members, buffer=buffer)
    chosen = sorted(place for number in taken for place in ordered[number])
    return Split(
        train=tuple(sorted(set(range(len(members))) - set(chosen))),
        validation=tuple(chosen),
    )


def gather_groups(members: Sequence[Member]) -> list[tuple[int, ...]]:
    """The places of images that have to stay together, by group or as twins, also over several steps."""
    first: dict[tuple[str, object], int] = {}
    pairs: list[tuple[int, int]] = []
    for place, member in enumerate(members):
        bonds: list[tuple[str, object]] = [("twins", member.twins)] if member.twins is not None else []
        bonds += [("group", member.group)] if member.group else []
        pairs += [(first.setdefault(bond, place), place) for bond in bonds]
    return connected_groups(len(members), pairs)


def _order(member: Member) -> tuple[object, ...]:
    return member.kind, member.shape, natural_key(member.name)


def _shown(places: Iterable[int], members: Sequence[Member]) -> frozenset[int]:
    """The classes that images show together."""
    return frozenset().union(*(members[place].classes for place in places))


def _choose(sizes: Sequence[int], kinds: Sequence[str], classes: Sequence[frozenset[int]], *, wanted: int) -> list[int]:
    """Groups of `sizes` images at even distances, with about `wanted` images; none if none can be spared.

    The line of all images is cut into `wanted` equal stretches, and the group in the middle of each is taken
    until there are enough. Then a kind that was passed over gives the group in its middle.

    Left to training are the last group of a kind or with a class, half of the groups (fewer if most images are
    wanted), and groups that are much larger than wanted. If all are, the smallest is taken, unless it holds
    more than a third of the images.
    """
    traits: list[set[str | int]] = [{kind, *shown} for kind, shown in zip(kinds, classes, strict=True)]
    left = Counter(trait for one in traits for trait in one)

    def can_be_spared(place: int) -> bool:
        return all(left[trait] > 1 for trait in traits[place])

    spare = [place for place in range(len(sizes)) if can_be_spared(place)]
    smallest = min((sizes[place] for place in spare), default=0)
    enough = wanted + max(1, wanted // 4)
    largest = max(enough, min(smallest, sum(sizes) // 3))
    candidates = [place for place in spare if sizes[place] <= largest]
    most_groups = max(len(sizes) // 2, len(sizes) * wanted // sum(sizes))
    taken: list[int] = []
    images = 0

    def take(place: int, *, up_to: int) -> None:
        nonlocal images
        if place in taken or len(taken) == most_groups or not can_be_spared(place):
            return
        if taken and images + sizes[place] > up_to:
            return
        taken.append(place)
        images += sizes[place]
        left.subtract(traits[place])

    ends = np.cumsum([sizes[place] for place in candidates])
    for position in _spread(wanted) if candidates else []:
        take(candidates[int(np.searchsorted(ends, position * int(ends[-1]), side="right"))], up_to=enough)
    passed_over = Counter(kinds[place] for place in candidates if kinds[place] not in {kinds[one] for one in taken})
    for kind in sorted(passed_over, key=lambda kind: (-passed_over[kind], kind)):
        alike = [place for place in candidates if kinds[place] == kind]
        take(alike[len(alike) // 2], up_to=2 * wanted)
    return sorted(taken)


def _spread(count: int) -> list[float]:
    """The middles of `count` equal stretches of 0..1, in an order that is spread out at any time."""
    bits = max(count - 1, 1).bit_length()  # van der Corput's order: numbers by their reversed bits
    order = sorted(range(count), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))
    return [(number + 0.5) / count for number in order]


def split_blocks(members: Sequence[Member], *, buffer: int = 16) -> BlockSplit:
    """Keep a strip of each image for validation: a fifth of its length, at alternating sides.

    The sides are right, bottom, left, top from group to group (and so of the last two axes of volumes), and the
    same for images that belong together; where an axis is too short it is another one's turn. Between the strip
    and the rest lies a `buffer` of pixels that belongs to neither, so that both do not show the same objects.

    Used for training as a whole are images whose strip would be narrower than 32 pixels along every axis, or
    would leave less than half of the image to learn from; and a group that alone shows some class, unless it is
    the only one. If the others then show a single class they can judge nothing. `validation` is empty if no image
    is left for it: with a single small image no validation is possible.
    """
    train = {place: _whole(member.shape) for place, member in enumerate(members)}
    validation: dict[int, Box] = {}
    turn = 0
    for group in _judging(gather_groups(members), members):
        strips = {place: _strip(members[place].shape, turn=turn, buffer=buffer) for place in group}
        for place, strip in strips.items():
            if strip is not None:
                train[place], validation[place] = strip
        turn += any(strips.values())
    return BlockSplit(
        train=tuple(Part(image=place, box=box) for place, box in train.items()),
        validation=tuple(Part(image=place, box=box) for place, box in sorted(validation.items())),
    )


def _judging(groups: Sequence[tuple[int, ...]], members: Sequence[Member]) -> list[tuple[int, ...]]:
    """The groups of which a strip can be spared: every class that they show is shown by others too."""
    number_of = Counter(shown for group in groups for shown in _shown(group, members))
    several = [group for group in groups if all(number_of[shown] > 1 for shown in _shown(group, members))]
    if len(groups) == 1 or len(several) == len(groups):
        return list(groups)
    return several if len(_shown((place for group in several for place in group), members)) > 1 else []


def _strip(shape: tuple[int, ...], *, turn: int, buffer: int) -> tuple[Box, Box] | None:
    """The boxes to learn from and to judge with; None if the image is too small."""
    whole = _whole(shape)
    first = len(shape) - 1 - turn % 2
    far = turn % 4 < 2  # right and bottom, then left and top
    for axis in sorted(range(len(shape)), key=lambda axis: (axis != first, -axis)):
        length = shape[axis]
        strip = max(round(_STRIP * length), _SHORTEST_STRIP)
        left = length - strip - buffer
        if 2 * left >= length:
            rest, kept = (0, left), (length - strip, length)
            if not far:
                rest, kept = (length - left, length), (0, strip)
            return _with(whole, axis=axis, span=rest), _with(whole, axis=axis, span=kept)
    return None


def _whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, length) for length in shape)


def _with(box: Box, *, axis: int, span: tuple[int, int]) -> Box:
    return (*box[:axis], span, *box[axis + 1 :])
