import weakref
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from segue.arrays import IGNORE, Labels
from segue.evaluate.objects import score_objects
from segue.model.unet import UNet, isotropic_config
from segue.objects.decode import DecodeConfig
from segue.objects.tune import USUAL_EVALUATIONS, tune_decoding
from segue.pipeline import validating
from segue.pipeline.validating import SCORE_NAMES, Validator, spread
from segue.predict.infer import PredictConfig, predict
from segue.train.examples import Judged
from segue.train.schedule import CAUTION


def copier(outputs):
    """A network that answers with the image: pixels > 0 are class 1, and the map is high where the pixels are."""
    network = UNet(
        isotropic_config(
            spatial_axes=2, depth=0, width=2, outputs=outputs, padding="same", normalization="none", dropout=0.0
        )
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, second = (module.weight for module in network.bottom if isinstance(module, torch.nn.Conv2d))
        head = network.get_parameter("head.weight")
        first[0, 0, 1, 1], first[1, 0, 1, 1] = 1, -1  # what is above 0, what is below
        second[0, 0, 1, 1], second[1, 1, 1, 1] = 1, 1
        head[1, :, 0, 0] = torch.tensor([10.0, -10.0])
        if outputs > 2:
            head[2, :, 0, 0] = torch.tensor([10.0, -10.0])
    return network


def judged(name, ids, *, kind, seen=None):
    """An image that shows the objects of `seen`, and the truth `ids`."""
    ids = np.asarray(ids, np.int32)
    shown = np.where((ids if seen is None else np.asarray(seen)) > 0, 1, -1).astype(np.float32)
    return Judged(name, shown[None], Labels(ids=ids, kind=kind, classes=("background", "cell"), name=name))


def validator_of(*images):
    return Validator(images, ("background", "cell"), PredictConfig(context=0, precision="fp32"))


TWO = np.zeros((24, 32), np.int32)
TWO[3:9, 3:9], TWO[13:20, 18:28] = 1, 2
HALF = np.where(TWO == 1, 1, 0)


@pytest.mark.parametrize("kind", ["classes", "objects"])
def test_a_network_that_finds_everything_scores_1(kind):
    ids = TWO if kind == "objects" else (TWO > 0)
    validator = validator_of(judged("a", ids, kind=kind), judged("b", ids, kind=kind))
    network = copier(3 if kind == "objects" else 2)
    quick = validator.quick(network)
    assert quick["score"] == quick[SCORE_NAMES[kind]] == 1
    summary, decoding = validator.final(network)
    assert summary["images"] == 2
    assert summary["left_out"] == 0
    assert summary["metrics"]["dice" if kind == "classes" else "average_precision"]["mean"] == 1
    assert DecodeConfig(**decoding) == validator.decoding or kind == "objects"


def test_a_network_that_finds_one_of_two_objects_scores_one_half():
    validator = validator_of(judged("a", TWO, kind="objects", seen=HALF))
    assert validator.quick(copier(3))["score"] == 0.5
    summary, _ = validator.final(copier(3))
    assert summary["metrics"]["average_precision"]["mean"] == 0.5


def test_what_lies_where_nobody_annotated_is_no_mistake():
    ids = np.where(TWO == 2, IGNORE, TWO)  # the second object is shown, but nobody said whether it is one
    validator = validator_of(judged("a", ids, kind="objects", seen=TWO))
    assert validator.quick(copier(3))["score"] == 1
    summary, _ = validator.final(copier(3))
    assert summary["metrics"]["average_precision"]["mean"] == 1


def test_the_tuned_decoding_is_the_one_that_is_scored():
    # A speck of one pixel is shown besides the objects; a decoding that drops it scores better.
    seen = TWO.copy()
    seen[0, 31] = 9
    validator = validator_of(judged("a", TWO, kind="objects", seen=seen))
    assert validator.quick(copier(3))["score"] < 1
    summary, decoding = validator.final(copier(3))
    assert decoding["smallest_object"] > 1
    assert summary["metrics"]["average_precision"]["mean"] == 1
    assert score_objects(TWO, seen).average_precision == pytest.approx(2 / 3)


class SlowClock:
    """Two seconds pass whenever somebody looks at it."""

    now = 0.0

    def __call__(self):
        self.now += 2
        return self.now


def test_how_long_the_last_look_takes_follows_from_a_validation():
    images = [judged(name, TWO > 0, kind="classes") for name in "abcd"]
    validator = replace(validator_of(*images), clock=SlowClock())
    assert validator.last_look() is None
    validator.quick(copier(2))  # predicting takes 2 s, and so does scoring
    assert validator.last_look() == pytest.approx(2 + validating.SCORINGS * 2)
    validator.config = replace(validator.config, mirror=True)
    assert validator.last_look() == pytest.approx(8 * 2 + validating.SCORINGS * 2)
    validator.budget = 2 * TWO.size / validating.PIXELS_A_SECOND  # half of the pixels are seen while training
    validator.quick(copier(2))
    assert validator.last_look() == pytest.approx(2 * (8 * 2 + validating.SCORINGS * 2))


def test_where_the_decoding_is_tuned_the_last_look_takes_longer():
    validator = replace(validator_of(judged("a", TWO, kind="objects")), clock=SlowClock())
    validator.quick(copier(3))
    assert validator.last_look() == pytest.approx(2 + (validating.SCORINGS + USUAL_EVALUATIONS) * 2)


class PredictionClock:
    """Time passes with predictions only: each takes so many seconds, eight times as many with mirror images."""

    def __init__(self, monkeypatch, *, seconds):
        self.now = 0.0
        self.seconds = seconds
        self.mirrored = []
        """Of each prediction, whether it was with mirror images."""
        monkeypatch.setattr(validating, "predict", self._predict)

    def __call__(self):
        return self.now

    def _predict(self, network, pixels, *, config, **more):
        self.now += self.seconds * (8 if config.mirror else 1)
        self.mirrored.append(config.mirror)
        return predict(network, pixels, config=config, **more)


@pytest.mark.parametrize("budget", [None, 4 * TWO.size / validating.PIXELS_A_SECOND])
def test_in_the_time_that_was_expected_every_image_is_looked_at(monkeypatch, budget):
    clock = PredictionClock(monkeypatch, seconds=1)
    images = [judged(name, TWO, kind="objects") for name in "abcdefgh"]
    validator = replace(validator_of(*images), budget=budget, clock=clock)
    assert validator.quick(copier(3))["score"] == 1
    end = clock.now + CAUTION * validator.last_look()
    summary, _ = validator.final(copier(3), seconds_left=lambda: end - clock.now)
    assert summary["left_out"] == 0


def test_there_is_no_last_look_at_nothing():
    assert validator_of().last_look() == 0


def test_without_images_there_is_nothing_to_say():
    validator = validator_of()
    assert validator.quick(copier(2)) == {}
    assert validator.final(copier(2)) == ({}, asdict(validator.decoding))


def test_without_an_object_anywhere_there_is_no_score_and_no_failure():
    empty = np.zeros((16, 16))
    validator = validator_of(judged("a", empty, kind="objects"))
    assert np.isnan(validator.quick(copier(3))["score"])
    summary, _ = validator.final(copier(3))
    assert summary["images"] == 1


def test_images_that_do_not_fit_into_the_time_are_left_out_and_counted(monkeypatch):
    clock = PredictionClock(monkeypatch, seconds=10)
    images = [judged(f"{number}", TWO > 0, kind="classes") for number in range(5)]
    validator = replace(validator_of(*images), clock=clock)
    validator.quick(copier(2))
    clock.now = 0.0
    summary, _ = validator.final(copier(2), seconds_left=lambda: 35 - clock.now)
    assert (summary["images"], summary["left_out"]) == (3, 2)
    clock.now = 0.0
    summary, _ = validator.final(copier(2), seconds_left=lambda: 50 - clock.now)
    assert (summary["images"], summary["left_out"]) == (5, 0)
    clock.now = 100.0  # too late for all: one is judged all the same, so that a model never goes without a score
    summary, _ = validator.final(copier(2), seconds_left=lambda: 35 - clock.now)
    assert (summary["images"], summary["left_out"]) == (1, 4)


def test_of_an_image_too_large_for_the_time_its_middle_is_judged(monkeypatch):
    clock = PredictionClock(monkeypatch, seconds=0)

    def by_size(network, pixels, *, config, **more):
        clock.now += pixels[0].size / 100
        return predict(network, pixels, config=config, **more)

    monkeypatch.setattr(validating, "predict", by_size)
    large = judged("a", np.tile(TWO > 0, (20, 20)), kind="classes")
    validator = replace(validator_of(large), clock=clock, budget=1.0)
    validator.quick(copier(2))
    end = clock.now + 60
    summary, _ = validator.final(copier(2), seconds_left=lambda: end - clock.now)
    assert clock.now <= end
    assert (summary["images"], summary["left_out"], summary["in_part"]) == (1, 0, 1)


def test_answers_are_forgotten_once_they_are_scored(monkeypatch):
    held, most = [], 0

    def remembered(network, pixels, **more):
        nonlocal most
        answer = predict(network, pixels, **more)
        held.append(weakref.ref(answer))
        most = max(most, sum(one() is not None for one in held))
        return answer

    images = [judged(f"{number}", TWO > 0, kind="classes") for number in range(6)]
    validator = validator_of(*images)
    validator.quick(copier(2))
    monkeypatch.setattr(validating, "predict", remembered)
    summary, _ = validator.final(copier(2))
    assert summary["images"] == 6
    assert most <= 2  # that of an image, and of the one before it while it is replaced
    held.clear()
    most = 0
    monkeypatch.setattr(validating, "PIXELS_FOR_TUNING", 2 * TWO.size)
    validator = validator_of(*[judged(f"{number}", TWO, kind="objects") for number in range(6)])
    validator.budget = 1 / validating.PIXELS_A_SECOND  # while training one pixel is seen, of one image
    summary, _ = validator.final(copier(3))
    assert (summary["images"], summary["metrics"]["average_precision"]["mean"]) == (6, 1)
    assert most <= 2 + 1


@pytest.mark.parametrize("mirror", [False, True])
def test_what_the_decoding_is_not_tuned_on_keeps_to_the_time_too(monkeypatch, mirror):
    """Of nine images one is for tuning; the eight others take 10 s each (80 with mirror images), and there are 15."""
    clock = PredictionClock(monkeypatch, seconds=10)
    monkeypatch.setattr(validating, "PIXELS_FOR_TUNING", TWO.size)
    images = [judged(f"{number}", TWO, kind="objects") for number in range(9)]
    config = PredictConfig(context=0, precision="fp32", mirror=mirror)
    validator = replace(validator_of(*images), clock=clock, config=config, budget=TWO.size / validating.PIXELS_A_SECOND)
    validator.quick(copier(3))
    end = clock.now + 15
    summary, _ = validator.final(copier(3), seconds_left=lambda: end - clock.now)
    assert clock.now <= end
    assert summary["images"] == 1


def test_the_part_that_is_looked_at_lies_where_somebody_annotated():
    ids = np.full((100, 200), IGNORE, np.int32)
    ids[80:90, 20:40] = 1
    part = validating.central_part(judged("a", ids, kind="classes"), share=1 / 4)
    assert part.labels.shape == (50, 100)
    assert (part.labels.ids == 1).sum() == 200


def test_the_part_that_is_looked_at_shows_an_object_if_there_is_one():
    """Two colonies near two corners of a plate: the middle, also that between them, is empty."""
    ids = np.zeros((100, 100), np.int32)
    ids[5:15, 5:15], ids[80:85, 80:85] = 1, 2
    part = validating.central_part(judged("a", ids, kind="objects"), share=1 / 25)
    assert part.labels.shape == part.pixels.shape[1:] == (20, 20)
    assert (part.labels.ids == 1).sum() == 100
    empty = validating.central_part(judged("a", 0 * ids, kind="objects"), share=1 / 25)
    assert empty.labels.shape == (20, 20)


@pytest.mark.parametrize("kind", ["classes", "objects"])
def test_where_nothing_is_to_be_found_there_is_no_score_right_or_wrong(kind):
    network = copier(3 if kind == "objects" else 2)
    for seen in (TWO, 0 * TWO):
        assert np.isnan(validator_of(judged("a", 0 * TWO, kind=kind, seen=seen)).quick(network)["score"])


def test_of_an_image_too_large_to_tune_on_a_part_is_tuned_on_and_all_is_scored(monkeypatch):
    tuned: list[int] = []

    def noted(examples, **more):
        tuned.extend(truth.size for _, _, truth in examples)
        return tune_decoding(examples, **more)

    monkeypatch.setattr(validating, "tune_decoding", noted)
    monkeypatch.setattr(validating, "PIXELS_FOR_TUNING", TWO.size)
    large = np.zeros((72, 96), np.int32)
    for number in range(9):
        y, x = divmod(number, 3)
        large[24 * y : 24 * y + 24, 32 * x : 32 * x + 32] = np.where(TWO > 0, TWO + 2 * number, 0)
    summary, _ = validator_of(judged("a", large, kind="objects")).final(copier(3))
    assert tuned == [TWO.size]
    assert summary["metrics"]["average_precision"]["mean"] == 1
    assert (summary["left_out"], summary["in_part"]) == (0, 0)


def test_mirror_images_are_given_up_where_they_would_cost_images(monkeypatch):
    clock = PredictionClock(monkeypatch, seconds=1)
    images = [judged(f"{number}", TWO > 0, kind="classes") for number in range(5)]
    config = PredictConfig(precision="fp32", mirror=True)
    validator = replace(validator_of(*images), config=config, clock=clock)
    validator.quick(copier(2))
    for seconds, mirrored in ((39, False), (40, True)):
        clock.now, clock.mirrored[:] = 0.0, []
        summary, _ = validator.final(copier(2), seconds_left=lambda seconds=seconds: seconds - clock.now)
        assert (summary["images"], summary["left_out"]) == (5, 0)
        assert clock.mirrored == [mirrored] * 5
        assert summary["without_mirror"] == (0 if mirrored else 5)


def test_time_goes_with_the_pixels_that_the_network_sees(monkeypatch):
    """Of labels four times as fine as what the network sees, a prediction takes no longer."""
    clock = PredictionClock(monkeypatch, seconds=1)
    coarse = judged("a", TWO > 0, kind="classes")
    finer = replace(coarse.labels, ids=np.kron(coarse.labels.ids, np.ones((4, 4), np.int32)))
    validator = replace(validator_of(coarse, Judged("b", coarse.pixels, finer)), clock=clock)
    validator.quick(copier(2))
    assert validator.last_look() == pytest.approx(2, abs=1e-3)


def images_of(*sides):
    return [judged(str(number), np.zeros((side, side)), kind="classes") for number, side in enumerate(sides)]


@pytest.mark.parametrize(
    ("pixels", "names"),
    [
        (None, ["0", "1", "2", "3", "4", "5"]),
        (600, ["0", "1", "2", "3", "4", "5"]),
        (599, ["0", "1", "3", "4", "5"]),
        (300, ["1", "3", "5"]),
        (200, ["1", "4"]),
        (100, ["3"]),
        (1, ["3"]),
    ],
)
def test_some_images_are_chosen_at_even_distances(pixels, names):
    assert [one.name for one in spread(images_of(*[10] * 6), pixels=pixels)] == names


def test_of_no_image_none_is_chosen():
    assert spread([], pixels=None) == []
    assert spread([], pixels=100) == []
    assert len(spread(images_of(0), pixels=100)) == 1


def test_the_score_of_objects_of_several_classes_is_the_mean_over_classes():
    """The network of these tests says class 1 of every object; one of the two is of class 2."""
    names = ("background", "red", "white")
    one = judged("a", TWO, kind="objects")
    told = replace(one.labels, classes=names, object_classes={1: 1, 2: 2})
    validator = Validator([replace(one, labels=told)], names, PredictConfig(context=0, precision="fp32"))
    network = copier(4)  # channel 2, white, is as high as channel 1: the lower class wins
    quick = validator.quick(network)
    assert quick["average_precision_50_95"] == 1
    # red: 1 of 1 and one spurious; white: none of 1
    assert quick["score"] == quick["mean_class_average_precision_50_95"] == pytest.approx((1 / 2 + 0) / 2)
    summary, _ = validator.final(network)
    assert summary["metrics"]["class_accuracy"]["mean"] == pytest.approx(1 / 2)
    assert summary["metrics"]["pooled/mean_class_average_precision"]["mean"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("kind", ["classes", "objects"])
def test_an_answer_on_another_grid_is_judged_on_the_pixels_of_the_image(kind):
    fine = TWO.repeat(2, axis=0).repeat(2, axis=1)
    at_work = judged("a", TWO, kind=kind)
    own = Labels(
        ids=(fine if kind == "objects" else (fine > 0)).astype(np.int32), kind=kind, classes=at_work.labels.classes
    )
    one = replace(at_work, labels=own)
    validator = validator_of(one)
    network = copier(3 if kind == "objects" else 2)
    assert validator.quick(network)["score"] > 0.85  # corners are rounded on the way back
    summary, _ = validator.final(network)
    assert summary["metrics"]["dice" if kind == "classes" else "average_precision"]["mean"] > 0.9


def test_the_middle_of_an_image_on_two_grids_is_one_place():
    fine = np.arange(48 * 64, dtype=np.int32).reshape(48, 64)
    labels = Labels(ids=fine, kind="objects")
    part = validating.central_part(Judged("a", fine[None, ::2, ::2].astype(np.float32), labels), share=1 / 4)
    assert part.labels.shape == (24, 32)
    assert part.pixels.shape == (1, 12, 16)
    assert part.labels.ids[0, 0] == part.pixels[0, 0, 0]
    assert part.labels.ids[-2, -2] == part.pixels[0, -1, -1]
