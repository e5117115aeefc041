from hypothesis import given
from hypothesis import strategies as st

from segue.grouping import connected_groups

pairs = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)))


def test_pairs_that_meet_are_one_group_and_who_is_in_none_is_alone():
    assert connected_groups(6, [(4, 1), (3, 5), (1, 5)]) == [(0,), (1, 3, 4, 5), (2,)]


def test_nobody_makes_no_group():
    assert connected_groups(0, []) == []


@given(pairs)
def test_groups_are_those_that_paint_handed_on_along_pairs_makes(pairs):
    colour = list(range(12))
    for _ in colour:
        for one, other in pairs:
            colour[one] = colour[other] = min(colour[one], colour[other])
    expected = [tuple(place for place in range(12) if colour[place] == shade) for shade in sorted(set(colour))]
    assert connected_groups(12, pairs) == expected
