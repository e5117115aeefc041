import numpy as np
import pytest

from segue.arrays import IGNORE, Labels, Space


def objects(ids, table=None):
    classes = ("background", "cell") if table is None else ("background", "red", "white")
    return Labels(ids=np.asarray(ids, np.int32), kind="objects", classes=classes, object_classes=table)


def test_without_classes_every_object_is_of_the_only_one():
    labels = objects([[0, 7, 7], [IGNORE, 0, 900]])
    assert labels.classes_of(labels.ids).tolist() == [[0, 1, 1], [IGNORE, 0, 1]]
    assert labels.classes_of(np.array([3, 0], np.uint32)).tolist() == [1, 0]


def test_each_object_has_the_class_that_it_was_given_and_others_are_unknown():
    labels = objects([[0, 7, 7], [IGNORE, 5, 900]], {7: 2, 900: 1, 12: 2, 5: IGNORE})
    found = labels.classes_of(labels.ids)
    assert found.tolist() == [[0, 2, 2], [IGNORE, IGNORE, 1]]
    assert found.dtype == np.int32
    assert labels.classes_of(np.array([1, 2**31 - 1, 12, 0])).tolist() == [IGNORE, IGNORE, 2, 0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 2), (1, 1)])
def test_nothing_is_background(shape):
    for table in (None, {}, {3: 1}):
        labels = objects(np.zeros(shape), table)
        assert (labels.classes_of(labels.ids) == np.zeros(shape, np.int32)).all()


def test_a_size_told_in_micrometres_is_kept_in_the_unit_of_the_image():
    scan = Space(pixel_size=(1.0, 1.0, 1.0), unit="millimeter", orientation="LPS")
    told = scan.with_micrometres((5000.0, 700.0, 700.0))
    assert told == Space(pixel_size=(5.0, 0.7, 0.7), unit="millimeter", orientation="LPS")
    assert told.micrometres == pytest.approx((5000.0, 700.0, 700.0))
    assert Space().with_micrometres((0.5, 0.25)) == Space(pixel_size=(0.5, 0.25), unit="micrometer")
