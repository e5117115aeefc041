import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.objects import score_objects
from segue.evaluate.summary import ImageScores, summarise

TRUTH = np.array(
    [
        [1, 1, 1, 1, 0, 2, 2, 0],
        [1, 1, 1, 1, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [3, 3, 4, 4, 0, 5, 5, 5],
    ],
    np.int32,
)
PREDICTED = np.array(
    [
        [1, 1, 1, 0, 0, 2, 0, 0],
        [1, 1, 1, 0, 0, 3, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [4, 4, 4, 4, 0, 0, 0, 6],
    ],
    np.int32,
)
# IoU: 1-1: 6/8; 2-2 and 2-3: 1/4 each; 3-4 and 4-4: 2/4 each (a tie, one of them counts); 5-6: 1/3.


def test_counts_and_scores_at_one_half_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    half = scores.matchings[0]
    assert (half.tp, half.fp, half.fn) == (2, 3, 3)
    assert half.precision == half.recall == half.f1 == pytest.approx(2 / 5)
    assert scores.average_precision == pytest.approx(2 / 8)
    assert half.sq == pytest.approx((0.75 + 0.5) / 2)
    assert half.pq == pytest.approx(1.25 / (2 + 1.5 + 1.5))
    assert half.pq == pytest.approx(half.sq * half.rq)
    assert half.mean_true_iou == pytest.approx(1.25 / 5)


def test_average_precision_over_thresholds_is_the_mean_of_ten():
    # 0.5: 2 of 8; 0.55 to 0.75: 1 of 9 (five thresholds); 0.8 to 0.95: 0
    assert score_objects(TRUTH, PREDICTED).average_precision_50_95 == pytest.approx((2 / 8 + 5 / 9) / 10)


def test_aggregated_jaccard_follows_the_algorithm_of_kumar():
    # 1 takes 1 (6 of 8), 2 takes 2 (1 of 4), 3 and 4 both take 4 (2 of 4 each), 5 takes 6 (1 of 3); 3 is left
    # over.
    assert score_objects(TRUTH, PREDICTED).aggregated_jaccard == pytest.approx(
        (6 + 1 + 2 + 2 + 1) / (8 + 4 + 4 + 4 + 3 + 1)
    )


def test_seg_and_det_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    # 1, 3 and 4 are covered more than half (IoU 3/4, 1/2, 1/2); 2 is covered by exactly half at most, 5 by a
    # third.
    assert scores.seg == pytest.approx((0.75 + 0.5 + 0.5) / 5)
    # one split (4 finds two), two missed, and 2, 3 and 6 find nothing
    assert scores.det == pytest.approx(1 - (5 * 1 + 10 * 2 + 1 * 3) / (10 * 5))


def test_splits_merges_counts_and_areas_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    assert scores.splits == 1  # 2 and 3 lie in 2
    assert scores.merges == 1  # 4 covers 3 and 4
    assert scores.count_error == 0
    assert scores.area_error == pytest.approx((2 / 8 + 2 / 2) / 2)
    assert score_objects(TRUTH, np.where(PREDICTED == 6, 0, PREDICTED)).count_error == pytest.approx(1 / 5)


def challenge(truth: NDArray[Any], predicted: NDArray[Any], folder: Path) -> tuple[float, float, int]:
    """SEG, DET and the number of splits that the merges of the prediction need, of the reference package."""
    import tifffile
    from ctc_metrics.metrics import det, seg
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    tifffile.imwrite(folder / "truth.tif", truth.astype(np.int32))
    tifffile.imwrite(folder / "found.tif", predicted.astype(np.int32))
    true, found, mapped_true, mapped_found, ious = match(str(folder / "truth.tif"), str(folder / "found.tif"))
    operations = count_acyclic_graph_correction_operations(None, None, [true], [found], [mapped_true], [mapped_found])
    return seg([true], [ious]), det(**operations), operations["NS"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_seg_and_det_equal_those_of_py_ctcmetrics(seed, tmp_path):
    rng = np.random.default_rng(seed)
    truth, predicted = np.zeros((2, 20, 20), np.int32)
    for value in range(1, 8):
        y, x, high, wide = *rng.integers(0, 18, 2), *rng.integers(2, 8, 2)
        truth[y : y + high, x : x + wide] = value
        y, x = np.clip(np.array([y, x]) + rng.integers(-2, 3, 2), 0, 19)
        predicted[y : y + high + rng.integers(-1, 4), x : x + wide] = value + 10
    predicted[0, 0] = 1
    scores = score_objects(truth, predicted)
    assert (scores.seg, scores.det) == pytest.approx(challenge(truth, predicted, tmp_path)[:2])


def test_a_perfect_prediction_scores_one_and_has_no_error():
    volume = np.zeros((3, 6, 6), np.int32)
    volume[0, :2, :2], volume[1:, 3:, 3:] = 4, 9
    for truth in (TRUTH, volume):
        metrics = score_objects(truth, truth * 2).metrics()
        for name, value in metrics.items():
            assert value == (0 if name in ("count_error", "splits", "merges", "area_error") else 1), name


def test_nothing_to_find_and_nothing_found_has_no_score():
    metrics = score_objects(np.zeros((5, 5), int), np.zeros((5, 5), int)).metrics()
    assert {name for name, value in metrics.items() if not math.isnan(value)} == {"splits", "merges"}
    assert metrics["splits"] == metrics["merges"] == 0


def test_spurious_objects_alone_score_zero_where_a_score_exists():
    metrics = score_objects(np.zeros((5, 5), int), np.eye(5, dtype=int)).metrics()
    assert metrics["average_precision"] == metrics["f1"] == metrics["precision"] == metrics["pq"] == 0
    assert metrics["aggregated_jaccard"] == 0
    assert math.isnan(metrics["recall"])
    assert math.isnan(metrics["count_error"])


def test_missed_objects_alone_score_zero_where_a_score_exists():
    metrics = score_objects(np.eye(5, dtype=int), np.zeros((5, 5), int)).metrics()
    for name in ("average_precision", "f1", "recall", "pq", "seg", "det", "aggregated_jaccard"):
        assert metrics[name] == 0, name
    assert metrics["count_error"] == 1
    assert math.isnan(metrics["precision"])


def test_a_single_pixel_and_an_object_at_the_border_are_objects():
    truth = np.zeros((4, 4), int)
    truth[0, 0], truth[3, 1:] = 1, 2
    assert score_objects(truth, truth).matchings[-1].tp == 2


def test_ignored_pixels_never_count():
    truth = TRUTH.copy()
    truth[:, 5:] = IGNORE
    cropped = score_objects(TRUTH[:, :5], PREDICTED[:, :5])
    assert score_objects(truth, PREDICTED).metrics() == pytest.approx(cropped.metrics(), nan_ok=True)


def test_labels_and_arrays_score_the_same():
    labels = Labels(ids=TRUTH, kind="objects")
    assert score_objects(labels, PREDICTED) == score_objects(TRUTH, PREDICTED.astype(np.uint32))
    assert labels.ids is TRUTH


def test_pooled_counts_are_those_of_both_images_side_by_side():
    first, second = score_objects(TRUTH, PREDICTED), score_objects(TRUTH, TRUTH)
    both = score_objects(
        np.concatenate([TRUTH, np.where(TRUTH > 0, TRUTH + 10, 0)]),
        np.concatenate([PREDICTED, np.where(TRUTH > 0, TRUTH + 10, 0)]),
    ).metrics()
    for name in ("average_precision", "average_precision_50_95", "f1", "pq", "seg", "aggregated_jaccard"):
        parts = [scores.ratios()[f"pooled/{name}"] for scores in (first, second)]
        numerators, denominators = (np.sum([part[i] for part in parts], axis=0) for i in (0, 1))
        assert (numerators / denominators).mean() == pytest.approx(both[name]), name


def random_objects(seed: int, shape: tuple[int, ...] = (24, 26), objects: int = 9) -> list[NDArray[np.int32]]:
    """Blocks of ids, and the same ones moved, grown, cut and merged a little: every kind of mistake occurs."""
    rng = np.random.default_rng(seed)
    truth, predicted = np.zeros((2, *shape), np.int32)
    for value in range(1, objects + 1):
        start = np.array([rng.integers(0, length - 3) for length in shape])
        sides = rng.integers(3, 9, len(shape))
        truth[tuple(slice(a, a + n) for a, n in zip(start, sides, strict=True))] = value
        moved = np.maximum(start + rng.choice([-1, 0, 0, 1], len(shape)), 0)
        cut = tuple(slice(a, a + n) for a, n in zip(moved, sides + rng.integers(-1, 2), strict=True))
        predicted[cut] = 100 - rng.choice([value, value, value, 1])
        if value % 3 == 0:  # cut in two
            predicted[cut][0] = np.where(predicted[cut][0] > 0, 200 + value, 0)
    return [truth, predicted]


def slow_pairs(truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> dict[tuple[int, int], tuple[int, int]]:
    """Shared and united pixels of every two objects, compared one by one."""
    return {
        (a, b): (int(((truth == a) & (predicted == b)).sum()), int(((truth == a) | (predicted == b)).sum()))
        for a in ids_of(truth)
        for b in ids_of(predicted)
    }


def ids_of(labels: NDArray[np.int32]) -> list[int]:
    return sorted(set(labels.ravel().tolist()) - {0})


@pytest.mark.parametrize("seed", range(6))
def test_matches_at_all_thresholds_are_those_that_cocoeval_counts(seed, capsys):
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, predicted = random_objects(seed)
    facts = {"info": {}, "images": [{"id": 1, "height": 24, "width": 26}], "categories": [{"id": 1}]}
    sides = []
    for labels in (truth, predicted):
        entries = []
        for number, value in enumerate(ids_of(labels), 1):
            coded = mask.encode(np.asfortranarray((labels == value).astype(np.uint8)))
            entry = {"id": number, "image_id": 1, "category_id": 1, "segmentation": coded, "score": 1.0, "iscrowd": 0}
            entries.append(entry | {"area": int((labels == value).sum()), "bbox": mask.toBbox(coded).tolist()})
        side = COCO()
        side.dataset = facts | {"annotations": entries}
        side.createIndex()
        sides.append(side)
    evaluation = COCOeval(*sides, "segm")
    evaluation.evaluate()
    capsys.readouterr()  # the package prints
    matched = (evaluation.evalImgs[0]["dtMatches"] > 0).sum(axis=1)
    scores = score_objects(truth, predicted)
    # COCO matches greedily; above 0.5 there is nothing to choose, at 0.5 no IoU of these images is exactly that.
    assert [one.threshold for one in scores.matchings] == pytest.approx(evaluation.params.iouThrs)
    assert [one.tp for one in scores.matchings] == matched.tolist()
    assert scores.matchings[0].tp > 0
    every = len(ids_of(truth)) + len(ids_of(predicted)) - matched
    assert scores.average_precision_50_95 == pytest.approx((matched / every).mean())


@pytest.mark.parametrize("shape", [(24, 26), (15, 16, 17)])
@pytest.mark.parametrize("seed", [0, 2, 3, 6])
def test_every_score_of_a_matching_follows_the_published_definition(seed, shape):
    """Schmidt et al. 2018 and Kirillov et al. 2019, out of a full table and the Hungarian method."""
    from scipy.optimize import linear_sum_assignment

    truth, predicted = random_objects(seed, shape)
    true, found, table = ids_of(truth), ids_of(predicted), slow_pairs(truth, predicted)
    iou = np.array([[table[a, b][0] / table[a, b][1] for b in found] for a in true])
    rows, columns = linear_sum_assignment(-(iou >= 0.5).astype(float) - iou / (2 * min(iou.shape)))
    chosen = [(row, column) for row, column in zip(rows, columns, strict=True) if iou[row, column] >= 0.5]
    tp, total = len(chosen), sum(iou[pair] for pair in chosen)
    errors = [abs((predicted == found[p]).sum() / (truth == true[t]).sum() - 1) for t, p in chosen]
    expected = {
        "average_precision": tp / (len(true) + len(found) - tp),
        "f1": 2 * tp / (len(true) + len(found)),
        "precision": tp / len(found),
        "recall": tp / len(true),
        "sq": total / tp,
        "rq": tp / (tp + (len(found) - tp) / 2 + (len(true) - tp) / 2),
        "pq": total / (tp + (len(found) - tp) / 2 + (len(true) - tp) / 2),
        "mean_matched_iou": total / tp,
        "mean_true_iou": total / len(true),
        "count_error": abs(len(found) - len(true)) / len(true),
        "area_error": np.mean(errors),
    }
    metrics = score_objects(truth, predicted).metrics()
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_aggregated_jaccard_equals_the_algorithm_object_by_object(seed):
    truth, predicted = random_objects(seed)
    table = slow_pairs(truth, predicted)
    shared = united = 0
    taken = set()
    for a in ids_of(truth):
        best = max(ids_of(predicted), key=lambda b: table[a, b][0] / table[a, b][1])
        if table[a, best][0] == 0:
            united += int((truth == a).sum())
            continue
        shared, united = shared + table[a, best][0], united + table[a, best][1]
        taken.add(best)
    united += sum(int((predicted == b).sum()) for b in ids_of(predicted) if b not in taken)
    assert score_objects(truth, predicted).aggregated_jaccard == pytest.approx(shared / united)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(6))
def test_merges_are_the_splits_that_the_tracking_challenge_counts_and_splits_are_merges_seen_from_behind(
    seed, tmp_path
):
    truth, predicted = random_objects(seed)
    scores = score_objects(truth, predicted)
    assert scores.merges == challenge(truth, predicted, tmp_path)[2]
    assert scores.splits == challenge(predicted, truth, tmp_path)[2]


CLASSES = ("background", "red", "white")


def with_classes(ids, table):
    return Labels(ids=np.asarray(ids, np.int32), kind="objects", classes=CLASSES, object_classes=table)


ROW = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 0, 4, 4, 0]], np.int32)
"""Four objects of two pixels each."""
RED_RED_WHITE_WHITE = with_classes(ROW, {1: 1, 2: 1, 3: 2, 4: 2})


