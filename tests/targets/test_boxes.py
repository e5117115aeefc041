import numpy as np

from segue.targets.boxes import object_boxes


def test_boxes_are_the_smallest_around_each_id_and_gaps_and_negative_ids_are_skipped():
    ids = np.array([[5, 0, -1, 2], [5, 5, -1, 2]], np.int32)
    boxes = list(object_boxes(ids))
    assert [box.number for box in boxes] == [2, 5]
    assert boxes[0].region == (slice(0, 2), slice(3, 4))
    assert boxes[1].region == (slice(0, 2), slice(0, 2))
    assert boxes[1].shape == (2, 2)


def test_very_large_ids_give_the_same_boxes_as_small_ones():
    ids = np.array([[-1, 0, 3, 3], [7, 7, 0, 3]], np.int32)
    large = np.where(ids == 3, 2_000_000_000, np.where(ids == 7, 2_100_000_000, ids)).astype(np.int32)
    assert [box.region for box in object_boxes(large)] == [box.region for box in object_boxes(ids)]
    assert [box.number for box in object_boxes(large)] == [2_000_000_000, 2_100_000_000]


def test_an_image_without_objects_or_pixels_has_no_boxes():
    assert list(object_boxes(np.zeros((3, 3), np.int32))) == []
    assert list(object_boxes(np.full((3, 3), -1, np.int32))) == []
    assert list(object_boxes(np.zeros((0, 3), np.int32))) == []
