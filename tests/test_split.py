"""Nothing leaks from one side of a split to the other, and the sides are as asked for."""

from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels
from segue.errors import UsageError
from segue.fingerprint import Examination, examine
from segue.fingerprint.doctor import Examined
from segue.fingerprint.measures import measure_image, measure_labels
from segue.io.datasets import find_pairs
from segue.io.images import write_image, write_labels
from segue.simulate import CellsConfig, simulate_cells
from segue.split import (
    MOST_VALIDATION,
    BlockSplit,
    Member,
    Split,
    gather_groups,
    members_of,
    split_blocks,
    split_pairs,
)


def stack(count, **more) -> list[Member]:
    return [Member(name=f"t{number}", shape=(64, 64), **more) for number in range(count)]


def of_shapes(shapes) -> list[Member]:
    return [Member(name=str(number), shape=shape) for number, shape in enumerate(shapes)]


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


def grouped(*sizes, **more) -> list[Member]:
    """Groups of so many images."""
    return [
        Member(name=f"{group}-{n}", shape=(200, 300), group=f"g{group}", **more)
        for group, size in enumerate(sizes)
        for n in range(size)
    ]


@pytest.mark.parametrize("sizes", [(95, *[1] * 5), (*[1] * 5, 95), (30, *[4] * 7), (40, *[5] * 12), (*[5] * 12, 40)])
def test_a_group_much_larger_than_wanted_is_learnt_from(sizes):
    members = grouped(*sizes)
    split = whole(members)
    wanted = round(0.15 * len(members))
    assert max(sizes) <= len(split.train)
    assert 1 <= len(split.validation) <= wanted + wanted // 4
    assert len({members[place].group for place in split.train}) >= len(sizes) / 2


def test_if_every_group_is_much_larger_than_wanted_the_smallest_is_held_out():
    members = grouped(10, 10, 10, 7, 10, 10, 10)
    split = whole(members, validation_fraction=0.05)
    assert {members[place].group for place in split.validation} == {"g3"}


def test_where_only_more_than_a_third_could_be_held_out_the_split_runs_through_the_images():
    # Each small group alone shows a class, so that only the large one could be spared.
    members = [*grouped(40), *(Member(name=str(n), shape=(8, 8), classes=frozenset({0, n})) for n in range(1, 6))]
    members = [replace(one, classes=one.classes | {0}) for one in members]
    assert isinstance(split_pairs(members), BlockSplit)


@pytest.mark.parametrize("alone", range(7))
def test_an_image_that_alone_shows_a_class_is_for_training(alone):
    members = [replace(one, classes=frozenset({0, 1})) for one in stack(7)]
    members[alone] = replace(members[alone], classes=frozenset({0, 2}))
    split = whole(members)
    assert alone in split.train
    assert len(split.validation) == 1


def test_every_class_and_every_kind_is_learnt_wherever_it_is_shown():
    generator = np.random.default_rng(0)
    for _ in range(50):
        members = [
            Member(
                name=str(n),
                shape=(8, 8),
                group=f"g{generator.integers(14)}",
                kind="ab"[generator.integers(2)],
                classes=frozenset({0, *generator.integers(1, 9, 2).tolist()}),
            )
            for n in range(24)
        ]
        split = split_pairs(members, validation_fraction=0.4)
        if isinstance(split, Split):
            learnt = frozenset().union(*(members[place].classes for place in split.train))
            assert learnt == frozenset().union(*(one.classes for one in members))
            assert {members[place].kind for place in split.train} == {one.kind for one in members}


def test_the_classes_of_a_member_are_those_with_pixels():
    image = measure_image(Image(pixels=np.ones((1, 2, 3), np.float32)))

    def member(**more) -> Member:
        labels = measure_labels(Labels(ids=np.array([[0, 0, 2], [2, 2, IGNORE]], np.int32), **more))
        one = Examined(
            index=0, name="a", group="", image_file="a", mask_file="a", image=image, labels=labels, alignment=None,
            annotated=np.zeros((1, 0), np.float32),
        )  # fmt: skip
        return members_of(Examination(fingerprint=None, findings=(), spec=None, images=(one,), similar=()))[0]

    names = ("background", "a", "b", "c")
    assert member(kind="classes", classes=names).classes == {0, 2}
    assert member(kind="objects", classes=names, object_classes={2: 3}).classes == {0, 3}
    assert member(kind="objects").classes == frozenset()


