import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.targets.classes import cell_ids, class_map, separate_objects


def objects(rows) -> Labels:
    return Labels(ids=np.array(rows, np.int32), kind="objects", classes=("background", "cell"))


def classes(rows, names=("background", "membrane", "organelle")) -> Labels:
    return Labels(ids=np.array(rows, np.int32), kind="classes", classes=names)


def random_ids(shape, *, seed, count) -> NDArray[np.int32]:
    """Blocks of random ids: many touch, some are single pixels."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        corner = [rng.integers(0, length) for length in shape]
        size = rng.integers(1, 6, len(shape))
        ids[tuple(slice(start, start + side) for start, side in zip(corner, size, strict=True))] = number
    return ids


def neighbours(shape, place) -> Iterator[tuple[int, ...]]:
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        other = tuple(int(index) for index in np.add(place, step))
        if any(step) and all(0 <= index < length for index, length in zip(other, shape, strict=True)):
            yield other


def slowly_separated(ids) -> NDArray[np.int32]:
    """The definition, pixel by pixel."""
    touching = {
        place
        for place in np.ndindex(ids.shape)
        if ids[place] > 0 and any(ids[other] > 0 and ids[other] != ids[place] for other in neighbours(ids.shape, place))
    }
    result: NDArray[np.int32] = ids.copy()
    for number in set(ids[ids > 0].tolist()):
        pixels = set(zip(*np.nonzero(ids == number), strict=True))
        if pixels - touching:
            for place in pixels & touching:
                result[place] = 0
    return result


def test_two_touching_squares_lose_the_pixels_on_both_sides_of_their_border():
    ids = np.array([[1, 1, 1, 2, 2, 2]] * 3 + [[0] * 6], np.int32)
    assert separate_objects(ids).tolist() == [[1, 1, 0, 0, 2, 2]] * 3 + [[0] * 6]


def test_objects_that_touch_at_a_corner_only_lose_the_corners():
    ids = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]], np.int32)
    assert separate_objects(ids).tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2]]


def test_a_small_object_that_would_vanish_stays_whole():
    ids = np.array([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], np.int32)
    assert separate_objects(ids).tolist() == [[0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize("shape", [(20, 24), (7, 9, 8), (1, 12, 12), (30, 1)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separation_equals_its_definition_pixel_by_pixel(shape, seed):
    ids = random_ids(shape, seed=seed, count=15)
    ids[tuple(length // 2 for length in shape)] = IGNORE
    np.testing.assert_array_equal(separate_objects(ids), slowly_separated(ids))


@pytest.mark.parametrize("seed", range(4))
def test_no_object_vanishes(seed):
    ids = random_ids((40, 40), seed=seed, count=60)
    assert set(np.unique(separate_objects(ids))) == set(np.unique(ids)) | {0}


def test_separation_does_not_depend_on_the_order_of_the_ids():
    ids = random_ids((40, 40), seed=5, count=60)
    order = np.random.default_rng(0).permutation(61)
    order[np.flatnonzero(order == 0)[0]], order[0] = order[0], 0
    np.testing.assert_array_equal(separate_objects(order[ids].astype(np.int32)), order[separate_objects(ids)])


def test_separation_leaves_its_input_and_a_lone_object_at_the_border_as_they_are():
    ids = np.zeros((5, 5), np.int32)
    ids[:2, :3] = 4
    before = ids.copy()
    np.testing.assert_array_equal(separate_objects(ids), before)
    np.testing.assert_array_equal(ids, before)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 2), (1, 1)])
def test_an_image_without_objects_is_all_background(shape):
    labels = Labels(ids=np.zeros(shape, np.int32), kind="objects")
    assert class_map(labels).shape == shape
    assert not class_map(labels).any()
    assert not cell_ids(labels).any()


def test_objects_become_class_1_and_ignored_pixels_stay_ignored():
    labels = objects([[7, 7, 7, 9, 9, 9, 0, -1]])
    assert class_map(labels).tolist() == [[1, 1, 0, 0, 1, 1, 0, IGNORE]]
    assert class_map(labels, separate=False).tolist() == [[1, 1, 1, 1, 1, 1, 0, IGNORE]]
    assert class_map(labels).dtype == np.int16


def test_class_labels_are_taken_as_they_are():
    rows = [[0, 1, 2, -1], [2, 2, 1, 0]]
    assert class_map(classes(rows)).tolist() == rows


def test_a_class_without_a_name_is_refused():
    with pytest.raises(LabelError, match="class 3 has no name, the 3 classes are background, membrane, organelle"):
        class_map(classes([[0, 3]]))


def test_an_id_below_ignore_is_refused():
    with pytest.raises(LabelError, match="id -2 means nothing"):
        class_map(objects([[0, -2]]))


def test_cells_of_objects_are_the_separated_objects():
    assert cell_ids(objects([[7, 7, 7, 9, 9, 9, 0, -1]])).tolist() == [[7, 7, 0, 0, 9, 9, 0, 0]]


def test_cells_of_classes_are_the_pieces_of_every_class_but_the_background():
    cells = cell_ids(classes([[1, 1, 0, 1], [0, 2, 2, -1], [1, 0, 0, 0]]))
    assert len(np.unique(cells[cells > 0])) == 4
    assert cells[0, 0] == cells[0, 1]
    assert cells[1, 1] == cells[1, 2]
    assert cells[1, 3] == 0
    assert cells[0, 1] != cells[1, 1]


def test_a_diagonal_membrane_one_pixel_thick_parts_two_cells():
    inside_is_0 = 1 - np.eye(5, dtype=np.int32)[::-1]  # 1 inside, 0 on the diagonal
    cells = cell_ids(Labels(ids=1 - inside_is_0, kind="classes", classes=("cell", "membrane")), background=1)
    assert cells.max() == 2
    assert cells[0, 0] != cells[4, 4]


def several(rows, table) -> Labels:
    return Labels(
        ids=np.array(rows, np.int32), kind="objects", classes=("background", "red", "white"), object_classes=table
    )


def test_objects_of_several_classes_become_their_classes_and_unknown_ones_are_ignored():
    labels = several([[9, 9, 0, 2, IGNORE], [9, 0, 5, 2, 2]], {9: 2, 2: 1, 5: IGNORE})
    assert class_map(labels, separate=False).tolist() == [[2, 2, 0, 1, IGNORE], [2, 0, IGNORE, 1, 1]]


def test_touching_objects_are_parted_whatever_their_classes():
    rows = [[1, 1, 1, 2, 2, 2, 2, 3, 3, 3]]
    parted = class_map(several(rows, {1: 1, 2: 2, 3: 2}))
    assert parted.tolist() == [[1, 1, 0, 0, 2, 2, 0, 0, 2, 2]]
    assert class_map(several(rows, {1: 1, 2: 2, 3: 2}), separate=False).tolist() == [[1, 1, 1, 2, 2, 2, 2, 2, 2, 2]]


def test_where_all_objects_are_of_class_1_the_map_is_that_of_one_class():
    ids = random_ids((20, 22), seed=4, count=12)
    table = dict.fromkeys(range(1, 13), 1)
    for separate in (True, False):
        one = class_map(objects(ids), separate=separate)
        assert (class_map(several(ids, table), separate=separate) == one).all()


def test_a_class_of_objects_without_a_name_is_refused():
    with pytest.raises(LabelError, match="class 3 has no name, the 3 classes are background, red, white"):
        class_map(several([[1]], {1: 3}))
