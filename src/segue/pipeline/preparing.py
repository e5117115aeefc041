"""From a data set to what a training holds in memory: examined, split into two sides, normalised, targets made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from segue.arrays import Image, Labels
from segue.channels import with_channels
from segue.errors import DatasetError, ImageError
from segue.fingerprint import Examination, Fingerprint, examine
from segue.fingerprint.measures import image_digest
from segue.io.datasets import Pairs, read_pair, resolve_spec
from segue.io.labels import LabelSpec
from segue.normalize import measure, rescale
from segue.plan import Plan, relative_spacing
from segue.resample import resample_labels, with_pixel_size
from segue.split import Split, members_of, split_pairs
from segue.train.examples import Example, Judged, Slices, make_example, make_judged

Part = tuple[int, Slices | None]
"""Index of a pair, and the part of it that is meant; None for all of it."""


def examined(pairs: Pairs, tell: Callable[[Examination], None]) -> tuple[Examination, Fingerprint, LabelSpec]:
    """What the data set is; `tell` hears of it first. Raises DatasetError with all that is wrong if some is fatal."""
    examination = examine(pairs)
    tell(examination)
    if examination.errors or examination.fingerprint is None or examination.spec is None:
        listed = "\n".join(f"  {one.file}: {one.reason}; {one.remedy}" for one in examination.errors)
        raise DatasetError(f"{pairs.root}: the data are not fit for training:\n{listed}")
    return examination, examination.fingerprint, examination.spec


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


def prepare(
    pairs: Pairs,
    learn: Sequence[Part],
    judge: Sequence[Part],
    plan: Plan,
    spec: LabelSpec,
    tell: Callable[[int, int], None],
    *,
    learnt: Mapping[str, str] | None = None,
) -> tuple[list[Example], list[Judged]]:
    """Read every image once more and make of it what training and validation need. `tell` hears (done, total).

    `learnt` names, by their digests, images of another data set that are learnt from: raises DatasetError if one of
    these is among those that judge.
    """
    to_learn, to_judge = dict(learn), dict(judge)
    examples: list[Example] = []
    judged: list[Judged] = []
    wanted = sorted({*to_learn, *to_judge})
    for done, number in enumerate(wanted, 1):
        image, labels = read_pair(pairs[number], spec)
        if image.spatial_axes != plan.network.spatial_axes:
            raise ImageError(
                f"{image.name}: it has {image.spatial_axes} spatial axes, but the network has "
                f"{plan.network.spatial_axes}; train and judge with images of one kind"
            )
        if learnt and (known := learnt.get(image_digest(image))):
            raise DatasetError(
                f"{image.name}: this image judges the training and is learnt from too, as {known}, so that its score "
                "would be too kind; take it away from one side (--val, or the data to learn from), or leave --val out"
            )
        image = with_channels(image, channels=plan.network.channels, rgb=plan.rgb)
        seen = with_pixel_size(image, plan.working)
        scaling = measure(seen, plan.normalization)
        pixels = rescale(seen.pixels, scaling)
        if number in to_learn:
            spacing = relative_spacing(seen.space.pixel_size or plan.pixel_size)
            part = _inside(to_learn[number], labels.shape, seen.shape)
            taught = resample_labels(labels, seen.shape, space=seen.space)
            examples.append(make_example(pixels, taught, plan.targets, seed=number, spacing=spacing, part=part))
        if number in to_judge:
            part = to_judge[number]
            if seen is not image and part is not None:
                # Cut first: the ends of a part need not lie between two pixels of the grid the network works on.
                image, labels = _cut(image, labels, part)
                pixels, part = rescale(with_pixel_size(image, plan.working).pixels, scaling), None
            judged.append(make_judged(pairs[number].name, pixels, labels, part=part))
        tell(done, len(wanted))
    return examples, judged


def _inside(part: Slices | None, shape: Sequence[int], new: Sequence[int]) -> Slices | None:
    """The pixels of a grid of `new` that lie wholly inside of a part of a grid of `shape` pixels, at least one."""
    if part is None or tuple(shape) == tuple(new):
        return part
    spans = [one.indices(length) for one, length in zip(part, shape, strict=True)]
    starts = [
        min(-(-start * now // length), now - 1) for (start, _, _), length, now in zip(spans, shape, new, strict=True)
    ]
    stops = [stop * now // length for (_, stop, _), length, now in zip(spans, shape, new, strict=True)]
    return tuple(slice(start, max(start + 1, stop)) for start, stop in zip(starts, stops, strict=True))


def _cut(image: Image, labels: Labels, part: Slices) -> tuple[Image, Labels]:
    # The labels are kept: a view would keep the whole in memory.
    return replace(image, pixels=image.pixels[(slice(None), *part)]), replace(labels, ids=labels.ids[part].copy())


def spec_to_judge(validation: Pairs, pairs: Pairs, spec: LabelSpec) -> LabelSpec:
    """What the masks of `validation` mean: what its dataset.toml says, else the same as in the training data.

    Raises DatasetError if they hold something else than the training data, or the same classes in another order.
    """
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
