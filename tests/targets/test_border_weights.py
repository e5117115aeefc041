import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.arrays import IGNORE
from segue.errors import UsageError
from segue.targets import border_weights as module
from segue.targets.border_weights import BorderWeights, border_term, class_weights, weight_map


def slowly(cells, *, w0=10.0, sigma=5.0, spacing=None) -> NDArray[np.float64]:
    """The definition: one distance transform of the whole image for every object, in double precision."""
    distances = [
        ndimage.distance_transform_edt(cells != number, sampling=spacing) for number in np.unique(cells[cells > 0])
    ]
    if len(distances) < 2:
        return np.zeros(cells.shape)
    first, second = np.sort(distances, axis=0)[:2]
    term: NDArray[np.float64] = w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return term


def random_cells(shape, count, seed) -> NDArray[np.int32]:
    """Ellipsoids of very different sizes, overlapping, touching, cut by the border; ids with gaps."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    cells = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        centre = rng.uniform(0, shape)
        radii = rng.uniform(0.5, max(shape) / rng.uniform(3, 16), size=len(shape))
        cells[(((places - centre) / radii) ** 2).sum(-1) <= 1] = 3 * number
    return cells


CASES = [
    ((96, 110), count, spacing, seed)
    for count, seed in [(0, 0), (1, 1), (2, 2), (2, 3), (5, 4), (40, 5), (200, 6)]
    for spacing in (None, (1.0, 1.0), (0.7, 1.9))
] + [
    ((20, 34, 30), count, spacing, seed)
    for count, seed in [(0, 0), (1, 1), (2, 2), (6, 3), (40, 4)]
    for spacing in (None, (4.0, 1.0, 1.3))
]


@pytest.mark.parametrize(("shape", "count", "spacing", "seed"), CASES)
def test_it_equals_the_full_distance_transform_of_every_object_within_1e_4(shape, count, spacing, seed):
    cells = random_cells(shape, count, seed)
    fast = border_term(cells, BorderWeights(), spacing=spacing)
    assert fast.dtype == np.float32
    assert fast.shape == shape
    assert np.abs(fast - slowly(cells, spacing=spacing)).max() < 1e-4


@pytest.mark.parametrize(
    ("w0", "sigma", "eps"), [(10, 1.5, 5e-5), (10, 12, 5e-5), (50, 4, 1e-2), (1, 5, 1e-3), (3, 0.05, 1e-4)]
)
def test_the_error_stays_below_eps_for_other_settings(w0, sigma, eps):
    cells = random_cells((80, 90), 25, 8)
    config = BorderWeights(w0=w0, sigma=sigma, eps=eps)
    assert np.abs(border_term(cells, config) - slowly(cells, w0=w0, sigma=sigma)).max() < eps + 1e-6 * w0


def test_sigma_is_in_the_unit_of_the_spacing():
    cells = random_cells((60, 60), 10, 3)
    in_pixels = border_term(cells, BorderWeights(sigma=5.0))
    in_micrometres = border_term(cells, BorderWeights(sigma=0.02), spacing=(0.004, 0.004))
    np.testing.assert_allclose(in_micrometres, in_pixels, atol=1e-5)


def test_the_pixels_of_a_gap_weigh_as_the_formula_says():
    cells = np.zeros((1, 9), np.int32)
    cells[0, :3], cells[0, 6:] = 1, 2
    expected = [10 * math.exp(-(total**2) / 50) for total in (6, 5, 4, 1 + 3, 2 + 2, 3 + 1, 4, 5, 6)]
    np.testing.assert_allclose(border_term(cells, BorderWeights())[0], expected, rtol=1e-6)


@pytest.mark.parametrize("cells", [np.zeros((0, 5), np.int32), np.zeros((1, 1), np.int32), np.ones((1, 1), np.int32)])
def test_without_two_cells_the_term_is_0(cells):
    assert border_term(cells, BorderWeights()).shape == cells.shape
    assert not border_term(cells, BorderWeights()).any()


def test_w0_of_0_switches_the_term_off():
    assert not border_term(random_cells((30, 30), 9, 0), BorderWeights(w0=0)).any()


def test_ignored_pixels_are_no_cells():
    cells = random_cells((40, 40), 3, 1)
    marked = cells.copy()
    marked[:5] = np.where(cells[:5] == 0, IGNORE, cells[:5])
    np.testing.assert_array_equal(border_term(marked, BorderWeights()), border_term(cells, BorderWeights()))


def test_the_size_of_a_batch_changes_nothing(monkeypatch):
    cells = random_cells((96, 110), 40, 5)
    together = border_term(cells, BorderWeights())
    monkeypatch.setattr(module, "_BATCH_VALUES", 1)
    np.testing.assert_array_equal(border_term(cells, BorderWeights()), together)


def test_a_patch_of_the_weights_knows_the_cells_outside_of_it():
    cells = np.zeros((20, 20), np.int32)
    cells[5:15, 5:9], cells[5:15, 12:16] = 1, 2
    patch = (slice(5, 15), slice(5, 11))  # holds one cell only
    whole = weight_map(np.minimum(cells, 1), cells=cells, border=BorderWeights())
    alone = weight_map(np.minimum(cells, 1)[patch], cells=cells[patch], border=BorderWeights())
    assert (alone == 1).all()
    assert whole[patch][5, 5] > 5


def test_class_weights_balance_two_classes_exactly():
    weights = class_weights([0.75, 0.25])
    assert weights == pytest.approx((2 / 3, 2))  # each class then has half of all the weight
    assert class_weights([75, 25]) == pytest.approx(weights)


def test_class_weights_are_bounded_and_have_mean_1_over_pixels():
    shares = np.array([0.989, 0.0099, 0.0011, 0.0])
    weights = np.array(class_weights(shares))
    assert weights.max() / weights.min() == pytest.approx(10)
    assert (weights[1:] == weights[1]).all()
    assert shares @ weights == pytest.approx(1)


@pytest.mark.parametrize("shares", [[], [0, 0], [-1, 2], [math.nan, 1]])
def test_impossible_class_frequencies_are_refused(shares):
    with pytest.raises(UsageError, match="are no shares"):
        class_weights(shares)


def test_the_weight_map_is_class_weight_plus_border_term_and_0_where_ignored():
    cells = random_cells((40, 50), 8, 4)
    classes = np.minimum(cells, 1).astype(np.int16)
    classes[10:14, 10:20] = IGNORE
    weights = weight_map(classes, cells=cells, class_weights=(0.5, 2.0), border=BorderWeights())
    assert weights.dtype == np.float32
    assert not weights[classes == IGNORE].any()
    known = classes != IGNORE
    expected = np.where(classes == 1, 2.0, 0.5) + slowly(cells)
    np.testing.assert_allclose(weights[known], expected[known], atol=1e-4)


def test_any_number_of_classes_has_its_weights():
    classes = np.array([[0, 1, 2, 3, IGNORE]])
    assert weight_map(classes, class_weights=(1, 2, 3, 4)).tolist() == [[1, 2, 3, 4, 0]]
    assert weight_map(classes).tolist() == [[1, 1, 1, 1, 0]]


def test_a_class_without_a_weight_is_refused():
    with pytest.raises(UsageError, match="2 class weights for a map with class 3"):
        weight_map(np.array([[0, 3]]), class_weights=(1, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"w0": -1}, "w0 = -1"),
        ({"sigma": 0}, "sigma = 0"),
        ({"eps": 0}, "eps = 0"),
        ({"w0": math.nan}, "w0 = nan"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        BorderWeights(**settings)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, math.inf)])
def test_a_spacing_that_does_not_fit_is_refused(spacing):
    with pytest.raises(UsageError, match="does not fit 2 axes; give 2 positive numbers"):
        border_term(np.zeros((4, 4), np.int32), BorderWeights(), spacing=spacing)
