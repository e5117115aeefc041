from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.evaluate.objects import score_objects
from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.tune import Example, decoding_score, tune_decoding


def example(seed: int, *, level: float = 0.9, peak: float = 1.0) -> Example:
    """Two touching discs whose foreground reaches `level` and whose distance reaches `peak`, some specks
    around."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40]
    truth: NDArray[np.int32] = np.zeros((40, 40), np.int32)
    distance = np.zeros((40, 40), np.float32)
    for value, (centre_y, centre_x) in enumerate(((20, 12), (20 + rng.integers(-3, 4), 27)), start=1):
        cone = 1 - np.hypot(y - centre_y, x - centre_x) / 8
        truth[cone > np.maximum(distance, 0)] = value
        distance = np.maximum(distance, cone.clip(0).astype(np.float32))
    foreground = np.where(truth > 0, level, 0.05).astype(np.float32)
    foreground[2, ::6] = level
    return foreground, (distance * peak).astype(np.float32), truth


def test_tuning_finds_settings_that_make_every_object_match():
    examples = [example(seed, level=0.42, peak=0.4) for seed in range(2)]
    start = DecodeConfig()
    assert decoding_score(examples, start) == 0
    best = tune_decoding(examples)
    assert best.foreground_threshold < 0.42
    assert best.smallest_object > 1
    assert decoding_score(examples, best) == 1


def test_tuning_is_never_worse_than_its_start_and_gives_the_same_answer_twice():
    examples = [example(seed, peak=0.55) for seed in range(3)]
    start = DecodeConfig(smallest_dip=0.5)
    best = tune_decoding(examples, start=start, evaluations=12)
    assert decoding_score(examples, best) >= decoding_score(examples, start)
    assert best == tune_decoding(examples, start=start, evaluations=12)


def test_a_perfect_start_stays():
    start = DecodeConfig(smallest_object=9)
    assert tune_decoding([example(0)], start=start, evaluations=10) == start


def test_one_decoding_tells_how_to_remove_and_nothing_else():
    start = DecodeConfig(smallest_dip=0.33)
    best = tune_decoding([example(0)], start=start, evaluations=1)
    assert best == replace(start, smallest_object=best.smallest_object, smallest_confidence=best.smallest_confidence)
    assert decoding_score([example(0)], best) > decoding_score([example(0)], start)  # the specks are gone


def test_no_true_object_gives_the_start_back():
    start = DecodeConfig(smallest_dip=0.33)
    foreground, distance, truth = example(0)
    assert tune_decoding([(foreground, distance, truth * 0)], start=start) == start
    assert tune_decoding([], start=start) == start


def test_the_score_is_the_pooled_average_precision_of_score_objects():
    examples = [example(seed, peak=0.55) for seed in range(3)]
    config = DecodeConfig(smallest_dip=0.3)
    counts = np.zeros((2, 10))
    for foreground, distance, truth in examples:
        objects = decode_objects(foreground, distance, config=config)
        counts += score_objects(truth, objects).ratios()["pooled/average_precision_50_95"]
    expected = (counts[0] / counts[1]).mean()
    assert decoding_score(examples, config) == pytest.approx(expected)


def test_examples_without_a_distance_are_tuned_on_the_foreground():
    _, distance, truth = example(0)
    assert distance is not None
    soft = (0.6 * (truth > 0) + 0.4 * distance).astype(np.float32)
    best = tune_decoding([(soft, None, truth)], evaluations=30)
    assert decoding_score([(soft, None, truth)], best) == 1


def ring(hole: bool) -> Example:
    y, x = np.mgrid[:40, :40]
    radius = np.hypot(y - 20, x - 20)
    truth = ((radius < 15) & ((radius > 8) if hole else True)).astype(np.int32)
    # The network sees background in the middle of both.
    return np.where((radius < 15) & (radius > 8), 0.9, 0.05).astype(np.float32), None, truth


def test_objects_with_holes_keep_them_and_others_are_filled():
    assert not tune_decoding([ring(hole=True)]).fill_holes
    assert tune_decoding([ring(hole=False)], start=DecodeConfig(fill_holes=False)).fill_holes
