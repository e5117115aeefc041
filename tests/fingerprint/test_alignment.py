"""A mask that lies on its image is told from one that is shifted or inverted."""

from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels
from segue.fingerprint.alignment import REACH, measure_alignment
from segue.simulate import CellsConfig, simulate_cells, simulate_membranes


def peak(image, labels) -> tuple[int, int]:
    alignment = measure_alignment(image, labels)
    assert alignment is not None
    y, x = np.unravel_index(alignment.curve.argmax(), alignment.curve.shape)
    return int(y) - REACH, int(x) - REACH


def shifted(labels, shift) -> Labels:
    moved: Labels = replace(labels, ids=np.roll(labels.ids, shift, axis=(-2, -1)))
    return moved


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, -4), (-5, 6)])
@pytest.mark.parametrize("simulate", [simulate_cells, simulate_membranes])
def test_the_edges_of_a_shifted_mask_are_found_where_it_came_from(simulate, shift):
    image, labels = simulate((160, 160), seed=0)
    y, x = peak(image, shifted(labels, shift))
    assert abs(y + shift[0]) <= 1
    assert abs(x + shift[1]) <= 1


def test_a_volume_is_looked_at_in_a_slice_with_objects():
    image, labels = simulate_cells((10, 96, 96), seed=1, config=CellsConfig(diameter=20))
    assert peak(image, shifted(labels, (4, 0))) in {(-4, 0), (-4, 1), (-4, -1), (-3, 0), (-5, 0)}


def test_cells_do_not_look_inverted_and_inverted_ones_do():
    image, labels = simulate_cells((160, 160), seed=2, config=CellsConfig(density=0.15, touching=0))
    turned = Labels(ids=(labels.ids == 0).astype(np.int32), kind="classes")
    right, wrong = measure_alignment(image, labels), measure_alignment(image, turned)
    assert right is not None
    assert wrong is not None
    assert not right.looks_inverted
    assert wrong.looks_inverted
    assert right.contrast == pytest.approx(-wrong.contrast)
    assert right.coverage == pytest.approx(1 - wrong.coverage)


@pytest.mark.parametrize("density", [0.6, 0.9])
def test_a_dense_layer_of_cells_does_not_look_inverted(density):
    image, labels = simulate_cells((200, 200), seed=3, config=CellsConfig(density=density))
    alignment = measure_alignment(image, labels)
    assert alignment is not None
    assert not alignment.looks_inverted


def test_membranes_do_not_look_inverted_in_either_polarity():
    image, labels = simulate_membranes((200, 200), seed=0)
    for ids in (labels.ids, 1 - labels.ids):
        alignment = measure_alignment(image, replace(labels, ids=ids))
        assert alignment is not None
        assert not alignment.looks_inverted


def test_edges_of_what_is_not_annotated_do_not_count():
    image, labels = simulate_cells((160, 160), seed=4)
    ids = np.full_like(labels.ids, IGNORE)
    ids[40:120, 40:120] = 0
    assert measure_alignment(image, replace(labels, ids=ids)) is None


@pytest.mark.parametrize(
    ("pixels", "ids"),
    [
        (np.zeros((1, 64, 64)), np.indices((64, 64))[0] // 8 % 2),
        (np.full((1, 64, 64), np.nan), np.indices((64, 64))[0] // 8 % 2),
        (np.indices((64, 64))[:1], np.zeros((64, 64))),
        (np.indices((1, 1))[:1], np.ones((1, 1))),
        (np.indices((5, 300))[:1], np.ones((5, 300))),
    ],
    ids=["constant image", "NaN image", "empty mask", "single pixel", "too thin"],
)
def test_where_nothing_can_be_said_nothing_is_said(pixels, ids):
    image = Image(pixels=pixels.astype(np.float32))
    assert measure_alignment(image, Labels(ids=ids.astype(np.int32), kind="classes")) is None
