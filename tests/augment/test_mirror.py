import numpy as np
import pytest

from segue.augment.mirror import mirrored, read_mirrored


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_indices_beyond_the_ends_are_those_of_numpys_reflect_padding(length):
    wanted = np.pad(np.arange(length), 20, mode="reflect")
    np.testing.assert_array_equal(mirrored(np.arange(-20, length + 20), length), wanted)


@pytest.mark.parametrize("ranges", [((0, 5), (0, 6)), ((1, 4), (2, 3)), ((-3, 9), (2, 20)), ((-30, -20), (40, 41))])
def test_a_mirrored_region_is_the_region_of_the_padded_array(ranges):
    array = np.random.default_rng(0).normal(size=(2, 5, 6))
    padded = np.pad(array, ((0, 0), (50, 50), (50, 50)), mode="reflect")
    (top, bottom), (left, right) = ranges
    np.testing.assert_array_equal(
        read_mirrored(array, ranges), padded[:, top + 50 : bottom + 50, left + 50 : right + 50]
    )


def test_a_region_inside_is_a_view():
    array = np.zeros((5, 6))
    assert np.shares_memory(read_mirrored(array, ((1, 3), (0, 6))), array)
