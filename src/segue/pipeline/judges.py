"""Which images judge a training, what their masks mean, and what a user should know of their scores."""

from collections.abc import Sequence

from segue.errors import DatasetError
from segue.fingerprint import Examination
from segue.fingerprint.duplicates import similar_pairs
from segue.fingerprint.measures import measure_image
from segue.io.datasets import Pairs, read_pair_image, resolve_spec
from segue.io.findings import listed
from segue.io.labels import LabelSpec
from segue.plan import Plan
from segue.split import Split, members_of, split_pairs
from segue.train.examples import Slices

STRIPS = "with few images a strip of each judges, which is kinder than new images would be"
"""What a user should know of scores on parts of the very images that were learnt from (`segue.split`)."""
NOBODY_JUDGES = (
    "nothing is held out: there are few images, and too little would be left of them; a set of its own can judge"
)
NOBODY_WANTED = "nothing is held out, as it was asked for"
OWN_SET = (
    "another data set judges; no image of it was found to look like one that is learnt from (crops and images of "
    "another size are not compared)"
)
MOST_NAMED = 3
"""At most so many of the images that look like others are named; all are counted."""

Part = tuple[int, Slices | None]
"""Index of a pair, and the part of it that is meant; None for all of it."""


def sides(examination: Examination, plan: Plan, *, hold_out: bool) -> tuple[list[Part], list[Part]]:
    """What to train on and what to judge with."""
    numbers = [one.index for one in examination.images]
    if not hold_out or plan.validation_fraction == 0:
        return [(number, None) for number in numbers], []
    split = split_pairs(members_of(examination), validation_fraction=plan.validation_fraction)
    if isinstance(split, Split):
        return (
            [(numbers[place], None) for place in split.train],
            [(numbers[place], None) for place in split.validation],
        )
    return (
        [(numbers[part.image], part.slices) for part in split.train],
        [(numbers[part.image], part.slices) for part in split.validation],
    )


def about_sides(judge: Sequence[Part], *, hold_out: bool) -> str | None:
    """What a user should know of scores on `judge`; None if they are whole images that nobody learns from."""
    if not judge:
        return NOBODY_JUDGES if hold_out else NOBODY_WANTED
    return STRIPS if any(part is not None for _, part in judge) else None


def spec_to_judge(validation: Pairs, pairs: Pairs, spec: LabelSpec) -> LabelSpec:
    """What the masks of `validation` mean: what its dataset.toml says, else the same as in the training data.

    Raises DatasetError if files and masks do not belong together, if the masks hold something else than the training
    data, or the same classes in another order.
    """
    if errors := [one for one in validation.findings if one.severity == "error"]:
        raise DatasetError(f"{validation.root}: the data are not fit to judge with:\n{listed(errors)}")
    told = validation.description
    own = spec if told.labels is None and told.values is None else resolve_spec(validation).spec
    if own.kind != spec.kind or len(own.classes) != len(spec.classes):
        raise DatasetError(
            f"{validation.root}: its masks hold {own.kind} ({', '.join(own.classes)}), but those of {pairs.root} hold "
            f"{spec.kind} ({', '.join(spec.classes)}); annotate both in one way, or mend its dataset.toml"
        )
    names = told.classes or own.classes  # names alone do not say how masks are read, so `own` knows nothing of them
    if tuple(names) != spec.classes and sorted(names) == sorted(spec.classes):
        raise DatasetError(
            f"{validation.root}: its classes are {', '.join(names)}, but those of {pairs.root} are "
            f"{', '.join(spec.classes)}, so one would be taken for another; list them in the same order in the "
            "dataset.toml of both, and say with `values` which values in the masks they are"
        )
    return own


def look_alikes(validation: Pairs, pairs: Pairs, examination: Examination) -> list[tuple[str, str]]:
    """Images of `validation` that look like one to learn from: its name and that of the first such one.

    Compared are whole images of one size (`fingerprint.duplicates`) that show something. Raises DatasetError if two are
    equal to the pixel, and ImageError for an image that cannot be read.
    """
    learnt = [one.image for one in examination.images]
    names = [pairs[one.index].name for one in examination.images]
    named = dict(zip((one.digest for one in learnt), names, strict=True))
    judging = []
    for pair in validation:
        image = read_pair_image(pair)
        judging.append(measure_image(image))
        if not judging[-1].is_constant and (known := named.get(judging[-1].digest)):
            raise DatasetError(
                f"{image.name}: this image judges the training and is learnt from too, as {known}, so that its score "
                "would be too kind; take it away from one side (--val, or the data to learn from), or leave --val out"
            )
    like: dict[int, int] = {}
    for one, other in sorted(similar_pairs([*learnt, *judging])):
        if one < len(learnt) <= other:
            like.setdefault(other - len(learnt), one)
    return [(validation[place].name, names[one]) for place, one in sorted(like.items())]


def about_own_set(alike: Sequence[tuple[str, str]], images: int) -> str:
    """What a user should know of scores on `images` of a data set of their own, of which `look_alikes` found some."""
    if not alike:
        return OWN_SET
    named = ", ".join(f"{judging} like the learnt {learnt}" for judging, learnt in alike[:MOST_NAMED])
    more = ", ..." if len(alike) > MOST_NAMED else ""
    return (
        f"another data set judges; {len(alike)} of {images} look like images that are learnt from ({named}{more}): "
        "if they show the same, their scores are too kind"
    )
