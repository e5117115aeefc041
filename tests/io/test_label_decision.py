import io

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy import ndimage

from segue.arrays import IGNORE
from segue.errors import LabelError
from segue.io.label_decision import decide
from segue.io.label_evidence import summarise
from segue.io.labels import RawMask, apply_spec

SIZE = 96


def discs(rng, count, *, radius=(4, 9)):
    """(SIZE, SIZE) of `count` discs that do not touch, numbered from 1."""
    ids = np.zeros((SIZE, SIZE), np.int64)
    grid = np.indices(ids.shape)
    number = 0
    while number < count:
        centre, r = rng.integers(0, SIZE, 2), rng.integers(*radius)
        distance = np.hypot(*(grid - centre[:, None, None]))
        if not ids[distance < r + 1.5].any():
            number += 1
            ids[distance < r] = number
    return ids


def blobs(rng, classes):
    """(SIZE, SIZE) of smooth regions of 0 to classes - 1, each class in several pieces."""
    field = np.stack([ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 4) for _ in range(classes)])
    return field.argmax(axis=0).astype(np.int64)


def raws(arrays, **fields):
    return [RawMask(values=values, name=f"m{number}.png", **fields) for number, values in enumerate(arrays)]


def decided(arrays, **facts):
    return decide([summarise(one) for one in raws(arrays)], **facts)


