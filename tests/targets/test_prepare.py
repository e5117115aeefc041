import numpy as np
import pytest

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError, UsageError
from segue.targets.border_weights import BorderWeights, border_term
from segue.targets.distance import normalized_distance
from segue.targets.prepare import TargetConfig, make_targets

CELLS = np.array(
    [
        [1, 1, 2, 2, 0, 0],
        [1, 1, 2, 2, 0, IGNORE],
        [1, 1, 2, 2, 0, IGNORE],
    ],
    np.int32,
)


def labels_of(ids, kind="objects", classes=("background", "cell")):
    return Labels(ids=np.asarray(ids, np.int32), kind=kind, classes=classes)


def test_touching_objects_are_parted_by_background_only_where_that_is_wanted():
    parted = make_targets(labels_of(CELLS), TargetConfig(separate=True, w0=0)).classes
    whole = make_targets(labels_of(CELLS), TargetConfig(separate=False, w0=0)).classes
    assert parted.tolist() == [[1, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, -1], [1, 0, 0, 1, 0, -1]]
    assert whole.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, -1], [1, 1, 1, 1, 0, -1]]


def test_without_weights_every_known_pixel_counts_1():
    targets = make_targets(labels_of(CELLS), TargetConfig(w0=0))
    assert (targets.weights == (CELLS != IGNORE)).all()
    assert targets.maps == ()


def test_weights_are_the_class_weight_and_the_border_term():
    targets = make_targets(labels_of(CELLS), TargetConfig(w0=10, sigma=2, class_weights=(0.5, 3.0)))
    cells = np.where(targets.classes == 1, CELLS, 0)
    expected = np.array([0.5, 3.0, 0.0])[targets.classes] + border_term(cells, BorderWeights(w0=10, sigma=2))
    expected[CELLS == IGNORE] = 0
    np.testing.assert_allclose(targets.weights, expected, rtol=1e-6)
    # between the parted cells d1 = 1 and d2 = 2
    assert targets.weights[1, 1] == pytest.approx(0.5 + 10 * np.exp(-9 / 8), rel=1e-5)


def test_the_distance_map_is_that_of_every_object_on_its_own():
    config = TargetConfig(distance=True, w0=0)
    (distance,) = make_targets(labels_of(CELLS), config).maps
    assert config.auxiliary == ("distance",)
    assert (distance == normalized_distance(np.maximum(CELLS, 0))).all()
    assert distance.dtype == np.float32
    assert (distance[CELLS <= 0] == 0).all()
    assert 0 < distance[CELLS > 0].min() <= distance.max() == 1


def test_distances_and_borders_are_measured_in_space():
    ids = np.zeros((9, 24), np.int32)
    ids[1:7, 1:11], ids[3:9, 13:23] = 1, 2
    config = TargetConfig(distance=True, w0=10)
    thick = make_targets(labels_of(ids), config, spacing=(4.0, 1.0))
    assert (thick.maps[0] == normalized_distance(ids, spacing=(4.0, 1.0))).all()
    assert (thick.maps[0] != normalized_distance(ids)).any()
    # Parted by 2 px along x: halfway d1 = 1 and d2 = 2, whatever the slices; along y everything is 4 times as far.
    assert thick.weights[5, 11] == pytest.approx(1 + 10 * np.exp(-9 / 50), rel=1e-5)
    assert (thick.weights != make_targets(labels_of(ids), config).weights).any()
    turned = make_targets(labels_of(ids.T), config, spacing=(1.0, 4.0))
    np.testing.assert_allclose(thick.weights, turned.weights.T, rtol=1e-6)


def test_classes_are_learnt_as_they_are_annotated():
    ids = [[0, 1, 2], [2, IGNORE, 0]]
    targets = make_targets(labels_of(ids, kind="classes", classes=("a", "b", "c")), TargetConfig(w0=10))
    assert targets.classes.tolist() == ids
    assert (targets.weights > 0).tolist() == [[True, True, True], [True, False, True]]


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (1, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("value", [0, 1, IGNORE])
def test_targets_have_the_shape_of_the_image_also_where_there_is_next_to_nothing(shape, value):
    targets = make_targets(labels_of(np.full(shape, value)), TargetConfig(distance=True))
    assert targets.classes.shape == targets.weights.shape == targets.maps[0].shape == shape
    assert (targets.classes == value).all()
    assert (targets.weights == (value != IGNORE)).all()


def test_a_class_without_a_name_is_refused():
    with pytest.raises(LabelError, match="class 2 has no name"):
        make_targets(labels_of([[2]], kind="classes"), TargetConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"w0": -1.0}, "w0 = -1.0 is no weight"),
        ({"sigma": 0.0}, "sigma = 0.0 is no width"),
        ({"class_weights": (1.0, -2.0)}, r"class weights are 0 or more, not \(1.0, -2.0\)"),
    ],
)
def test_targets_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TargetConfig(**settings)


def test_class_weights_must_reach_every_class():
    with pytest.raises(UsageError, match="1 class weights for a map with class 1"):
        make_targets(labels_of([[0, 1]]), TargetConfig(class_weights=(1.0,)))


def test_classes_of_objects_change_the_classes_and_their_weights_and_nothing_else():
    config = TargetConfig(separate=True, w0=10, sigma=2, distance=True)
    one = make_targets(labels_of(CELLS), config)
    told = Labels(ids=CELLS, kind="objects", classes=("background", "red", "white"), object_classes={1: 2, 2: 1})
    several = make_targets(told, config)
    assert (several.classes == np.where((one.classes == 1) & (CELLS == 1), 2, one.classes)).all()
    assert (several.weights == one.weights).all()
    assert (several.maps[0] == one.maps[0]).all()
    weighted = make_targets(told, TargetConfig(separate=False, w0=0, class_weights=(1, 3, 5)))
    assert weighted.weights[0].tolist() == [5, 5, 3, 3, 1, 1]