def test_the_split_is_the_same_every_time():
    assert whole(stack(50)) == whole(stack(50))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_are_split_inside(count):
    split = split_pairs([Member(name=str(n), shape=(200, 300)) for n in range(count)])
    assert isinstance(split, BlockSplit)
    assert len(split.train) == len(split.validation) == count


def test_strips_lie_right_bottom_left_and_top():
    split = split_blocks(of_shapes([(200, 300)] * 5), buffer=10)
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
    split = split_blocks(of_shapes([shape] * 4), buffer=buffer)
    for train, validation in zip(split.train, split.validation, strict=True):
        owner = np.zeros(shape, int)
        owner[train.slices] += 1
        owner[validation.slices] += 2
        assert owner.max() == 2
        assert owner.size - (owner > 0).sum() == buffer * owner.size // owner.shape[_cut_axis(train, shape)]


def _cut_axis(part, shape) -> int:
    return next(axis for axis, span in enumerate(part.box) if span != (0, shape[axis]))


def test_what_is_held_out_of_a_sequence_is_learnt_from_in_none_of_its_images():
    members = [*grouped(5, 5), *of_shapes([(200, 300)] * 2)]
    members[10:] = [replace(one, twins=0) for one in members[10:]]
    split = split_blocks(members)
    boxes = [part.box for part in split.validation]
    assert [part.image for part in split.validation] == list(range(12))
    assert [len(set(boxes[start:stop])) for start, stop in ((0, 5), (5, 10), (10, 12))] == [1, 1, 1]
    assert len(set(boxes)) == 3


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((2000, 90), ((1600, 2000), (0, 90))),
        ((90, 2000), ((0, 90), (1600, 2000))),
        ((200, 60, 60), ((160, 200), (0, 60), (0, 60))),
    ],
)
def test_an_image_too_short_along_one_axis_gives_a_strip_along_another(shape, kept):
    split = split_blocks(of_shapes([shape] * 4))
    assert [part.image for part in split.validation] == [0, 1, 2, 3]
    assert split.validation[0].box == kept


def test_of_few_images_one_that_alone_shows_a_class_is_learnt_as_a_whole():
    members = [replace(one, classes=frozenset({0, 1})) for one in grouped(1, 2, 1)]
    members[1] = replace(members[1], classes=frozenset({0, 2}))
    split = split_blocks(members)
    # Image 2 belongs to image 1: a strip of it could show what is learnt there.
    assert [part.image for part in split.validation] == [0, 3]
    assert [part.box for part in split.train][1:3] == [((0, 200), (0, 300))] * 2


def test_the_only_group_is_cut_even_if_it_alone_shows_every_class():
    for size in (1, 5):
        members = [replace(one, classes=frozenset({0, 1})) for one in grouped(size)]
        assert len(split_blocks(members).validation) == size


def test_background_alone_judges_nothing():
    first, second, third = grouped(1, 1, 1)
    members = [
        replace(first, classes=frozenset({0, 1})),
        *(replace(one, classes=frozenset({0})) for one in (second, third)),
    ]
    split = split_blocks(members)
    assert split.validation == ()
    assert [part.box for part in split.train] == [((0, 200), (0, 300))] * 3


def test_a_single_small_image_cannot_be_validated():
    split = split_pairs([Member(name="a", shape=(60, 60))])
    assert isinstance(split, BlockSplit)
    assert split.validation == ()
    assert [part.box for part in split.train] == [((0, 60), (0, 60))]


def test_small_images_among_large_ones_are_for_training():
    split = split_blocks(of_shapes([(60, 60), (300, 300), (1, 1)]))
    assert [part.image for part in split.validation] == [1]
    assert [part.image for part in split.train] == [0, 1, 2]


def test_no_image_at_all_is_refused():
    with pytest.raises(UsageError, match="0 images cannot be split"):
        split_pairs([])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        split_pairs(stack(10), validation_fraction=fraction)


def test_images_that_are_there_twice_are_known_to_the_split_as_twins(tmp_path):
    for number in range(8):
        image, labels = simulate_cells((64, 64), seed=number // 2, config=CellsConfig(diameter=14))
        write_image(tmp_path / "images" / f"{number}.tif", image)
        write_labels(tmp_path / "masks" / f"{number}.tif", labels.ids, space=labels.space, kind="objects")
    (tmp_path / "dataset.toml").write_text('labels = "objects"\n')
    members = members_of(examine(find_pairs(tmp_path)))
    assert [member.twins for member in members] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(member.kind for member in members)