def test_each_class_is_scored_as_if_the_other_did_not_exist():
    found = np.where(ROW == 4, 0, ROW)
    found[0, -1] = 9
    predicted = with_classes(found, {1: 1, 2: 2, 3: 2, 9: 2})
    scores = score_objects(RED_RED_WHITE_WHITE, predicted)
    metrics = scores.metrics()
    assert metrics["average_precision"] == pytest.approx(3 / 5)  # whatever their classes
    assert metrics["class_accuracy"] == pytest.approx(2 / 3)  # of 1, 2 and 3, object 2 is called white
    assert metrics["average_precision/red"] == pytest.approx(1 / 2)  # 1 of 1 and 2
    assert metrics["average_precision/white"] == pytest.approx(1 / 4)  # 3 of 3 and 4, and 2 and 9 are spurious
    assert metrics["f1/red"] == metrics["pq/red"] == pytest.approx(2 / 3)
    assert metrics["f1/white"] == metrics["pq/white"] == pytest.approx(2 / 5)
    assert metrics["count_error/red"] == metrics["count_error/white"] == pytest.approx(1 / 2)
    assert metrics["mean_class_average_precision"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert metrics["mean_class_f1"] == pytest.approx((2 / 3 + 2 / 5) / 2)
    assert scores.classes is not None
    for name in ("red", "white"):
        number = CLASSES.index(name)
        sides = [np.where(one.classes_of(one.ids) == number, one.ids, 0) for one in (RED_RED_WHITE_WHITE, predicted)]
        alone = score_objects(*sides).metrics()
        assert scores.classes.by_class[name].metrics() == pytest.approx(alone, nan_ok=True)


def test_without_classes_on_both_sides_there_are_no_scores_of_classes():
    plain = score_objects(ROW, ROW).metrics()
    assert score_objects(RED_RED_WHITE_WHITE, ROW).metrics() == plain
    assert score_objects(ROW, RED_RED_WHITE_WHITE).metrics() == plain
    assert not any("class" in name or "/" in name for name in plain)


def test_objects_of_unknown_class_count_as_objects_but_in_no_class():
    unknown = with_classes(ROW, {1: 1, 2: IGNORE, 3: 2, 4: 2})
    metrics = score_objects(unknown, RED_RED_WHITE_WHITE).metrics()
    assert metrics["average_precision"] == 1
    assert metrics["class_accuracy"] == 1
    assert metrics["average_precision/red"] == metrics["average_precision/white"] == 1
    missed = score_objects(unknown, with_classes(np.where(ROW == 2, 0, ROW), {1: 1, 3: 2, 4: 2})).metrics()
    assert missed["average_precision"] == pytest.approx(3 / 4)
    assert missed["average_precision/red"] == 1


def squares(*columns):
    """Objects 1, 2, ... of 10 rows each, from the first column given to the one before the second."""
    ids = np.zeros((14, 60), np.int32)
    for number, (start, stop) in enumerate(columns, 1):
        ids[2:12, start:stop] = number
    return ids


def test_an_object_that_reaches_beyond_one_of_unknown_class_is_spurious_in_no_class():
    truth = with_classes(squares((2, 12), (20, 30), (40, 50)), {1: 1, 2: IGNORE, 3: 2})
    found = with_classes(squares((2, 12), (20, 31), (40, 50)), {1: 1, 2: 1, 3: 2})
    metrics = score_objects(truth, found).metrics()
    assert metrics["average_precision"] == metrics["class_accuracy"] == 1
    assert metrics["average_precision/red"] == metrics["average_precision_50_95/red"] == 1
    assert metrics["average_precision/white"] == 1
    assert metrics["count_error/red"] == 0


@pytest.mark.parametrize(
    ("columns", "spurious"),
    [
        pytest.param((30, 36), 0, id="inside"),
        pytest.param((35, 44), 0, id="more than half of it"),
        pytest.param((36, 44), 1, id="half of it"),
        pytest.param((20, 60), 0, id="half of it, which matches at 0.5"),
    ],
)
def test_what_matches_an_unknown_object_or_lies_on_it_by_more_than_half_is_in_no_class(columns, spurious):
    truth = with_classes(squares((2, 12), (20, 40)), {1: 1, 2: IGNORE})
    found = with_classes(squares((2, 12), columns), {1: 1, 2: 1})
    assert score_objects(truth, found).metrics()["average_precision/red"] == 1 / (1 + spurious)


def test_a_class_that_is_nowhere_has_no_score_and_is_left_out_of_the_mean():
    metrics = score_objects(with_classes(ROW, dict.fromkeys((1, 2, 3, 4), 1)), with_classes(ROW, {1: 1, 2: 1}))
    assert math.isnan(metrics.metrics()["f1/white"])
    assert metrics.metrics()["mean_class_f1"] == metrics.metrics()["f1/red"] == pytest.approx(2 * 2 / 6)


def test_scores_of_classes_pool_over_images_class_by_class():
    found = np.where(ROW == 4, 0, ROW)
    first = score_objects(RED_RED_WHITE_WHITE, with_classes(found, {1: 1, 2: 2, 3: 2})).ratios()
    second = score_objects(with_classes(ROW, dict.fromkeys((1, 2, 3, 4), 1)), RED_RED_WHITE_WHITE).ratios()
    sums = {
        name: [np.add(mine, theirs) for mine, theirs in zip(first[name], second[name], strict=True)] for name in first
    }
    both = {name: (numerators / denominators).mean() for name, (numerators, denominators) in sums.items()}
    # red: 1 of 2 and 2 of 4, none spurious; white: 1 of 2 with one spurious, and two spurious ones.
    assert both["pooled/average_precision/red"] == pytest.approx(3 / 6)
    assert both["pooled/average_precision/white"] == pytest.approx(1 / 5)
    assert both["pooled/mean_class_average_precision"] == pytest.approx((3 / 6 + 1 / 5) / 2)
    assert both["pooled/class_accuracy"] == pytest.approx((2 + 2) / (3 + 4))


def test_classes_of_other_names_are_refused():
    other = Labels(ids=ROW, kind="objects", classes=("background", "a", "b"), object_classes={1: 1, 2: 1, 3: 1, 4: 1})
    with pytest.raises(LabelError, match="those of the prediction background, a, b; give both the same names"):
        score_objects(RED_RED_WHITE_WHITE, other)


@pytest.mark.parametrize(("objects", "expected"), [(2, 0), (3, 0), (5, 1 - 30 / 50)])
def test_false_objects_of_an_image_without_true_ones_cost_in_the_pooled_det(objects, expected):
    row = np.arange(60)[None]
    perfect = score_objects(row % 2 * (row < 2 * objects) * row, row % 2 * (row < 2 * objects) * row)
    empty = score_objects(row * 0, row % 2 * row)  # 30 false ones
    assert (perfect.true_objects, empty.predicted_objects) == (objects, 30)
    rows: list[ImageScores] = [
        {"name": "", "metrics": one.metrics(), "ratios": dict(one.ratios())} for one in (perfect, empty)
    ]
    found = summarise(rows)["metrics"]
    assert found["pooled/det"]["mean"] == pytest.approx(expected)
    assert found["det"]["mean"] == 1  # the empty image has none


def test_pooled_det_is_one_minus_the_costs_over_those_of_all_objects():
    ratios = score_objects(TRUTH, PREDICTED).ratios()["pooled/det"]
    assert ratios.numerators[0] / ratios.denominators[0] == pytest.approx(score_objects(TRUTH, PREDICTED).det)


THREE = np.kron(np.array([[1, 2, 0, 3]], np.int32), np.ones((4, 4), np.int32))
FEWER = np.where(THREE == 1, 7, 0)
FEWER[:, :1] = 0
ONE = np.kron(np.array([[1, 0, 0, 0]], np.int32), np.ones((4, 4), np.int32))


def test_every_pooled_score_is_that_of_all_images_in_one():
    """Precision is 1 and recall 1/3 in the first image, so that no two denominators are alike."""
    pairs = [(THREE, FEWER), (ONE, np.zeros_like(ONE))]
    both = score_objects(
        np.concatenate([THREE, np.where(ONE > 0, 20, 0)]), np.concatenate([FEWER, np.zeros_like(ONE)])
    ).metrics()
    each = [score_objects(true, found) for true, found in pairs]
    rows: list[ImageScores] = [{"name": "", "metrics": one.metrics(), "ratios": dict(one.ratios())} for one in each]
    pooled = {name: entry["mean"] for name, entry in summarise(rows)["metrics"].items() if name.startswith("pooled/")}
    assert len(pooled) >= 12
    for name, value in pooled.items():
        assert value == pytest.approx(both[name.removeprefix("pooled/")]), name