@pytest.mark.parametrize("codes", [(0, 1), (0, 255), (0, 1000), (1, 2), (-1, 1)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_two_values_are_the_two_classes(codes, count):
    rng = np.random.default_rng(0)
    decision = decided([np.where(discs(rng, 6) > 0, codes[1], codes[0]) for _ in range(count)])
    assert decision.spec.kind == "classes"
    assert decision.spec.values == {codes[0]: 0, codes[1]: 1}
    assert decision.confidence == "sure"


@pytest.mark.parametrize("factor", [1, 10, 50])
@pytest.mark.parametrize("classes", [3, 4, 5, 6])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_classes_in_several_pieces_are_classes_in_any_gray_coding(factor, classes, count):
    rng = np.random.default_rng(classes)
    decision = decided([blobs(rng, classes) * factor for _ in range(count)])
    assert decision.spec.kind == "classes"
    assert decision.spec.values == {number * factor: number for number in range(classes)}
    assert len(decision.spec.classes) == classes


@pytest.mark.parametrize("codes", [(0, 64, 128, 255), (0, 50, 100, 150), (0, 128, 255), (0, 85, 170, 255)])
def test_spread_out_gray_codes_are_classes_even_if_each_is_in_one_piece(codes):
    rng = np.random.default_rng(0)
    masks = [np.array(codes)[discs(rng, len(codes) - 1)] for _ in range(4)]
    decision = decided(masks)
    assert decision.spec.kind == "classes"
    assert decision.spec.values == {code: number for number, code in enumerate(codes)}


@pytest.mark.parametrize(
    ("codes", "confidence"),
    [((0, 128, 255), "likely"), ((0, 85, 170, 255), "likely"), ((0, 10, 20, 30), "guess")],
)
def test_codes_in_one_piece_each_are_no_guess_only_if_they_are_even_and_end_at_255(codes, confidence):
    rng = np.random.default_rng(0)
    assert decided([np.array(codes)[discs(rng, len(codes) - 1)] for _ in range(4)]).confidence == confidence


def test_nested_classes_of_one_piece_each_that_all_masks_share_are_classes():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(10):  # like the two parts of a hippocampus: always both, always touching
        mask = np.zeros((SIZE, SIZE), np.int64)
        y, x = rng.integers(10, 40, 2)
        mask[y : y + 20, x : x + 15] = 1
        mask[y : y + 20, x + 15 : x + 30] = 2
        masks.append(mask)
    decision = decided(masks)
    assert decision.spec.kind == "classes"
    assert decision.spec.values == {0: 0, 1: 1, 2: 2}
    assert decision.confidence == "guess"
    assert decided(masks, kind="classes").confidence == "sure"


@pytest.mark.parametrize("deleted", [None, 2])
@pytest.mark.parametrize("factor", [1, 10])
def test_a_few_objects_in_each_mask_are_never_classes_without_a_doubt(deleted, factor):
    rng = np.random.default_rng(0)
    masks = [discs(rng, 4) for _ in range(5)]
    masks[0][masks[0] == deleted] = 0
    assert decided([mask * factor for mask in masks]).confidence == "guess"


def test_a_few_objects_in_each_volume_are_never_classes_without_a_doubt():
    rng = np.random.default_rng(0)
    volumes = [np.repeat(discs(rng, 6)[np.newaxis, ::2, ::2], 5, axis=0) for _ in range(4)]
    assert decided(volumes).confidence == "guess"


def test_a_rare_class_that_some_masks_lack_does_not_make_objects():
    rng = np.random.default_rng(0)
    masks = [blobs(rng, 3) for _ in range(6)]
    masks[1][masks[1] == 2] = 0
    masks[2][:] = 0
    assert decided(masks).spec.values == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("objects", [4, 8, 30])
def test_numbered_discs_are_objects(count, objects):
    rng = np.random.default_rng(objects)
    masks = [discs(rng, objects - number % 3, radius=(3, 6)) for number in range(count)]
    decision = decided(masks)
    assert decision.spec.kind == "objects"
    assert decision.spec.values == {}
    assert 'labels = "classes"' in decision.sentence


def test_a_few_objects_a_mask_that_count_from_1_are_objects():
    rng = np.random.default_rng(1)
    decision = decided([discs(rng, number) for number in (1, 3, 2, 4, 3, 2)])
    assert decision.spec.kind == "objects"
    assert decision.confidence == "likely"


def test_objects_with_gaps_in_their_ids_are_objects():
    rng = np.random.default_rng(2)
    ids = np.concatenate([[0], rng.permutation(np.arange(1, 500))[:40]])
    decision = decided([ids[discs(rng, 40, radius=(2, 5))] for _ in range(3)])
    assert decision.spec.kind == "objects"
    assert decision.confidence == "sure"


def test_some_split_objects_do_not_make_classes():
    rng = np.random.default_rng(3)
    masks = []
    for _ in range(4):
        mask = discs(rng, 20, radius=(3, 6))
        for number in (3, 8):  # a scratch through two of twenty
            y = int(np.argwhere(mask == number).mean(axis=0)[0])
            mask[y][mask[y] == number] = 0
        masks.append(mask)
    assert decided(masks).spec.kind == "objects"


@pytest.mark.parametrize("objects", [12, 40])
def test_stray_pixels_do_not_split_objects_into_classes(objects):
    rng = np.random.default_rng(3)
    masks = []
    for _ in range(4):
        mask = discs(rng, objects, radius=(3, 5))
        empty = np.argwhere(mask == 0)
        for number in range(1, objects + 1, 2):
            mask[tuple(rng.choice(empty))] = number
        masks.append(mask)
    assert decided(masks).spec.kind == "objects"


def test_a_class_of_many_small_pieces_is_still_in_several_pieces():
    mask = np.zeros((SIZE, SIZE), np.int64)
    for row in range(0, SIZE, 6):
        for column in range(0, SIZE, 6):
            mask[row : row + 2, column : column + 2] = 1 + (row + column) // 6 % 2
    assert (summarise(raws([mask])[0]).pieces[1:] == 128).all()
    assert decided([mask]).confidence == "sure"


def test_strays_are_a_guess_and_named():
    rng = np.random.default_rng(0)
    masks = [np.repeat(np.repeat((discs(rng, 6) > 0) * 255, 2, axis=0), 2, axis=1) for _ in range(4)]
    for mask in masks:
        mask[3, 4], mask[90, 90] = 254, 1
    decision = decided(masks)
    assert decision.confidence == "guess"
    assert "0.05% of the pixels are 1 or 254" in decision.sentence


def test_masks_of_0_and_1_among_masks_of_0_and_255_are_a_guess():
    rng = np.random.default_rng(0)
    decision = decided([(discs(rng, 6) > 0) * (255 if number % 2 else 1) for number in range(5)])
    assert decision.confidence == "guess"
    assert "saved in different ways" in decision.sentence


def test_more_than_16_classes_are_a_guess():
    rng = np.random.default_rng(0)
    assert decided([blobs(rng, 16) for _ in range(4)]).confidence == "sure"
    assert decided([blobs(rng, 20) for _ in range(4)]).confidence == "guess"


def photo(rng, *, bits=8, sigma=1.0):
    """(SIZE, SIZE) of cells on a dark ground, with noise: what a microscope gives."""
    light = ndimage.gaussian_filter(discs(rng, 12) > 0.0, sigma, output=float) * 0.5 + 0.2
    return np.clip(light + rng.normal(0, 0.03, light.shape), 0, 1) * (2**bits - 1) // 1


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("count", [1, 5])
def test_images_are_no_masks(bits, count):
    rng = np.random.default_rng(0)
    with pytest.raises(LabelError, match=r"values, too many.*are they images.*labels or values in dataset\.toml"):
        decided([photo(rng, bits=bits).astype(np.int64) for _ in range(count)])


def test_images_with_red_outlines_are_no_masks():
    rng = np.random.default_rng(0)
    images = [photo(rng).astype(np.int64) * 0x010101 for _ in range(3)]
    for image in images:
        image[10:30, 10] = 0xFF0000
    with pytest.raises(LabelError, match="are they images"):
        decide([summarise(one) for one in raws(images, coding="colour")])


@pytest.mark.parametrize(("objects", "factor"), [(12, 18.0), (12, 20.0), (30, 8.0)])
def test_smoothed_ids_of_objects_are_no_masks(objects, factor):
    rng = np.random.default_rng(0)
    ids = [discs(rng, objects, radius=(3, 6)) * factor for _ in range(4)]
    with pytest.raises(LabelError, match="smoothed or resized"):
        decided([ndimage.gaussian_filter(mask, 0.6).round().astype(np.int64) for mask in ids])


def test_lines_resized_with_interpolation_are_no_masks():
    lines = np.zeros((2 * SIZE, 2 * SIZE))
    for number in range(2 * SIZE):
        lines[number, [number, number * number // 400, -1 - number // 2]] = 255
    with pytest.raises(LabelError, match="smoothed or resized"):
        decided([ndimage.zoom(lines, 0.5, order=1).round().astype(np.int64)])


def test_many_classes_may_be_told():
    rng = np.random.default_rng(0)
    mask = np.arange(100)[rng.permutation(np.arange(SIZE * SIZE) % 100)].reshape(SIZE, SIZE)
    assert len(decided([mask, mask.T], kind="classes").spec.classes) == 100


def test_many_tiny_objects_are_objects():
    ids = np.zeros((SIZE, SIZE), np.int64)
    ids[::6, ::6] = np.arange(1, 257).reshape(16, 16)
    assert decided([ids]).spec.kind == "objects"


def test_objects_of_a_volume_are_objects_and_its_classes_classes():
    rng = np.random.default_rng(4)
    plane = discs(rng, 25, radius=(3, 6))
    volume = np.repeat(plane[np.newaxis, ::2, ::2], 9, axis=0)
    volume[[0, 8]] = 0
    assert decided([volume]).spec.kind == "objects"
    assert decided([np.stack([blobs(rng, 4)[:40, :40] for _ in range(8)])]).spec.kind == "classes"


def smooth(mask, low=0, high=255):
    """An anti-aliased drawing of a mask: averaged from four times the size."""
    large = ndimage.zoom(mask.astype(float), 4, order=0)
    large = ndimage.gaussian_filter(large, 2)
    return np.rint(low + (high - low) * large.reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))).astype(np.int64)


def test_anti_aliased_masks_are_two_classes_with_a_finding():
    rng = np.random.default_rng(5)
    masks = [discs(rng, 8) > 0 for _ in range(4)]
    smoothed = [smooth(mask) for mask in masks]
    decision = decided(smoothed)
    assert decision.spec.values == {0: 0, 255: 1}
    assert decision.spec.snap
    assert "anti-aliased" in decision.findings[0].reason
    for mask, values in zip(masks, raws(smoothed), strict=True):
        assert (apply_spec(values, decision.spec).ids != mask).mean() < 0.01


def test_anti_aliased_masks_of_three_classes_keep_three():
    rng = np.random.default_rng(6)
    masks = []
    for _ in range(2):
        large, small = discs(rng, 3, radius=(10, 14)) > 0, discs(rng, 2) > 0
        masks.append(np.maximum(smooth(large, 0, 128), smooth(small)))
    assert decided(masks).spec.values == {0: 0, 128: 1, 255: 2}


def through_jpeg(mask, quality):
    buffer = io.BytesIO()
    Pillow.fromarray(mask.astype(np.uint8)).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Pillow.open(buffer)).astype(np.int64)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("lossy", [True, False])
def test_jpeg_masks_are_two_classes_with_a_finding_also_when_saved_as_png_later(quality, lossy):
    rng = np.random.default_rng(7)
    masks = [discs(rng, 8) > 0 for _ in range(3)]
    damaged = raws([through_jpeg(mask * 255, quality) for mask in masks], lossy=lossy)
    decision = decide([summarise(one) for one in damaged])
    assert len(decision.spec.values) == 2
    assert decision.findings[0].severity == "warning"
    for mask, one in zip(masks, damaged, strict=True):
        assert (apply_spec(one, decision.spec).ids != mask).mean() < 0.02


def test_jpeg_masks_of_lines_too_thin_to_have_an_inside_are_two_classes():
    mask = np.zeros((SIZE, SIZE))
    mask[::12] = 255
    decision = decide([summarise(one) for one in raws([through_jpeg(mask, 80)], lossy=True)])
    assert len(decision.spec.values) == 2
    assert min(decision.spec.values) < 20
    assert max(decision.spec.values) > 200


@pytest.mark.parametrize("quality", [20, 75, 95])
@pytest.mark.parametrize("factor", [1, 5, 10])
def test_numbered_objects_saved_as_jpeg_are_an_error(quality, factor):
    rng = np.random.default_rng(7)
    damaged = raws([through_jpeg(discs(rng, 12) * factor, quality) for _ in range(3)], lossy=True)
    with pytest.raises(LabelError, match=r"JPEG files.*export the masks again as PNG or TIFF"):
        decide([summarise(one) for one in damaged])
    with pytest.raises(LabelError, match=r"m0\.png: the mask should hold objects but is a JPEG file"):
        decide([summarise(one) for one in damaged], kind="objects")


def test_close_classes_saved_as_jpeg_are_an_error():
    rng = np.random.default_rng(7)
    damaged = raws([through_jpeg(blobs(rng, 4), 75) for _ in range(3)], lossy=True)
    with pytest.raises(LabelError, match="their 7 values do not gather around a few far apart"):
        decide([summarise(one) for one in damaged])


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_gray_codes_saved_as_jpeg_are_their_classes(quality):
    rng = np.random.default_rng(7)
    damaged = raws([through_jpeg(blobs(rng, 4) * 85, quality) for _ in range(3)], lossy=True)
    assert [round(value / 85) for value in decide([summarise(one) for one in damaged]).spec.values] == [0, 1, 2, 3]


def one_large_cell_among_small(rng, large, count):
    """(256, 256) of `count` rods of 3 x 7 pixels and, over them, one disc whose number is `large`."""
    mask = np.zeros((256, 256), np.int64)
    for number in range(1, count + 1):
        y, x = rng.integers(4, 240, 2)
        length = (3, 7) if number % 2 else (7, 3)
        mask[y : y + length[0], x : x + length[1]] = number
    mask[np.hypot(*(np.indices(mask.shape) - 128)) < 26] = large
    return mask


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("large", [18, 20, 30])
def test_small_objects_around_a_large_one_are_not_taken_for_anti_aliasing(seed, large):
    decision = decided([one_large_cell_among_small(np.random.default_rng(seed), large, 34)])
    assert (decision.spec.kind, decision.spec.snap) == ("objects", False)


@pytest.mark.parametrize("low", [0, 60])
@pytest.mark.parametrize("radius", [(4, 9), (14, 20)])
@pytest.mark.parametrize("count", [1, 3])
def test_anti_aliasing_is_recognised_whatever_is_drawn(low, radius, count):
    rng = np.random.default_rng(5)
    masks = [smooth(discs(rng, 8 if radius[0] < 10 else 1, radius=radius) > 0, low, 200) for _ in range(count)]
    decision = decided(masks)
    assert (dict(decision.spec.values), decision.spec.snap) == ({low: 0, 200: 1}, True)


def test_a_thin_border_class_is_not_taken_for_anti_aliasing():
    rng = np.random.default_rng(8)
    masks = []
    for _ in range(3):
        cells = discs(rng, 8) > 0
        masks.append(np.where(cells, 255, np.where(ndimage.binary_dilation(cells), 128, 0)))
    decision = decided(masks)
    assert decision.spec.values == {0: 0, 128: 1, 255: 2}
    assert not decision.spec.snap


def coloured(ids, colours):
    return np.array(colours, np.int64)[ids]


def test_colours_that_all_masks_share_are_classes_with_black_as_background():
    rng = np.random.default_rng(9)
    palette = [0x000000, 0xFF0000, 0x00FF00, 0x0000FF]
    masks = [RawMask(values=coloured(blobs(rng, 4), palette), coding="colour", name="m") for _ in range(3)]
    decision = decide([summarise(one) for one in masks])
    assert decision.spec.coding == "colour"
    assert decision.spec.values == {0x000000: 0, 0x0000FF: 1, 0x00FF00: 2, 0xFF0000: 3}
    assert '"#ff0000" = class 3' in decision.sentence


def test_an_all_black_mask_among_colour_masks_is_background():
    rng = np.random.default_rng(9)
    masks = [
        RawMask(values=coloured(blobs(rng, 3), [0, 0xFF0000, 0x00FF00]), coding="colour", name="m"),
        RawMask(values=np.zeros((SIZE, SIZE), np.int64), name="black"),
    ]
    assert decide([summarise(one) for one in masks]).spec.values == {0: 0, 0x00FF00: 1, 0xFF0000: 2}


def indexed(ids, order):
    """A palette image of `ids`, whose palette holds the colours of the classes in `order`."""
    colours = np.array([0x000000, 0xFF0000, 0x00FF00])
    return RawMask(values=np.argsort(order)[ids], palette=colours[list(order)], name="m")


def test_palettes_that_differ_make_colours_of_indices():
    rng = np.random.default_rng(9)
    truth = [blobs(rng, 3) for _ in range(3)]
    masks = [indexed(ids, order) for ids, order in zip(truth, [(0, 1, 2), (2, 0, 1), (1, 0, 2)], strict=True)]
    spec = decide([summarise(one) for one in masks]).spec
    assert spec.values == {0x000000: 0, 0x00FF00: 1, 0xFF0000: 2}
    for ids, mask in zip(truth, masks, strict=True):
        assert np.array_equal(apply_spec(mask, spec).ids, np.array([0, 2, 1])[ids])


def test_equal_palettes_leave_indices_whatever_colours_are_not_used():
    rng = np.random.default_rng(9)
    masks = [RawMask(values=blobs(rng, 3), palette=np.array([0, 9, 5, unused]), name="m") for unused in (7, 8)]
    assert decide([summarise(one) for one in masks]).spec.values == {0: 0, 1: 1, 2: 2}


def test_a_palette_mask_among_colour_masks_gives_its_colours():
    rng = np.random.default_rng(9)
    colours = np.array([0x000000, 0xFF0000, 0x00FF00])
    masks = [
        indexed(blobs(rng, 3), (2, 1, 0)),
        RawMask(values=colours[blobs(rng, 3)], coding="colour", name="c"),
    ]
    assert decide([summarise(one) for one in masks]).spec.values == {0x000000: 0, 0x00FF00: 1, 0xFF0000: 2}


def test_indices_of_one_colour_are_one_value():
    ids = blobs(np.random.default_rng(9), 3)
    masks = [
        RawMask(values=ids, palette=np.array([0, 0xFF0000, 0xFF0000]), name="a"),
        RawMask(values=ids, palette=np.array([0xFF0000, 0, 0]), name="b"),
    ]
    decision = decide([summarise(one) for one in masks])
    assert decision.spec.values == {0: 0, 0xFF0000: 1}
    assert np.array_equal(apply_spec(masks[1], decision.spec).ids, ids == 0)


def test_a_colour_for_each_object_makes_objects():
    rng = np.random.default_rng(10)
    masks = []
    for _ in range(3):
        palette = [0, *rng.integers(1, 2**24, 25)]
        values = coloured(discs(rng, 25, radius=(2, 5)), palette)
        masks.append(RawMask(values=values, coding="colour", name="m"))
    decision = decide([summarise(one) for one in masks])
    assert decision.spec.kind == "objects"
    assert len(np.unique(apply_spec(masks[0], decision.spec).ids)) == 26


def coloured_objects(rng, background, *, outlines=False, count=3):
    """Masks with discs in colours of their own on one background, and the truth."""
    truths = [discs(rng, 12, radius=(4, 7)) for _ in range(count)]
    masks = []
    for ids in truths:
        values = coloured(ids, [background, *rng.integers(1, 2**24 - 1, 12)])
        if outlines:
            values[ndimage.maximum_filter(ids, 3) != ndimage.minimum_filter(ids, 3)] = 0
        masks.append(RawMask(values=values, coding="colour", name="m"))
    return masks, truths


@pytest.mark.parametrize("kind", [None, "objects"])
@pytest.mark.parametrize("background", [0xFFFFFF, 0x440154])
def test_the_colour_around_coloured_objects_is_their_background(kind, background):
    masks, truths = coloured_objects(np.random.default_rng(0), background)
    decision = decide([summarise(one) for one in masks], kind=kind)
    assert decision.spec.kind == "objects"
    assert decision.spec.values == {background: 0}
    assert f'"#{background:06x}" is the background' in decision.sentence
    assert decision.findings == ()
    for mask, ids in zip(masks, truths, strict=True):
        assert np.array_equal(apply_spec(mask, decision.spec).ids > 0, ids > 0)


@pytest.mark.parametrize("kind", [None, "objects"])
def test_white_around_coloured_objects_with_black_outlines_is_background_and_so_are_the_outlines(kind):
    masks, truths = coloured_objects(np.random.default_rng(0), 0xFFFFFF, outlines=True)
    decision = decide([summarise(one) for one in masks], kind=kind)
    assert '"#ffffff" and black are the background' in decision.sentence
    for mask, ids in zip(masks, truths, strict=True):
        inside = ndimage.minimum_filter(ids, 3) == ndimage.maximum_filter(ids, 3)
        assert np.array_equal(apply_spec(mask, decision.spec).ids > 0, (ids > 0) & inside)


def dense(rng, cells=12):
    """(SIZE, SIZE) of cells that leave no gap, numbered from 1."""
    seeds = rng.integers(0, SIZE, (cells, 2))
    return np.linalg.norm(np.indices((SIZE, SIZE))[:, None] - seeds.T[:, :, None, None], axis=0).argmin(axis=0) + 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", [None, "objects"])
def test_black_gaps_between_dense_coloured_cells_stay_their_only_background(seed, count, kind):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        ids = dense(rng)
        ids[ndimage.maximum_filter(ids, 3) != ndimage.minimum_filter(ids, 3)] = 0
        masks.append(RawMask(values=coloured(ids, [0, *rng.integers(1, 2**24, 12)]), coding="colour", name="m"))
    spec = decide([summarise(one) for one in masks], kind=kind).spec
    assert (spec.kind, spec.values) == ("objects", {})


@pytest.mark.parametrize("background", [1, 255])
@pytest.mark.parametrize("kind", [None, "objects"])
def test_a_number_around_numbered_objects_is_their_background_where_no_mask_holds_0(background, kind):
    rng = np.random.default_rng(0)
    truths = [discs(rng, 25, radius=(3, 6)) for _ in range(3)]
    masks = [np.where(ids == 0, background, ids + 1) for ids in truths]
    decision = decided(masks, kind=kind)
    assert (decision.spec.kind, decision.spec.values) == ("objects", {background: 0})
    assert decision.findings == ()
    assert np.array_equal(apply_spec(raws(masks)[0], decision.spec).ids > 0, truths[0] > 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", [None, "objects"])
def test_dense_numbered_cells_without_a_background_have_none_and_a_warning_names_the_largest(seed, count, kind):
    rng = np.random.default_rng(seed)
    masks = [dense(rng, 30) for _ in range(count)]
    decision = decided(masks, kind=kind)
    largest = np.bincount(masks[0].ravel()).argmax()
    assert (decision.spec.kind, decision.spec.values) == ("objects", {})
    assert [one.severity for one in decision.findings] == ["warning"]
    assert f"{largest}, the most frequent value of this mask, is taken for an object" in decision.findings[0].reason
    assert f"values = {{ {largest} = 0 }}" in decision.findings[0].remedy


def test_two_objects_that_fill_one_mask_stay_two_objects():
    mask = np.where(np.arange(SIZE) < 0.6 * SIZE, 1, 2) * np.ones((SIZE, 1), np.int64)
    decision = decided([mask], kind="objects")
    assert set(apply_spec(raws([mask])[0], decision.spec).ids.ravel()) == {1, 2}
    assert "no mask holds 0, so nothing is background" in decision.findings[0].reason


def test_a_number_around_objects_beside_lines_of_0_is_named_in_a_warning():
    rng = np.random.default_rng(0)
    ids = [discs(rng, 25, radius=(3, 6)) for _ in range(3)]
    edges = [ndimage.maximum_filter(one, 3) != ndimage.minimum_filter(one, 3) for one in ids]
    decision = decided([np.where(edge, 0, one + 1) for edge, one in zip(edges, ids, strict=True)], kind="objects")
    assert decision.spec.values == {}
    assert "only 0 is taken for background, and 1, the most frequent" in decision.findings[0].reason


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_single_value_are_a_guess(value):
    decision = decided([np.full((8, 8), value), np.full((8, 8), value)])
    assert decision.confidence == "guess"
    assert decision.spec.kind == "classes"
    assert value in decision.spec.values
    assert len(decision.spec.values) == 2


def test_a_single_pixel_mask_can_be_judged():
    assert decided([np.array([[1]])]).spec.values == {0: 0, 1: 1}


def test_an_ignored_value_takes_no_part_in_the_decision():
    rng = np.random.default_rng(11)
    mask = (discs(rng, 5) > 0).astype(np.int64)
    mask[:10] = 7
    decision = decided([mask], ignore=frozenset({7}))
    assert decision.spec.values == {0: 0, 1: 1}
    assert decision.spec.ignore == {7}


WHITE, RED, BLUE = 0xFFFFFF, 0xFF0000, 0x0000FF


def with_white(ids, colours, white):
    """A mask of `colours` whose first rows are `white`."""
    values = coloured(ids, colours)
    values[:10] = white
    return values


@pytest.mark.parametrize("kind", [None, "objects"])
def test_a_gray_colour_to_ignore_is_its_level_in_gray_masks(kind):
    mask = with_white(blobs(np.random.default_rng(11), 2), [0, 128], 255)
    decision = decided([mask], kind=kind, ignore=frozenset({WHITE}), ignore_coding="colour")
    assert (decision.spec.coding, decision.spec.ignore) == ("gray", frozenset({255}))
    assert np.array_equal(apply_spec(raws([mask])[0], decision.spec).ids == IGNORE, mask == 255)


@pytest.mark.parametrize("kind", [None, "objects"])
def test_a_number_to_ignore_is_its_gray_in_masks_of_colours(kind):
    mask = with_white(blobs(np.random.default_rng(11), 3), [0, RED, BLUE], WHITE)
    raw = raws([mask], coding="colour")[0]
    spec = decide([summarise(raw)], kind=kind, ignore=frozenset({255})).spec
    assert (spec.coding, spec.ignore) == ("colour", frozenset({WHITE}))
    assert np.array_equal(apply_spec(raw, spec).ids == IGNORE, mask == WHITE)


def test_a_colour_to_ignore_makes_colours_of_the_indices_of_a_palette():
    raw = indexed(blobs(np.random.default_rng(11), 3), (2, 0, 1))
    spec = decide([summarise(raw)], ignore=frozenset({RED}), ignore_coding="colour").spec
    assert (spec.coding, spec.values, spec.ignore) == ("colour", {0: 0, 0x00FF00: 1}, frozenset({RED}))


def test_a_number_to_ignore_in_masks_whose_palettes_differ_is_an_error():
    ids = blobs(np.random.default_rng(11), 3)
    summaries = [summarise(indexed(ids, order)) for order in [(0, 1, 2), (2, 0, 1)]]
    with pytest.raises(LabelError, match="ignore holds the number 2, but the masks are coloured; write the colour"):
        decide(summaries, ignore=frozenset({2}))


def test_a_colour_to_ignore_in_masks_of_large_numbers_is_an_error():
    with pytest.raises(LabelError, match='holds the colour "#ffffff", but the masks hold numbers such as 300; write'):
        decided([np.array([[0, 255, 300]])], ignore=frozenset({WHITE}), ignore_coding="colour")


@pytest.mark.parametrize(("ignore", "named"), [({7}, None), ({8}, "8"), ({7, 8, 9}, "8 and 9")])
def test_a_value_to_ignore_that_no_mask_holds_is_named_in_a_warning(ignore, named):
    mask = (discs(np.random.default_rng(11), 5) > 0).astype(np.int64)
    mask[:10] = 7
    reasons = [one.reason for one in decided([mask, mask > 0], ignore=frozenset(ignore)).findings]
    assert reasons == ([] if named is None else [f"ignore names {named}, which no mask holds"])


def test_a_255_beside_small_numbers_is_a_class_only_as_a_guess_that_offers_to_ignore_it():
    mask = blobs(np.random.default_rng(12), 3)
    mask[:10] = 255
    decision = decided([mask, mask.T])
    assert 255 in decision.spec.values
    assert decision.confidence == "guess"
    assert "write ignore = 255" in decision.sentence


def test_given_classes_are_matched_to_the_values_in_order():
    mask = np.where(discs(np.random.default_rng(0), 4) > 0, 255, 0)
    spec = decided([mask], kind="classes", classes=("outside", "inside")).spec
    assert spec.values == {0: 0, 255: 1}
    assert spec.classes == ("outside", "inside")


def test_given_classes_may_be_absent_from_the_masks():
    spec = decided([np.array([[0, 1]])], classes=("a", "b", "c")).spec
    assert spec.values == {0: 0, 1: 1, 2: 2}


def test_given_classes_that_do_not_fit_the_values_are_an_error_with_the_line_to_write():
    with pytest.raises(LabelError, match=r"hold 3 values \(0, 100, 200\).*2 classes.*values = \{ 0 = 0 \}"):
        decided([np.repeat([[0, 100, 200]], 3, axis=0)], classes=("a", "b"))


def test_given_objects_are_not_questioned():
    assert decided([blobs(np.random.default_rng(0), 3)], kind="objects").spec.kind == "objects"


def test_classes_alone_over_masks_of_objects_are_an_error_that_offers_objects():
    ids = discs(np.random.default_rng(0), 8)
    with pytest.raises(LabelError, match='an object of its own, add labels = "objects"; else write in it which value'):
        decided([ids], classes=("background", "nucleus"))


def test_objects_told_of_binary_masks_are_a_warning_but_not_one_object_in_one_piece():
    rng = np.random.default_rng(0)
    findings = decided([(discs(rng, 6) > 0) * 255 for _ in range(3)], kind="objects").findings
    assert [one.severity for one in findings] == ["warning"]
    assert "binary (0 and 255)" in findings[0].reason
    assert "touching objects cannot be told apart" in findings[0].remedy
    assert decided([discs(rng, 1) for _ in range(3)], kind="objects").findings == ()
    assert decided([discs(rng, 6) for _ in range(3)], kind="objects").findings == ()


def test_without_masks_nothing_can_be_decided():
    with pytest.raises(LabelError, match="no mask"):
        decide([])
