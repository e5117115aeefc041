import json
import math

import numpy as np
import pytest

from segue.evaluate.counts import Greatest, Least, Ratio
from segue.evaluate.summary import ImageScores, larger_is_worse, summarise, worst_first


def images(*values: float, metric: str = "dice") -> list[ImageScores]:
    return [{"name": f"{index}.png", "metrics": {metric: value}} for index, value in enumerate(values)]


def test_the_structure_is_the_one_of_the_design():
    summary = summarise(images(0.5, 1.0))
    assert list(summary) == ["images", "metrics", "per_image"]
    assert summary["images"] == 2
    assert set(summary["metrics"]["dice"]) == {"mean", "low", "high"}
    assert summary["metrics"]["dice"]["mean"] == 0.75
    assert summary["per_image"][1] == {"name": "1.png", "metrics": {"dice": 1.0}}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_interval_of_two_images_spans_them():
    # four equally likely draws: both low, both high, and twice one of each
    assert summarise(images(0.0, 1.0))["metrics"]["dice"] == {"mean": 0.5, "low": 0.0, "high": 1.0}


def test_the_interval_of_many_images_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    found = summarise(images(*values), resamples=4000)["metrics"]["dice"]
    half = 1.96 * values.std() / math.sqrt(400)
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_depends_on_the_seed_alone():
    values = images(*np.linspace(0, 1, 7))
    assert summarise(values, seed=3) == summarise(values, seed=3)
    assert summarise(values, seed=3) != summarise(values, seed=4)


def test_equal_scores_have_an_interval_of_no_width():
    assert summarise(images(0.25, 0.25, 0.25))["metrics"]["dice"] == {"mean": 0.25, "low": 0.25, "high": 0.25}


def test_one_image_has_a_mean_but_no_interval():
    assert summarise(images(0.5))["metrics"]["dice"] == {"mean": 0.5, "low": None, "high": None}


def test_no_image_gives_an_empty_summary():
    assert summarise([]) == {"images": 0, "metrics": {}, "per_image": []}


def test_scores_that_do_not_exist_are_none_and_in_no_mean():
    summary = summarise(images(math.nan, 0.5, 0.5))
    assert summary["metrics"]["dice"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert summary["per_image"][0]["metrics"]["dice"] is None
    nothing = summarise(images(math.nan, math.nan))
    assert nothing["metrics"]["dice"] == {"mean": None, "low": None, "high": None}


def test_a_metric_that_some_images_lack_is_the_mean_of_the_others():
    entries = images(0.2, 0.4) + images(1.0, metric="iou")
    assert summarise(entries)["metrics"]["dice"]["mean"] == pytest.approx(0.3)
    assert summarise(entries)["metrics"]["iou"]["mean"] == 1.0


def test_pooled_scores_add_counts_before_they_divide():
    entries = images(0.5, 1.0)
    entries[0]["ratios"] = {"pooled/a": Ratio((1.0, 0.0), (2.0, 0.0))}
    entries[1]["ratios"] = {"pooled/a": Ratio((8.0, 0.0), (8.0, 0.0))}
    found = summarise(entries)["metrics"]["pooled/a"]
    assert found["mean"] == pytest.approx(9 / 10)
    assert (found["low"], found["high"]) == (0.5, 1.0)


@pytest.mark.parametrize(("kind", "interval"), [(Greatest, (0.5, 1.0)), (Least, (0.0, 0.5))])
def test_the_best_entry_is_taken_after_counts_are_added_in_every_drawn_set_too(kind, interval):
    entries = images(0.0, 0.0)
    entries[0]["ratios"] = {"pooled/a": kind((4.0, 0.0, 7.0), (4.0, 5.0, 0.0))}
    entries[1]["ratios"] = {"pooled/a": kind((1.0, 5.0, 0.0), (6.0, 5.0, 0.0))}
    # Both together: 5/10, 5/10 and nothing; twice the first: 4/4 and 0/5; twice the second: 1/6 and 5/5.
    found = summarise(entries)["metrics"]["pooled/a"]
    assert (found["mean"], found["low"], found["high"]) == (0.5, *interval)


@pytest.mark.parametrize(("kind", "best"), [(Greatest, 0.6), (Least, 0.5)])
def test_the_best_of_several_entries_is_the_greatest_or_the_least(kind, best):
    entries = images(0.0)
    entries[0]["ratios"] = {"pooled/a": kind((5.0, 6.0), (10.0, 10.0))}
    assert summarise(entries)["metrics"]["pooled/a"]["mean"] == best


def test_a_ratio_of_one_entry_stands_for_as_many_as_those_of_other_images():
    entries = images(0.0, 0.0)
    entries[0]["ratios"] = {"pooled/a": Greatest((1.0,), (2.0,))}
    entries[1]["ratios"] = {"pooled/a": Greatest((0.0, 3.0), (2.0, 4.0))}
    assert summarise(entries)["metrics"]["pooled/a"]["mean"] == 4 / 6


def test_pooled_numerators_count_even_where_the_denominator_is_zero():
    entries = images(0.0, 0.0, metric="count_error")
    entries[0]["ratios"] = {"pooled/count_error": Ratio((3.0,), (0.0,))}
    entries[1]["ratios"] = {"pooled/count_error": Ratio((0.0,), (6.0,))}
    assert summarise(entries)["metrics"]["pooled/count_error"]["mean"] == pytest.approx(0.5)


def test_the_worst_image_comes_first_whichever_way_the_metric_points():
    assert [entry["name"] for entry in worst_first(images(0.5, math.nan, 0.1, 0.9), "dice")] == [
        "2.png",
        "0.png",
        "3.png",
        "1.png",
    ]
    errors = images(0.5, math.nan, 0.1, 0.9, metric="warping_error")
    assert [entry["name"][0] for entry in worst_first(errors, "warping_error")] == ["3", "0", "2", "1"]


@pytest.mark.parametrize(("metric", "expected"), [("dice", False), ("pixel_error", True), ("splits", True)])
def test_errors_and_mistakes_are_worse_when_larger(metric, expected):
    assert larger_is_worse(metric) is expected
