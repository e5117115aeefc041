"""What judges a training: the held-out images, scored while it runs and once more at its end."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE
from segue.evaluate.classes import score_classes
from segue.evaluate.objects import score_objects
from segue.evaluate.summary import ImageScores, summarise
from segue.model.unet import UNet
from segue.objects.classes import classify_objects
from segue.objects.decode import DecodeConfig
from segue.objects.tune import USUAL_EVALUATIONS, Example, decoding_score, tune_decoding
from segue.predict.infer import PredictConfig, predict, prepare
from segue.resample import resample_labels, resample_values
from segue.train.examples import Judged
from segue.train.schedule import Clock
from segue.trained import Answer, most_probable, objects_of

PIXELS_WHILE_TRAINING = 4_000_000
"""Validations during the training look at no more pixels than this, so that they stay a small part of the time."""
PIXELS_A_SECOND = 6_000
"""With a time budget they look at no more than so many for each of its seconds."""
MIRROR_VIEWS = 8
"""A prediction with mirror images costs about so many without."""
PIXELS_FOR_TUNING = 1 << 22
"""The object decoding is tuned on no more pixels than this."""
SMALLEST_LOOK = 1 << 12
"""Of an image that is too large for the time left at least so many pixels are judged."""
SCORINGS = 3
"""All scores of an image take about so many times as long as the one that is looked at while training."""
SCORE_NAMES = {"classes": "dice", "objects": "average_precision_50_95"}
"""The score that decides which weights are best."""
SEVERAL_CLASSES_SCORE = "mean_class_average_precision_50_95"
"""The one for objects of several classes: an object of the wrong class is not found."""


@dataclass(frozen=True)
class Look:
    """What a network says of one image, or of a part of it."""

    one: Judged
    answer: NDArray[np.float32]
    whole: bool
    """Whether it is all of the image."""
    mirrored: bool
    """Whether it is the mean over mirror images."""


@dataclass(frozen=True)
class LastLook:
    """Seconds that the parts of `Validator.final` will take."""

    predicting: float
    tuning: float
    scoring: float

    @property
    def total(self) -> float:
        """Seconds of all of it."""
        return self.predicting + self.tuning + self.scoring


@dataclass
class Validator:
    """Scores networks on the held-out images, and remembers how long that takes."""

    images: Sequence[Judged]
    """In the order of the data set."""
    classes: tuple[str, ...]
    config: PredictConfig
    """How the network will be applied by its users."""
    budget: float | None = None
    """Seconds that the whole training may take, if that is limited."""
    decoding: DecodeConfig = field(default_factory=DecodeConfig)
    """How objects are decoded until the decoding is tuned."""
    clock: Clock = time.monotonic
    _predicting: float = field(init=False, default=math.nan)
    """Seconds a pixel that the latest `quick` took to predict, without mirror images."""
    _judging: float = field(init=False, default=math.nan)
    """Seconds a pixel that it took to score what was predicted."""

    def quick(self, network: UNet) -> dict[str, float]:
        """The scores of a few images without mirror images, for the training loop; empty without any image.

        Where these show nothing but background the entry "score" is NaN: a network that rightly finds nothing has no
        score, and one that finds something has 0, which would be better than none.
        """
        chosen = self._seen_while_training
        if not chosen:
            return {}
        config = replace(self.config, mirror=False)
        pixels = _pixels(chosen)
        started = self.clock()
        prepared = prepare(network, config)
        answers = [predict(prepared, one.pixels, classes=len(self.classes), config=config) for one in chosen]
        predicted = self.clock()
        scores = self._quick_scores(chosen, answers)
        judged = self.clock()
        # Never 0, which would be no share of the time at all.
        self._predicting, self._judging = (max(s, 1e-6) / pixels for s in (predicted - started, judged - predicted))
        shown = any((one.labels.ids > 0).any() for one in chosen)
        return scores if shown else scores | {"score": math.nan}

    def _quick_scores(self, chosen: Sequence[Judged], answers: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        if chosen[0].labels.object_classes is not None:
            rows = [self._scores(one, answer, self.decoding) for one, answer in zip(chosen, answers, strict=True)]
            found = summarise(rows, resamples=1)["metrics"]
            scores = {name: found[f"pooled/{name}"]["mean"] for name in (SEVERAL_CLASSES_SCORE, SCORE_NAMES["objects"])}
            scores = {name: float("nan") if value is None else value for name, value in scores.items()}
            return {"score": scores[SEVERAL_CLASSES_SCORE], **scores}
        if chosen[0].labels.kind == "objects":
            examples = [self._example(one, answer) for one, answer in zip(chosen, answers, strict=True)]
            score = decoding_score(examples, self.decoding)
            return {"score": score, SCORE_NAMES["objects"]: score}
        rows = [self._class_scores(one, answer) for one, answer in zip(chosen, answers, strict=True)]
        metrics = {name: entry["mean"] for name, entry in summarise(rows, resamples=1)["metrics"].items()}
        known = {name: value for name, value in metrics.items() if value is not None}
        return {"score": known.get(SCORE_NAMES["classes"], float("nan")), **known}

    def final(
        self, network: UNet, *, seconds_left: Callable[[], float] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The summary over all images (as `summarise` gives it) and the tuned object decoding, as plain data.

        Images that do not fit into the `seconds_left` are left out; one that is too large for it is judged in part;
        and where mirror images would cost images they are given up. The summary says how many (`left_out`, `in_part`,
        `without_mirror`). Each image is predicted, scored and forgotten, but for those that the decoding is tuned on,
        which come first.
        """
        if not self.images:
            return {}, asdict(self.decoding)
        if math.isnan(self._predicting):
            self.quick(network)
        left, decoding = seconds_left or (lambda: math.inf), self.decoding
        rest, rows = list(self.images), []
        short = {"in_part": 0, "without_mirror": 0}

        def judge(looks: Iterable[Look]) -> None:
            for look in looks:
                rows.append(self._scores(look.one, look.answer, decoding))
                short["in_part"] += not look.whole
                short["without_mirror"] += self.config.mirror and not look.mirrored

        if self._of_objects:
            chosen = spread(self.images, pixels=PIXELS_FOR_TUNING)
            rest = [one for one in self.images if not any(one is other for other in chosen)]
            expected, share = self._expected(), _pixels(chosen) / max(_pixels(self.images), 1)
            predicting = expected.predicting * share
            afterwards = expected.predicting * (1 - share) + expected.scoring
            allowed = left() * predicting / expected.total
            looks = list(self._looks_in_time(network, chosen, allowed=allowed))
            examples = [self._example(look.one, look.answer, pixels=PIXELS_FOR_TUNING) for look in looks]
            kept_free = left() * afterwards / (expected.tuning + afterwards)
            decoding = tune_decoding(examples, start=self.decoding, should_stop=lambda: left() < kept_free)
            judge(looks)
            del looks, examples
        if rest:
            judge(self._looks_in_time(network, rest, allowed=left(), one_at_least=not rows))
        return summarise(rows) | {"left_out": len(self.images) - len(rows)} | short, asdict(decoding)

    def last_look(self) -> float | None:
        """Seconds that `final` will take, judged by what `quick` took; None before there was one."""
        if not self.images:
            return 0.0
        return None if math.isnan(self._predicting) else self._expected().total

    def _expected(self) -> LastLook:
        views, pixels = MIRROR_VIEWS if self.config.mirror else 1, _pixels(self.images)
        tuned_on = 0
        if self._of_objects:
            tuned_on = min(_pixels(spread(self.images, pixels=PIXELS_FOR_TUNING)), PIXELS_FOR_TUNING)
        return LastLook(
            predicting=views * pixels * self._predicting,
            tuning=USUAL_EVALUATIONS * tuned_on * self._judging,
            scoring=SCORINGS * pixels * self._judging,
        )

    @property
    def _seen_while_training(self) -> list[Judged]:
        pixels = PIXELS_WHILE_TRAINING
        if self.budget is not None:
            pixels = min(pixels, int(PIXELS_A_SECOND * self.budget))
        return [central_part(one, share=pixels / _pixels([one])) for one in spread(self.images, pixels=pixels)]

    @property
    def _of_objects(self) -> bool:
        return self.images[0].labels.kind == "objects"

    def _looks_in_time(
        self, network: UNet, images: Sequence[Judged], *, allowed: float, one_at_least: bool = True
    ) -> Iterator[Look]:
        """Looks at as many images as fit into `allowed` seconds with what is done with each; else unmirrored."""
        config, seconds_a_pixel = self.config, self._predicting
        if config.mirror and MIRROR_VIEWS * seconds_a_pixel * _pixels(images) > allowed:
            config = replace(config, mirror=False)
        seconds_a_pixel *= MIRROR_VIEWS if config.mirror else 1
        prepared = prepare(network, config)
        order = [one for start in range(4) for one in images[start::4]]  # some of all, should time run out
        whole = [True] * len(order)
        if one_at_least and (least := max(SMALLEST_LOOK, allowed / seconds_a_pixel)) < _pixels(order[:1]):
            order[0], whole[0] = central_part(order[0], share=least / _pixels(order[:1])), False
        started = self.clock()
        for number, one in enumerate(order):
            before = self.clock()
            required = one_at_least and number == 0
            if not required and before - started + seconds_a_pixel * _pixels([one]) > allowed:
                break
            answer = predict(prepared, one.pixels, classes=len(self.classes), config=config)
            yield Look(one, answer, whole=whole[number], mirrored=config.mirror)
            seconds_a_pixel = max(seconds_a_pixel, (self.clock() - before) / _pixels([one]))

    def _scores(self, one: Judged, values: NDArray[np.float32], decoding: DecodeConfig) -> ImageScores:
        if one.labels.kind == "classes":
            return self._class_scores(one, values)
        answer = self._answer(one, values)
        objects = objects_of(answer, decoding)
        classes = classify_objects(objects, answer.probabilities)
        predicted = replace(one.labels, ids=objects.astype(np.int32), object_classes=classes.table())
        scores = score_objects(one.labels, predicted)
        return {"name": one.name, "metrics": scores.metrics(), "ratios": dict(scores.ratios())}

    def _class_scores(self, one: Judged, values: NDArray[np.float32]) -> ImageScores:
        scores = score_classes(one.labels, most_probable(self._answer(one, values)), classes=self.classes)
        return {"name": one.name, "metrics": scores.metrics(), "ratios": dict(scores.ratios())}

    def _answer(self, one: Judged, values: NDArray[np.float32]) -> Answer:
        """What the network says, (K + A, *grid), on the pixels of the truth, as a user would have it."""
        classes, grid = len(self.classes), values.shape[1:]
        values = resample_values(values, one.labels.shape)
        distance = values[classes] if len(values) > classes else None
        return Answer(values[:classes], distance, one.labels.space, worked_on=grid)

    def _example(self, one: Judged, values: NDArray[np.float32], *, pixels: int | None = None) -> Example:
        """What the decoding works on, and the truth, on the grid of the network: its settings are in those pixels.

        Of more than so many `pixels` the central part.
        """
        classes, grid = len(self.classes), values.shape[1:]
        ids = resample_labels(one.labels, grid).ids
        part = _central_window(ids, share=1 if pixels is None else pixels / max(ids.size, 1))
        distance = values[classes][part] if len(values) > classes else None
        return np.float32(1) - values[0][part], distance, ids[part]


