"""Nothing leaks from one side of a split to the other, and the sides are as asked for."""

import numpy as np
import pytest

from segue.errors import UsageError
from segue.split import (
    MOST_VALIDATION,
    BlockSplit,
    Member,
    Split,
    gather_groups,
    split_blocks,
    split_pairs,
)


def stack(count, **more) -> list[Member]:
    return [Member(name=f"t{number}", shape=(64, 64), **more) for number in range(count)]


def whole(members, **more) -> Split:
    split = split_pairs(members, **more)
    assert isinstance(split, Split)
    return split


def test_every_image_is_on_exactly_one_side():
    for count in (6, 7, 24, 100, 613):
        split = whole(stack(count))
        assert sorted(split.train + split.validation) == list(range(count))


@pytest.mark.parametrize(("count", "expected"), [(6, 1), (20, 3), (24, 4), (100, 15), (1000, MOST_VALIDATION)])
def test_about_fifteen_per_cent_but_at_most_forty_are_for_validation(count, expected):
    assert len(whole(stack(count)).validation) == expected


def test_the_fraction_can_be_chosen():
    assert len(whole(stack(20), validation_fraction=0.5).validation) == 10


def test_a_stack_gives_sections_of_both_halves():
    validation = whole(stack(24)).validation
    assert sum(place < 12 for place in validation) == 2
    assert min(np.diff(validation)) >= 5


def test_numbers_in_names_count_as_numbers():
    names = [f"t{number}" for number in (10, 2, 1, 11, 3, 4, 5, 6, 7, 8, 9, 12)]
    members = [Member(name=name, shape=(8, 8)) for name in names]
    chosen = {names[place] for place in whole(members).validation}
    ordered = {f"t{place + 1}" for place in whole(stack(12)).validation}
    assert chosen == ordered


def test_groups_are_never_torn_apart():
    generator = np.random.default_rng(0)
    for _ in range(20):
        members = [Member(name=f"{n}", shape=(8, 8), group=f"g{generator.integers(12)}") for n in range(40)]
        split = whole(members)
        sides = [{members[place].group for place in side} for side in (split.train, split.validation)]
        assert sides[0].isdisjoint(sides[1])
        assert split.train
        assert split.validation


def test_near_duplicates_are_never_torn_apart_even_over_groups():
    members = [
        Member(name="a", shape=(8, 8), group="one", twins=7),
        Member(name="b", shape=(8, 8), group="two", twins=7),
        Member(name="c", shape=(8, 8), group="two"),
        Member(name="d", shape=(8, 8), group="three"),
    ]
    assert gather_groups(members) == [(0, 1, 2), (3,)]


def test_every_kind_is_represented_on_both_sides():
    members = stack(60, kind="gray") + stack(3, kind="colour") + stack(2, kind="bright")
    split = whole(members)
    for side in (split.train, split.validation):
        assert {members[place].kind for place in side} == {"gray", "colour", "bright"}


def test_an_image_that_is_alone_of_its_kind_is_for_training():
    members = [*stack(10, kind="gray"), Member(name="x", shape=(8, 8), kind="colour")]
    assert 10 in whole(members).train


def test_images_that_are_all_of_different_kinds_are_split_all_the_same():
    members = [Member(name=str(n), shape=(8, 8), kind=str(n)) for n in range(8)]
    split = whole(members)
    assert len(split.validation) == 1


def test_huge_groups_leave_some_for_training():
    members = [Member(name=str(n), shape=(8, 8), group=str(n % 6)) for n in range(60)]
    split = whole(members)
    assert len(split.validation) == 10


def test_the_split_is_the_same_every_time():
    assert whole(stack(50)) == whole(stack(50))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_are_split_inside(count):
    split = split_pairs([Member(name=str(n), shape=(200, 300)) for n in range(count)])
    assert isinstance(split, BlockSplit)
    assert len(split.train) == len(split.validation) == count


def test_strips_lie_right_bottom_left_and_top():
    split = split_blocks([(200, 300)] * 5, buffer=10)
    boxes = [part.box for part in split.validation]
    assert boxes == [
        ((0, 200), (240, 300)),
        ((160, 200), (0, 300)),
        ((0, 200), (0, 60)),
        ((0, 40), (0, 300)),
        ((0, 200), (240, 300)),
    ]
    assert [part.box for part in split.train][:4] == [
        ((0, 200), (0, 230)),
        ((0, 150), (0, 300)),
        ((0, 200), (70, 300)),
        ((50, 200), (0, 300)),
    ]


@pytest.mark.parametrize("shape", [(200, 300), (97, 251), (20, 120, 130)])
@pytest.mark.parametrize("buffer", [0, 16])
def test_both_parts_of_an_image_are_apart_by_the_buffer(shape, buffer):
    split = split_blocks([shape] * 4, buffer=buffer)
    for train, validation in zip(split.train, split.validation, strict=True):
        owner = np.zeros(shape, int)
        owner[train.slices] += 1
        owner[validation.slices] += 2
        assert owner.max() == 2
        assert owner.size - (owner > 0).sum() == buffer * owner.size // owner.shape[_cut_axis(train, shape)]


def _cut_axis(part, shape) -> int:
    return next(axis for axis, span in enumerate(part.box) if span != (0, shape[axis]))


def test_a_single_small_image_cannot_be_validated():
    split = split_pairs([Member(name="a", shape=(60, 60))])
    assert isinstance(split, BlockSplit)
    assert split.validation == ()
    assert [part.box for part in split.train] == [((0, 60), (0, 60))]


def test_small_images_among_large_ones_are_for_training():
    split = split_blocks([(60, 60), (300, 300), (1, 1)])
    assert [part.image for part in split.validation] == [1]
    assert [part.image for part in split.train] == [0, 1, 2]


def test_no_image_at_all_is_refused():
    with pytest.raises(UsageError, match="0 images cannot be split"):
        split_pairs([])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        split_pairs(stack(10), validation_fraction=fraction)
