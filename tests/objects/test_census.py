import numpy as np
import pytest

from segue.objects import blocks
from segue.objects.census import take_census


@pytest.fixture(params=[{2: 1024, 3: 128}, {2: 5, 3: 3}], ids=["one block", "many blocks"])
def sides(request, monkeypatch):
    monkeypatch.setattr(blocks, "SIDES", request.param)


@pytest.mark.parametrize("shape", [(23, 17), (7, 8, 9), (1, 40)])
def test_the_census_is_what_one_finds_object_by_object_however_it_is_cut(shape, sides):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 6, [-(-length // 4) for length in shape]) * 7
    ids = np.kron(coarse, np.ones([4] * len(shape), int))[tuple(slice(0, length) for length in shape)]
    maps = {"image": rng.random((2, *shape)).astype(np.float32), "none": np.zeros((0, *shape), np.float32)}
    found = take_census(ids, maps)
    assert found.ids.tolist() == [number for number in np.unique(ids) if number]
    assert found.sums["none"].shape == (len(found.ids), 0)
    for row, number in enumerate(found.ids):
        places = np.argwhere(ids == number)
        assert found.sizes[row] == len(places)
        assert found.centroids[row] == pytest.approx(places.mean(axis=0))
        assert found.covariances[row] == pytest.approx(np.cov(places.T, bias=True))
        assert found.boxes[row].tolist() == [places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()]
        assert found.sums["image"][row] == pytest.approx(maps["image"][:, ids == number].sum(axis=1))
        assert found.means("image")[row] == pytest.approx(maps["image"][:, ids == number].mean(axis=1))
        at_border = (places == 0) | (places == np.array(shape) - 1)
        assert found.touches_border()[row] == at_border.any()


@pytest.mark.parametrize("shape", [(23, 17), (7, 8, 9)])
def test_bodies_put_together_are_the_objects(shape, sides):
    ids = np.random.default_rng(1).integers(0, 4, shape)
    again = np.zeros_like(ids)
    for number, box, body in take_census(ids).bodies(ids):
        again[box][body] = number
    assert (again == ids).all()


def test_ids_are_whole_numbers_of_any_size():
    assert take_census(np.array([[0, 2**63 + 5]], np.uint64)).ids.tolist() == [2**63 + 5]
    assert [str(number) for number in take_census(np.array([[False, True]])).ids.tolist()] == ["1"]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 4), (0, 3, 3)])
def test_nobody_is_counted_where_there_is_nothing(shape, sides):
    found = take_census(np.zeros(shape, np.uint32), {"image": np.zeros((1, *shape), np.float32)})
    assert (len(found.ids), found.sums["image"].shape, found.boxes.shape) == (0, (0, 1), (0, 2, len(shape)))
