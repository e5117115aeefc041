"""What judges a training: the held-out images, scored while it runs and once more at its end."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE
from segue.evaluate.classes import score_classes
from segue.evaluate.objects import score_objects
from segue.evaluate.summary import ImageScores, summarise
from segue.model.unet import UNet
from segue.objects.classes import classify_objects
from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.tune import USUAL_EVALUATIONS, Example, decoding_score, tune_decoding
from segue.predict.infer import PredictConfig, predict, prepare
from segue.resample import resample_labels, resample_values
from segue.train.examples import Judged
from segue.train.schedule import Clock
from segue.trained import at_magnification, magnification

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
        """The scores of a few images without mirror images, for the training loop; empty without any image."""
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
        return scores

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

        Images that do not fit into the `seconds_left` are left out; the summary says how many. Each is predicted,
        scored and forgotten, but for those that the decoding is tuned on, which come first.
        """
        if not self.images:
            return {}, asdict(self.decoding)
        if math.isnan(self._predicting):
            self.quick(network)
        left, decoding = seconds_left or (lambda: math.inf), self.decoding
        rest, rows = list(self.images), []
        if self._of_objects:
            chosen = spread(self.images, pixels=PIXELS_FOR_TUNING)
            rest = [one for one in self.images if not any(one is other for other in chosen)]
            expected, share = self._expected(), _pixels(chosen) / max(_pixels(self.images), 1)
            predicting = expected.predicting * share
            afterwards = expected.predicting * (1 - share) + expected.scoring
            allowed = left() * predicting / expected.total
            answers = list(self._answers_in_time(network, chosen, allowed=allowed))
            examples = [self._example(one, answer) for one, answer in answers]
            kept_free = left() * afterwards / (expected.tuning + afterwards)
            decoding = tune_decoding(examples, start=self.decoding, should_stop=lambda: left() < kept_free)
            rows = [self._scores(one, answer, decoding) for one, answer in answers]
            del answers, examples
        if rest:
            late = self._answers_in_time(network, rest, allowed=left(), one_at_least=not rows)
            rows += [self._scores(one, answer, decoding) for one, answer in late]
        summary = summarise(rows)
        summary["left_out"] = len(self.images) - len(rows)
        return summary, asdict(decoding)

    def last_look(self) -> float | None:
        """Seconds that `final` will take, judged by what `quick` took; None before there was one."""
        if not self.images:
            return 0.0
        return None if math.isnan(self._predicting) else self._expected().total

    def _expected(self) -> LastLook:
        views, pixels = MIRROR_VIEWS if self.config.mirror else 1, _pixels(self.images)
        tuned_on = _pixels(spread(self.images, pixels=PIXELS_FOR_TUNING)) if self._of_objects else 0
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
        return [central_part(one, pixels=pixels) for one in spread(self.images, pixels=pixels)]

    @property
    def _of_objects(self) -> bool:
        return self.images[0].labels.kind == "objects"

    def _answers_in_time(
        self, network: UNet, images: Sequence[Judged], *, allowed: float, one_at_least: bool = True
    ) -> Iterator[tuple[Judged, NDArray[np.float32]]]:
        """Answers for as many images as fit into `allowed` seconds with what is done with each; else unmirrored."""
        config, seconds_a_pixel = self.config, self._predicting
        if config.mirror and MIRROR_VIEWS * seconds_a_pixel * _pixels(images) > allowed:
            config = replace(config, mirror=False)
        seconds_a_pixel *= MIRROR_VIEWS if config.mirror else 1
        prepared = prepare(network, config)
        order = [one for start in range(4) for one in images[start::4]]  # some of all, should time run out
        if one_at_least and (share := allowed / (seconds_a_pixel * _pixels(order[:1]))) < 1:
            order[0] = central_part(order[0], pixels=max(SMALLEST_LOOK, int(share * prod(order[0].labels.shape))))
        started = self.clock()
        for number, one in enumerate(order):
            before = self.clock()
            required = one_at_least and number == 0
            if not required and before - started + seconds_a_pixel * _pixels([one]) > allowed:
                break
            yield one, predict(prepared, one.pixels, classes=len(self.classes), config=config)
            seconds_a_pixel = max(seconds_a_pixel, (self.clock() - before) / _pixels([one]))

    def _scores(self, one: Judged, answer: NDArray[np.float32], decoding: DecodeConfig) -> ImageScores:
        if one.labels.kind == "classes":
            return self._class_scores(one, answer)
        decoding = at_magnification(
            decoding, magnification(one.labels.shape, answer.shape[1:]), axes=one.labels.ids.ndim
        )
        answer = resample_values(answer, one.labels.shape)
        foreground, distance, _ = self._example(one, answer)
        objects = decode_objects(foreground, distance, config=decoding)
        classes = classify_objects(objects, answer[: len(self.classes)])
        predicted = replace(one.labels, ids=objects.astype(np.int32), object_classes=classes.table())
        scores = score_objects(one.labels, predicted)
        return {"name": one.name, "metrics": scores.metrics(), "ratios": dict(scores.ratios())}

    def _class_scores(self, one: Judged, answer: NDArray[np.float32]) -> ImageScores:
        ids = resample_values(answer[: len(self.classes)], one.labels.shape).argmax(axis=0).astype(np.int32)
        scores = score_classes(one.labels, ids, classes=self.classes)
        return {"name": one.name, "metrics": scores.metrics(), "ratios": dict(scores.ratios())}

    def _example(self, one: Judged, answer: NDArray[np.float32]) -> Example:
        """What the decoding works on, and the truth, on the grid of the answer: its settings are in those pixels."""
        classes = len(self.classes)
        distance = answer[classes] if len(answer) > classes else None
        return np.float32(1) - answer[0], distance, resample_labels(one.labels, answer.shape[1:]).ids


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


def central_part(one: Judged, *, pixels: int) -> Judged:
    """The image, or the part of it around the middle of what is annotated, of its proportions and about `pixels`."""
    shape = one.labels.shape
    share = (pixels / max(prod(shape), 1)) ** (1 / len(shape))
    if share >= 1:
        return one
    lengths = [max(1, int(length * share)) for length in shape]
    known = one.labels.ids != IGNORE
    part = tuple(
        _around(_middle(known, axis), kept, whole)
        for axis, (kept, whole) in enumerate(zip(lengths, shape, strict=True))
    )
    # On the grid of the network, if that is another one, the part ends at the nearest pixels.
    factors = [now / length for now, length in zip(one.pixels.shape[1:], shape, strict=True)]
    seen = tuple(
        slice(round(span.start * factor), max(round(span.start * factor) + 1, round(span.stop * factor)))
        for span, factor in zip(part, factors, strict=True)
    )
    return Judged(one.name, one.pixels[(slice(None), *seen)], replace(one.labels, ids=one.labels.ids[part]))


def _middle(mask: NDArray[np.bool_], axis: int) -> float:
    """Mean place of what is True along an axis; that of the whole where nothing is."""
    counts = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis), dtype=np.float64)
    weights = counts if counts.any() else np.ones(len(counts))
    return float(np.average(np.arange(len(counts)), weights=weights))


def _around(middle: float, kept: int, whole: int) -> slice:
    start = min(max(int(middle - (kept - 1) / 2), 0), whole - kept)
    return slice(start, start + kept)