def spread(images: Sequence[Judged], *, pixels: int | None) -> list[Judged]:
    """Some of the images at even distances, so that together they hold at most `pixels` (at least one image)."""
    if not images:
        return []
    total = _pixels(images)
    count = len(images) if pixels is None else max(1, min(len(images), len(images) * pixels // max(total, 1)))
    places = [int((number + 0.5) * len(images) / count) for number in range(count)]
    return [images[place] for place in places]


def _pixels(images: Sequence[Judged]) -> int:
    """Pixels of the network's grid, which predictions take their time for."""
    return sum(one.pixels[0].size for one in images)


def central_part(one: Judged, *, share: float) -> Judged:
    """The image, or a part of it of its proportions that holds about `share` of it, where something is to be seen."""
    if share >= 1:
        return one
    part = _central_window(one.labels.ids, share=share)
    # On the grid of the network, if that is another one, the part ends at the nearest pixels.
    factors = [now / length for now, length in zip(one.pixels.shape[1:], one.labels.shape, strict=True)]
    seen = tuple(
        slice(round(span.start * factor), max(round(span.start * factor) + 1, round(span.stop * factor)))
        for span, factor in zip(part, factors, strict=True)
    )
    return Judged(one.name, one.pixels[(slice(None), *seen)], replace(one.labels, ids=one.labels.ids[part]))


def _central_window(ids: NDArray[Any], *, share: float) -> tuple[slice, ...]:
    """A window with about `share` of `ids`, around the middle of what is annotated.

    Where that shows nothing but background and the rest does not, it lies where most of the foreground is instead.
    """
    lengths = [max(1, min(length, int(length * share ** (1 / ids.ndim)))) for length in ids.shape]
    known = ids != IGNORE
    window = tuple(
        _around(_middle(known, axis), kept, whole)
        for axis, (kept, whole) in enumerate(zip(lengths, ids.shape, strict=True))
    )
    foreground = ids > 0
    return window if foreground[window].any() or not foreground.any() else _fullest(foreground, lengths)


def _fullest(mask: NDArray[np.bool_], lengths: Sequence[int]) -> tuple[slice, ...]:
    """A window of `lengths` that holds much of a mask: along one axis after the other where there is most of it."""
    window: tuple[slice, ...] = ()
    for axis, kept in enumerate(lengths):
        start = int(np.convolve(_counts(mask, axis), np.ones(kept), mode="valid").argmax())
        window += (slice(start, start + kept),)
        mask = mask[(slice(None),) * axis + (window[-1],)]
    return window


def _middle(mask: NDArray[np.bool_], axis: int) -> float:
    """Mean place of what is True along an axis; that of the whole where nothing is."""
    counts = _counts(mask, axis)
    weights = counts if counts.any() else np.ones(len(counts))
    return float(np.average(np.arange(len(counts)), weights=weights))


def _counts(mask: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """How much of a mask there is at each place along an axis."""
    counts: NDArray[np.float64] = mask.sum(
        axis=tuple(other for other in range(mask.ndim) if other != axis), dtype=np.float64
    )
    return counts


def _around(middle: float, kept: int, whole: int) -> slice:
    start = min(max(int(middle - (kept - 1) / 2), 0), whole - kept)
    return slice(start, start + kept)
