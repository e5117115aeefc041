import numpy as np
import pytest

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.targets.prepare import TargetConfig, make_targets
from segue.train.examples import PLACES_PER_CLASS, make_example, make_judged

PLAIN = TargetConfig(w0=0.0)


def labels_of(ids, kind="classes", classes=("background", "a", "b")):
    return Labels(
        ids=np.asarray(ids, np.int32), kind=kind, classes=classes if kind == "classes" else ("background", "cell")
    )


def image_for(labels, channels=1):
    return np.arange(channels * labels.ids.size, dtype=np.float32).reshape(channels, *labels.shape)


def test_what_lies_between_near_objects_is_shown_more_often():
    ids = np.zeros((40, 60), np.int32)
    ids[10:30, 5:25], ids[10:30, 27:47] = 1, 2  # two pixels apart
    config = TargetConfig(separate=False, w0=5.0, distance=True)
    pixels = np.zeros((1, 40, 60), np.float32)
    (places,) = make_example(pixels, Labels(ids=ids, kind="objects"), config, seed=0).places
    assert (abs(places[:, 1] - 25.5) < 6).all()
    assert (places[:, 0] > 5).all()
    assert {24, 25, 26, 27} <= set(places[:, 1].tolist())
    alone = np.where(ids == 1, 1, 0).astype(np.int32)
    (places,) = make_example(pixels, Labels(ids=alone, kind="objects"), config, seed=0).places
    assert len(places) == (alone == 1).sum()  # with one object there is no such place: all its pixels


def test_of_several_classes_each_keeps_its_own_places():
    ids = np.zeros((40, 60), np.int32)
    ids[10:30, 5:25], ids[10:30, 27:47] = 1, 2
    labels = Labels(ids=ids, kind="objects", classes=("background", "red", "white"), object_classes={1: 1, 2: 2})
    example = make_example(np.zeros((1, 40, 60), np.float32), labels, TargetConfig(separate=False, w0=5.0), seed=0)
    assert [len(places) for places in example.places[:2]] == [400, 400]
    assert len(example.places) == 3


def test_the_places_of_a_class_are_its_pixels():
    labels = labels_of([[0, 1, 0], [2, 2, IGNORE]])
    example = make_example(image_for(labels), labels, PLAIN, seed=0)
    ones, twos = example.places
    assert ones.tolist() == [[0, 1]]
    assert twos.tolist() == [[1, 0], [1, 1]]
    assert example.known is None


def test_of_many_pixels_some_are_remembered_and_the_seed_says_which():
    labels = labels_of(np.ones((100, 100)))
    pixels = image_for(labels)
    first, again, other = (make_example(pixels, labels, PLAIN, seed=seed).places[0] for seed in (1, 1, 2))
    assert first.shape == (PLACES_PER_CLASS, 2)
    assert len(np.unique(first, axis=0)) == PLACES_PER_CLASS
    assert (first == again).all()
    assert (first != other).any()


def test_the_known_pixels_of_a_sparse_annotation_are_remembered():
    ids = np.full((4, 5), IGNORE)
    ids[1, 2], ids[3, 4] = 0, 1
    labels = labels_of(ids)
    known = make_example(image_for(labels), labels, PLAIN, seed=0).known
    assert known is not None
    assert known.tolist() == [[1, 2], [3, 4]]


def test_where_nothing_is_annotated_nothing_is_known_and_nothing_fails():
    labels = labels_of(np.full((4, 5), IGNORE))
    example = make_example(image_for(labels), labels, PLAIN, seed=0)
    assert example.known is None
    assert example.places == ()
    assert (example.sources.nearest[0] == 0).all()


def test_an_empty_image_and_a_single_pixel_are_examples_too():
    for ids in (np.zeros((0, 3)), np.ones((1, 1)), np.ones((1, 1, 1))):
        labels = labels_of(ids)
        assert make_example(image_for(labels), labels, PLAIN, seed=0).sources.labels.shape == ids.shape


def test_a_part_is_cut_out_of_the_targets_of_the_whole():
    # The two objects are 3 px apart; the part holds one, but its weights know of the other.
    ids = np.zeros((12, 20))
    ids[3:9, 2:8], ids[3:9, 11:18] = 1, 2
    labels = labels_of(ids, kind="objects")
    config = TargetConfig(distance=True)
    part = (slice(2, 12), slice(0, 10))
    example = make_example(image_for(labels, channels=2), labels, config, seed=0, part=part)
    whole = make_targets(labels, config)
    assert (example.sources.nearest[0] == whole.weights[part]).all()
    assert (example.sources.nearest[0][5] > 1).any()
    assert (example.sources.linear[0] == whole.maps[0][part]).all()
    assert (example.sources.labels == whole.classes[part]).all()
    assert (example.sources.image == image_for(labels, channels=2)[:, 2:12, 0:10]).all()
    places = example.places[0]
    assert places.min() >= 0
    assert (places < (10, 10)).all()


def test_targets_are_measured_in_space():
    ids = np.zeros((9, 24))
    ids[1:7, 1:11], ids[3:9, 13:23] = 1, 2
    labels = labels_of(ids, kind="objects")
    config = TargetConfig(distance=True)
    thick, flat = (make_example(image_for(labels), labels, config, seed=0, spacing=s) for s in ((4.0, 1.0), None))
    expected = make_targets(labels, config, spacing=(4.0, 1.0))
    assert (thick.sources.nearest[0] == expected.weights).all()
    assert (thick.sources.linear[0] == expected.maps[0]).all()
    assert (thick.sources.linear[0] != flat.sources.linear[0]).any()
    assert (thick.spacing, flat.spacing) == ((4.0, 1.0), None)


def test_an_image_that_judges_keeps_its_truth_as_it_was_annotated():
    labels = labels_of(np.arange(12).reshape(3, 4), kind="objects")
    judged = make_judged("a", image_for(labels), labels, part=(slice(1, 3), slice(2, 4)))
    assert judged.name == "a"
    assert judged.labels.kind == "objects"
    assert judged.labels.ids.tolist() == [[6, 7], [10, 11]]
    assert judged.pixels.tolist() == [[[6, 7], [10, 11]]]
    assert make_judged("a", image_for(labels), labels).labels.ids.shape == (3, 4)


def test_a_class_without_a_name_is_refused():
    labels = labels_of([[0, 3]])
    with pytest.raises(LabelError, match="class 3 has no name"):
        make_example(image_for(labels), labels, PLAIN, seed=0)


@pytest.mark.parametrize("part", [(slice(0, 2), slice(0, 20)), (slice(3, 12), slice(5, 9))], ids=["strip", "box"])
def test_a_part_does_not_keep_its_whole_image_in_memory(part):
    labels = labels_of(np.arange(240).reshape(12, 20) % 3)
    pixels = image_for(labels)
    config = TargetConfig(distance=True)
    sources = make_example(pixels, labels, config, seed=0, part=part).sources
    judged = make_judged("a", pixels, labels, part=part)
    held = [sources.image, sources.labels, *sources.nearest, *sources.linear, judged.pixels, judged.labels.ids]
    assert len(held) == 6
    assert all(one.base is None and one.flags.c_contiguous for one in held)


def test_a_whole_image_is_not_copied():
    labels = labels_of(np.zeros((3, 4)))
    pixels = image_for(labels).copy()
    everything = (slice(0, 3), slice(0, 4))
    for part in (None, everything):
        assert np.shares_memory(make_example(pixels, labels, PLAIN, seed=0, part=part).sources.image, pixels)
        assert np.shares_memory(make_judged("a", pixels, labels, part=part).labels.ids, labels.ids)
