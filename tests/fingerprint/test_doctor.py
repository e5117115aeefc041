"""The doctor names what is wrong, and stays silent about what is right."""

from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels
from segue.fingerprint import rules
from segue.fingerprint.alignment import measure_alignment
from segue.fingerprint.doctor import Examined, judge_pair, judge_set
from segue.fingerprint.duplicates import similar_images
from segue.fingerprint.hounsfield import annotated_values
from segue.fingerprint.measures import measure_image, measure_labels
from segue.simulate import CellsConfig, simulate_cells, simulate_membranes, simulate_vessels


def examined(image, labels, *, index=0) -> Examined:
    return Examined(
        index=index,
        name=f"{index:02}",
        group=f"{index:02}",
        image_file=f"images/{index:02}.png",
        mask_file=f"masks/{index:02}.png",
        image=measure_image(image),
        labels=measure_labels(labels),
        alignment=measure_alignment(image, labels),
        annotated=annotated_values(image, labels),
    )


def examined_set(pairs) -> list[Examined]:
    return [examined(image, labels, index=index) for index, (image, labels) in enumerate(pairs)]


def rules_of(pairs) -> set[rules.Rule]:
    found = examined_set(pairs)
    classes = pairs[0][1].classes
    similar = similar_images([one.image for one in found])
    hits = [hit for one in found for hit in judge_pair(one)]
    return {hit.rule for hit in [*hits, *judge_set(found, classes=classes, similar=similar)]}


def sparse_cells(count=6) -> list[tuple[Image, Labels]]:
    config = CellsConfig(density=0.2, touching=0.3, diameter=20)
    return [simulate_cells((160, 160), seed=seed, config=config) for seed in range(count)]


def with_ids(pair, change) -> tuple[Image, Labels]:
    image, labels = pair
    return image, replace(labels, ids=np.ascontiguousarray(change(labels.ids).astype(np.int32)))


def with_pixels(pair, change, **more) -> tuple[Image, Labels]:
    image, labels = pair
    return replace(image, pixels=np.ascontiguousarray(change(image.pixels), np.float32), **more), labels


@pytest.mark.parametrize("simulate", [simulate_cells, simulate_membranes, simulate_vessels])
def test_nothing_is_wrong_with_good_data(simulate):
    assert rules_of([simulate((160, 160), seed=seed) for seed in range(6)]) == set()


def test_nothing_is_wrong_with_a_dense_layer_of_cells():
    config = CellsConfig(density=0.9)
    assert rules_of([simulate_cells((128, 128), seed=seed, config=config) for seed in range(4)]) == set()


def one_pixel(ids):
    ids = ids.copy()
    ids[:5, :5] = 0
    ids[2, 2] = ids.max() + 1
    return ids


def in_pieces(ids):
    ids = ids.copy()
    ids[:8] = 0
    ids[1:4, 1:4] = ids[1:4, 10:14] = ids.max() + 1
    return ids


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (rules.EMPTY, lambda ids: 0 * ids),
        (rules.ALL_IGNORED, lambda ids: 0 * ids + IGNORE),
        (rules.ONE_PIXEL, one_pixel),
        (rules.IN_PIECES, in_pieces),
        (rules.NOT_CONSECUTIVE, lambda ids: 3 * ids),
        (rules.ONE_INVERTED, lambda ids: ids == 0),
        (rules.ONE_SHIFTED, lambda ids: np.roll(ids, (5, -4), axis=(0, 1))),
    ],
    ids=lambda value: value.what if isinstance(value, rules.Rule) else "",
)
def test_one_bad_mask_among_good_ones_is_named(rule, change):
    pairs = sparse_cells()
    pairs[3] = with_ids(pairs[3], change)
    found = examined_set(pairs)
    hits = [hit for one in found for hit in judge_pair(one)]
    hits += judge_set(found, classes=("background", "cell"), similar=[])
    assert {hit.file for hit in hits if hit.rule == rule} == {"masks/03.png"}
    assert {hit.rule for hit in hits} - {rule, rules.IN_PIECES, rules.NOT_CONSECUTIVE} == set()


@pytest.mark.parametrize(
    ("rule", "change", "more"),
    [
        (rules.NOT_FINITE, lambda pixels: np.where(pixels == pixels.max(), np.nan, pixels), {}),
        (rules.CONSTANT, lambda pixels: 0 * pixels, {}),
        (rules.MIXED_CHANNELS, lambda pixels: np.concatenate([pixels, pixels]), {}),
        (rules.COLOUR_MIXED, lambda pixels: pixels * np.array([1, 0.5, 0])[:, None, None], {"is_rgb": True}),
        (rules.CONTRAST_DIFFERS, lambda pixels: pixels * 1000, {}),
    ],
    ids=lambda value: value.what if isinstance(value, rules.Rule) else "",
)
def test_one_bad_image_among_good_ones_is_named(rule, change, more):
    pairs = sparse_cells(4)
    pairs[1] = with_pixels(pairs[1], change, **more)
    assert rules_of(pairs) == {rule}


