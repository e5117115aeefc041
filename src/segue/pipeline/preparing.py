"""From a data set to what a training holds in memory: examined, read once more, normalised, targets made."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from segue.arrays import Image, Labels
from segue.channels import with_channels
from segue.errors import DatasetError, ImageError
from segue.fingerprint import Examination, Fingerprint, examine
from segue.io.datasets import Pairs, read_pair
from segue.io.findings import listed
from segue.io.labels import LabelSpec
from segue.normalize import measure, rescale
from segue.pipeline.judges import Part
from segue.plan import Plan, relative_spacing
from segue.resample import resample_labels, with_pixel_size
from segue.train.examples import Example, Judged, Slices, make_example, make_judged


def examined(pairs: Pairs, tell: Callable[[Examination], None]) -> tuple[Examination, Fingerprint, LabelSpec]:
    """What the data set is; `tell` hears of it first. Raises DatasetError with all that is wrong if some is fatal."""
    examination = examine(pairs)
    tell(examination)
    if examination.errors or examination.fingerprint is None or examination.spec is None:
        raise DatasetError(f"{pairs.root}: the data are not fit for training:\n{listed(examination.errors)}")
    return examination, examination.fingerprint, examination.spec


def prepare(
    pairs: Pairs,
    learn: Sequence[Part],
    judge: Sequence[Part],
    plan: Plan,
    spec: LabelSpec,
    tell: Callable[[int, int], None],
) -> tuple[list[Example], list[Judged]]:
    """Read every image once more and make of it what training and validation need. `tell` hears (done, total)."""
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