def test_a_gray_image_saved_as_rgb_may_stand_among_gray_ones():
    pairs = sparse_cells(4)
    pairs[1] = with_pixels(pairs[1], lambda pixels: np.repeat(pixels, 3, axis=0), is_rgb=True)
    assert rules_of(pairs) == set()


def test_volumes_among_images_are_an_error():
    pairs = [*sparse_cells(3), simulate_cells((8, 40, 40), seed=0, config=CellsConfig(diameter=12))]
    assert rules.MIXED_AXES in rules_of(pairs)
    assert rules.MIXED_AXES.severity == "error"


def test_a_set_without_any_annotation_is_an_error():
    pairs = [with_ids(pair, lambda ids: 0 * ids) for pair in sparse_cells(3)]
    assert rules_of(pairs) == {rules.EMPTY, rules.NOTHING_ANNOTATED}


def test_a_class_that_no_mask_shows_is_named():
    image, labels = simulate_membranes((160, 160), seed=0)
    named = replace(labels, classes=("membrane", "cell", "nucleus"))
    hits = list(judge_set([examined(image, named)], classes=named.classes, similar=[]))
    assert [(hit.rule, hit.detail) for hit in hits] == [(rules.RARE_CLASS, "class 2, nucleus")]


@pytest.mark.parametrize("shift", [(3, 0), (-4, 5), (0, -6)])
@pytest.mark.parametrize("simulate", [simulate_cells, simulate_membranes])
def test_masks_that_are_all_shifted_alike_are_one_finding_with_the_shift(simulate, shift):
    pairs = [
        with_ids(simulate((160, 160), seed=seed), lambda ids: np.roll(ids, shift, axis=(0, 1))) for seed in range(4)
    ]
    found = examined_set(pairs)
    (hit,) = list(judge_set(found, classes=pairs[0][1].classes, similar=[]))
    assert hit.rule == rules.SHIFTED
    assert ("down" in hit.detail) == (shift[0] > 0)
    assert ("left" in hit.detail) == (shift[1] < 0)


def test_masks_that_are_all_inverted_are_one_finding():
    pairs = [with_ids(pair, lambda ids: ids == 0) for pair in sparse_cells()]
    as_classes = [(image, replace(labels, kind="classes")) for image, labels in pairs]
    assert rules_of(as_classes) == {rules.INVERTED}


def test_twins_with_different_masks_are_told_from_twins_with_the_same():
    pairs = sparse_cells(4)
    assert rules_of([*pairs, pairs[0]]) == {rules.SAME_TWICE}
    other = with_ids(pairs[0], lambda ids: np.where(ids == 1, 0, ids))
    assert rules.SAME_BUT_ANNOTATED_DIFFERENTLY in rules_of([*pairs, other])
    near = with_pixels(with_ids(pairs[0], lambda ids: ids), lambda pixels: pixels * 0.9)
    assert rules_of([*pairs, near]) == {rules.NEARLY_SAME, rules.SAME_MASK}


def test_one_mask_under_two_images_is_named():
    pairs = sparse_cells(4)
    pairs[2] = (pairs[2][0], pairs[1][1])
    assert rules.SAME_MASK in rules_of(pairs)


def test_ids_that_are_colours_are_named_as_colours_and_may_have_gaps():
    ids = np.zeros((9, 9), np.int32)
    ids[0, :2] = ids[8, :2] = 0xFF8000
    pair = examined(Image(pixels=np.ones((1, 9, 9), np.float32)), Labels(ids=ids, kind="objects"))
    hits = {hit.rule: hit.detail for hit in judge_pair(pair, coding="colour")}
    assert hits[rules.IN_PIECES] == 'id "#ff8000"'
    assert rules.NOT_CONSECUTIVE not in hits
    assert rules.NOT_CONSECUTIVE in {hit.rule for hit in judge_pair(pair)}


def test_pixel_sizes_that_differ_are_a_note():
    pairs = sparse_cells(3)
    space = replace(pairs[0][0].space, pixel_size=(0.5, 0.5), unit="micrometer")
    pairs[0] = (replace(pairs[0][0], space=space), pairs[0][1])
    assert rules_of(pairs) == {rules.PIXEL_SIZE_DIFFERS}


def test_channels_that_are_not_those_named_are_an_error():
    def named(image, *names):
        found = examined_set([(image, Labels(ids=np.eye(8, dtype=np.int32), kind="classes"))])
        hits = judge_set(found, classes=("background", "cell"), similar=[], channel_names=names)
        return {hit.detail for hit in hits if hit.rule == rules.CHANNELS_NAMED}

    gray = Image(pixels=np.ones((1, 8, 8), np.float32))
    colour = Image(pixels=np.ones((3, 8, 8), np.float32), is_rgb=True)
    assert named(gray, "R", "G", "B") == {"1, but named are R, G, B"}
    assert named(gray, "CT") == named(colour, "R", "G", "B") == named(colour, "H&E") == set()
    assert named(colour, "nuclei", "actin") == {"3, but named are nuclei, actin"}
