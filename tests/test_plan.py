import json
from dataclasses import fields, replace
from itertools import pairwise
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.arrays import Image, Space
from segue.augment.geometry import GeometryConfig
from segue.config import plan_from_toml, plan_to_toml
from segue.errors import TileError, UsageError
from segue.fingerprint import Fingerprint, examine
from segue.fingerprint.hounsfield import AnnotatedSummary
from segue.io.datasets import find_pairs, read_pair
from segue.io.images import write_image, write_labels
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet
from segue.normalize import Normalization, normalize
from segue.plan import PRESETS, Plan, check_fits, make_plan, relative_spacing
from segue.plan.size import BATCH_PIXELS, FEWEST_STEPS, MOST_PATCHES, PATCH_PIXELS, WIDTHS
from segue.train.settings import TrainConfig


def fingerprint(shape, **changes):
    """A data set of gray images of two classes, all of one shape, with a tenth of foreground."""
    facts = {
        "images": 12,
        "spatial_axes": len(shape),
        "channels": 1,
        "colour": "gray",
        "smallest_shape": shape,
        "median_shape": shape,
        "largest_shape": shape,
        "shapes": 1,
        "bits": 8,
        "pixel_size": None,
        "unit": "pixel",
        "pixel_size_differs": False,
        "intensities": (),
        "kind": "classes",
        "classes": ("background", "foreground"),
        "class_frequencies": (0.9, 0.1),
        "ignored": 0.0,
        "objects": None,
        "near_duplicates": (),
    }
    return Fingerprint(**facts | changes)


COLOUR = {"channels": 3, "colour": "rgb"}
OBJECTS = {"kind": "objects"}
KINDS = {
    "gray 512": fingerprint((512, 512)),
    "dense cells": fingerprint((512, 512), class_frequencies=(0.2, 0.8)),
    "RGB": fingerprint((512, 680), **COLOUR),
    "gray and RGB mixed": fingerprint((256, 320), channels=3, colour="mixed"),
    "nuclei": fingerprint((256, 256), **OBJECTS),
    "stained nuclei": fingerprint((1000, 1000), **COLOUR, **OBJECTS),
    "five channels, six classes": fingerprint(
        (300, 400), channels=5, classes=tuple("abcdef"), class_frequencies=(0.5, 0.2, 0.1, 0.1, 0.1, 0.0)
    ),
    "small volumes": fingerprint((35, 50, 36), pixel_size=(1.0, 1.0, 1.0)),
    "thick slices": fingerprint((20, 512, 512), pixel_size=(5.0, 1.0, 1.0)),
    "thick slices, no size said": fingerprint((20, 512, 512)),
    "volumes of objects": fingerprint((64, 256, 256), **OBJECTS),
    "tiny images": fingerprint((16, 16)),
    "tinier images": fingerprint((7, 5)),
    "single pixels": fingerprint((1, 1)),
    "one pixel thin": fingerprint((1, 512, 512)),
    "a line of pixels": fingerprint((1, 4000)),
    "a rod of voxels": fingerprint((1, 1, 3)),
    "huge images": fingerprint((40_000, 60_000)),
    "huge volumes": fingerprint((3_000, 4_000, 4_000), pixel_size=(0.5, 0.2, 0.2)),
    "odd sizes": fingerprint((255, 257)),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_choice_of_a_plan_has_its_reason(kind, preset):
    plan = make_plan(KINDS[kind], preset=preset)
    said_with_another = {"unit": "pixel_size", "rgb": "normalization"}
    choices = {field.name for field in fields(Plan)} - {"reasons"}
    assert set(plan.reasons) == {said_with_another.get(name, name) for name in choices}


def assert_the_network_takes_the_patch(plan):
    with torch.device("meta"):
        image = torch.empty(1, plan.network.channels, *plan.batches.patch)
        answer = UNet(plan.network).eval()(image)
    sizes = zip(axis_geometries(plan.network), plan.batches.patch, strict=True)
    assert answer.shape == (1, plan.network.outputs, *(geometry.output_size(size) for geometry, size in sizes))


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_for_any_kind_of_data_can_be_trained(kind):
    plan = make_plan(KINDS[kind])
    assert_the_network_takes_the_patch(plan)
    check_fits(plan, KINDS[kind])
    axes = plan.network.spatial_axes
    pixels = prod(plan.batches.patch)
    assert pixels <= 1.5 * PATCH_PIXELS[axes]  # rounded up to what can be pooled
    assert plan.batches.batch * pixels <= max(BATCH_PIXELS[axes], 2 * pixels)
    assert 2 <= plan.batches.batch <= MOST_PATCHES  # batch normalisation needs company
    assert all(plan.reasons.values())


@given(
    shape=st.lists(st.integers(1, 3000), min_size=2, max_size=3).map(tuple),
    spacing=st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.9, 2.0, 5.0, 40.0]), min_size=3, max_size=3),
    said=st.booleans(),
)
def test_images_of_any_shape_and_spacing_have_a_plan(shape, spacing, said):
    data = fingerprint(shape, pixel_size=tuple(spacing[: len(shape)]) if said else None)
    plan = make_plan(data)
    assert prod(plan.batches.patch) <= 1.5 * PATCH_PIXELS[len(shape)]
    for length, size, geometry in zip(shape, plan.batches.patch, axis_geometries(plan.network), strict=True):
        assert geometry.is_legal(size)
        assert size < length + geometry.stride  # no larger than the image, but for pooling evenly


def test_a_patch_is_the_whole_image_where_that_is_small_enough():
    assert make_plan(KINDS["nuclei"]).batches.patch == (256, 256)
    assert make_plan(fingerprint((35, 50, 36))).batches.patch == (40, 56, 40)  # the next multiples of 8


def test_a_coarse_axis_is_not_pooled_before_the_others_are_as_coarse():
    network = make_plan(KINDS["thick slices"]).network
    # pixels of 5 x 1 x 1, then 5 x 2 x 2, then 5 x 4 x 4, where 5 is less than twice 4
    assert network.factors == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert network.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_pixels_of_equal_size_are_pooled_alike_along_all_axes():
    assert make_plan(KINDS["gray 512"]).network.factors == ((2, 2),) * 4
    assert make_plan(KINDS["gray 512"]).network.kernels == ((3, 3),) * 5


def test_an_axis_is_never_pooled_to_less_than_four_pixels():
    assert make_plan(KINDS["tiny images"]).network.factors == ((2, 2),) * 2
    assert make_plan(KINDS["tinier images"]).network.factors == ()


def test_a_short_axis_keeps_no_other_from_being_pooled():
    assert make_plan(KINDS["one pixel thin"]).network.factors == ((1, 2, 2),) * 3
    assert make_plan(KINDS["a line of pixels"]).network.factors == ((1, 2),) * 4
    # 12 slices are pooled once, to 6
    assert make_plan(fingerprint((12, 512, 512))).network.factors == ((2, 2, 2), (1, 2, 2), (1, 2, 2))


def test_objects_are_learnt_with_the_distance_to_their_border():
    plan = make_plan(KINDS["nuclei"])
    assert plan.targets.auxiliary == ("distance",)
    assert plan.network.outputs == 3


def test_colour_and_gray_together_are_colour():
    plan = make_plan(KINDS["gray and RGB mixed"])
    assert plan.rgb
    assert plan.network.channels == 3
    assert plan.augment.intensity.colour_chance > 0
    assert not make_plan(KINDS["gray 512"]).rgb
    assert make_plan(KINDS["gray 512"]).augment.intensity.colour_chance == 0


def test_rare_classes_are_looked_for_and_common_ones_are_not():
    assert make_plan(KINDS["gray 512"]).batches.foreground > 0
    assert make_plan(KINDS["dense cells"]).batches.foreground == 0
    organ_and_tumour = fingerprint((512, 512), classes=tuple("bot"), class_frequencies=(0.7, 0.297, 0.003))
    assert make_plan(organ_and_tumour).batches.foreground > 0
    dense_objects = replace(KINDS["nuclei"], class_frequencies=(0.3, 0.7))  # they are looked for where they touch
    assert make_plan(dense_objects).batches.foreground > 0


@pytest.mark.parametrize(
    "shape", [(1024, 1024), (1024, 1360), (1040, 1388), (1080, 1920), (584, 565), (1000, 4000), (2001, 2001)]
)
def test_large_images_have_square_patches_whatever_their_proportions(shape):
    plan = make_plan(replace(KINDS["gray 512"], median_shape=shape, working_shape=None))
    assert plan.batches.patch == (256, 256)
    assert plan.batches.batch == 4


@pytest.mark.parametrize("seed", [0, 17])
@pytest.mark.parametrize("preset", ["auto", "paper"])
def test_the_seed_of_the_plan_is_the_one_that_was_given(preset, seed):
    assert make_plan(KINDS["gray 512"], preset=preset, seed=seed).train.seed == seed


@pytest.mark.parametrize("preset", PRESETS)
def test_every_process_has_a_patch_of_each_batch(preset):
    usual, of_eight = (make_plan(fingerprint((512, 512)), preset=preset, processes=count) for count in (1, 8))
    assert usual.batches.batch == (1 if preset == "paper" else 4)
    assert of_eight.batches.batch == 8


@pytest.mark.parametrize("length", [{"budget": 1200.0}, {"steps": 1}])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_plan_says_how_long_its_training_is(preset, length):
    plan = make_plan(fingerprint((64, 64)), preset=preset, **length)
    assert {name: getattr(plan.train, name) for name in length} == length


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ({"budget": 60.0, "steps": 5}, r"a budget \(60 s\) or a number of steps \(5\), not both"),
        ({"steps": 0}, "at least 1 step, not 0"),
        ({"budget": 0.0}, "above 0 s, not 0"),
        ({"budget": float("nan")}, "above 0 s, not nan"),
    ],
)
def test_a_length_that_is_none_is_refused(length, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**length)


@pytest.mark.parametrize("power", [1.0, 1.6])
@pytest.mark.parametrize(("affordable", "width"), [(64, 64), (50, 48), (47, 32), (32, 32), (24, 24), (16, 16), (9, 16)])
def test_the_network_is_as_wide_as_the_time_allows(affordable, width, power):
    measured = []

    def step_seconds(network, batches):
        assert batches.patch == (256, 256)
        measured.append(network.width)
        return (network.width / affordable) ** power

    plan = make_plan(KINDS["gray 512"], budget=float(FEWEST_STEPS), step_seconds=step_seconds)
    assert plan.network.width == width
    assert f"width {width}:" in plan.reasons["network"]
    assert len(measured) == len(set(measured))  # a measurement costs time
    # Nor is measured what cannot fit: time grows at least as the width does.
    assert all((one / affordable) ** power * wider / one <= 1 for one, wider in pairwise(measured))
    assert_the_network_takes_the_patch(plan)


@pytest.mark.parametrize("name", KINDS)
def test_answers_are_averaged_over_mirror_images_unless_objects_are_wanted(name):
    assert make_plan(KINDS[name]).mirror == (KINDS[name].kind != "objects")


@pytest.mark.parametrize("preset", ["auto", "paper"])
def test_images_that_lie_the_same_way_round_are_not_mirrored_and_the_plan_says_so(preset):
    plan = make_plan(replace(KINDS["small volumes"], oriented=(True, True, False)), preset=preset)
    assert plan.augment.geometry.oriented == (True, True, False)
    assert not plan.mirror
    assert "along z and y in nearly all images" in plan.reasons["augment"]
    assert "30 degrees" in plan.reasons["augment"]
    upside_down = make_plan(replace(KINDS["small volumes"], oriented=(True, False, False)), preset=preset)
    assert upside_down.augment.geometry.rotation == 180  # of slices that stay where they are
    assert "degrees" not in upside_down.reasons["augment"]
    assert plan_from_toml(plan_to_toml(plan), source="plan.toml") == replace(plan, reasons={})


def test_the_reason_tells_how_many_steps_fit():
    plan = make_plan(KINDS["small volumes"], budget=3000.0, step_seconds=lambda network, batches: 0.5)
    assert plan.network.width == WIDTHS[3][0]
    assert "a step takes 0.50 s here, so at most 6,000 fit" in plan.reasons["network"]
    assert "24 would leave fewer than 6,000" in plan.reasons["network"]


def test_the_reasons_tell_which_axes_are_treated_otherwise_and_how_strongly_patches_are_changed():
    slices, even = make_plan(KINDS["thick slices"]).reasons, make_plan(KINDS["gray 512"]).reasons
    assert "3 poolings, as many as the patch allows (1 along z, with kernels of length 1 in 2 of 4" in slices["network"]
    assert "along" not in even["network"]
    assert "scaled (up to 1.35 times), deformed (by some 10 px at points 128 px apart)" in even["augment"]


@pytest.mark.parametrize(("name", "where"), [("nuclei", "where objects touch"), ("gray 512", "on classes other than")])
def test_the_reasons_tell_where_patches_are_taken(name, where):
    assert f"33% of them {where}" in make_plan(KINDS[name]).reasons["batches"]
    assert "of them" not in make_plan(KINDS["dense cells"]).reasons["batches"]


def test_without_a_budget_nothing_is_measured():
    plan = make_plan(KINDS["gray 512"], step_seconds=lambda network, batches: pytest.fail("measured"))
    assert plan.network.width == WIDTHS[2][0]


def test_the_paper_preset_is_the_network_of_2015():
    plan = make_plan(KINDS["gray 512"], preset="paper")
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in UNet(plan.network).parameters()) == 31_030_658
    assert plan.batches.patch == (572, 572)
    assert plan.batches.batch == 1
    assert (plan.targets.w0, plan.targets.sigma) == (10.0, 5.0)
    assert (plan.loss.cross_entropy, plan.loss.dice) == (1.0, 0.0)
    # w_c: inverse frequencies, 1 for a mean pixel: 0.9 a + 0.1 b = 1 and b = 9 a
    assert plan.targets.class_weights == pytest.approx((1 / 1.8, 5.0))
    assert_the_network_takes_the_patch(plan)


@pytest.mark.parametrize("kind", ["RGB", "nuclei", "five channels, six classes", "small volumes"])
def test_the_paper_preset_fits_other_data_too(kind):
    plan = make_plan(KINDS[kind], preset="paper")
    check_fits(plan, KINDS[kind])
    for geometry, size in zip(axis_geometries(plan.network), plan.batches.patch, strict=True):
        assert geometry.output_size(size) > 0


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match='the preset is one of auto, paper, not "papre"'):
        make_plan(KINDS["gray 512"], preset="papre")  # type: ignore[arg-type]


def test_spacing_is_counted_in_pixels_of_the_finest_axis():
    assert relative_spacing((5.0, 0.5, 1.0)) == (10.0, 1.0, 2.0)
    assert relative_spacing(None) is None


PLAN = make_plan(KINDS["gray 512"])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"batches": replace(PLAN.batches, patch=(256,))}, UsageError, "has 1 axes, the network 2"),
        ({"batches": replace(PLAN.batches, patch=(256, 250))}, TileError, "cannot take 250 px .* 240 or 256 px"),
        ({"targets": replace(PLAN.targets, class_weights=(1.0,) * 3)}, UsageError, "3 class weights for 2 outputs"),
        (
            {"normalization": Normalization(kinds=("standard", "none"))},
            UsageError,
            "normalization.kinds has 2 entries, but the network has 1 channels",
        ),
        (
            {"augment": replace(PLAN.augment, geometry=GeometryConfig(oriented=(True,) * 3))},
            UsageError,
            "oriented has 3 entries, but the network has 2",
        ),
        ({"validation_fraction": 1.0}, UsageError, "from 0 to below 1, not 1.0"),
        ({"validation_fraction": -0.1}, UsageError, "from 0 to below 1, not -0.1"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        replace(PLAN, **changes)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("small volumes", "plan is for 2D images, but the data are 3D"),
        ("five channels, six classes", "plan is for 1 channels, but the images have 5"),
        ("nuclei", None),
    ],
)
def test_a_plan_is_for_data_of_one_kind(kind, message):
    if message is None:
        check_fits(PLAN, KINDS[kind])
    else:
        with pytest.raises(UsageError, match=message):
            check_fits(PLAN, KINDS[kind])


def test_a_plan_has_an_output_for_every_class_and_map():
    three = fingerprint((512, 512), classes=("a", "b", "c"), class_frequencies=(0.8, 0.1, 0.1))
    with pytest.raises(UsageError, match=r"has 2 outputs, but there are 3 classes and 0 maps .* network.outputs = 3"):
        check_fits(PLAN, three)


MICROMETRES = {"unit": "micrometer"}


def test_the_pixel_size_to_work_at_is_the_median_and_the_plan_says_why():
    alike = make_plan(fingerprint((64, 64), pixel_size=(0.1, 0.1), **MICROMETRES))
    assert (alike.pixel_size, alike.unit) == ((0.1, 0.1), "micrometer")
    assert alike.reasons["pixel_size"].startswith("0.1 micrometer, that of the images; ")
    mixed = fingerprint(
        (64, 64),
        pixel_size=(0.1, 0.1),
        pixel_size_range=((0.07, 0.07), (0.18, 0.18)),
        without_pixel_size=2,
        **MICROMETRES,
    )
    for preset in ("auto", "paper"):
        plan = make_plan(mixed, preset=preset)
        assert plan.pixel_size == (0.1, 0.1)
        assert plan.reasons["pixel_size"] == (
            "images have 0.07 to 0.18 micrometer; trained at 0.1 micrometer, the median, to which the others are "
            "resampled; each answer lies on the pixels of its image; 2 images say no size, taken to be the same"
        )
    assert plan_from_toml(plan_to_toml(plan), source="a").pixel_size == (0.1, 0.1)


def test_without_a_pixel_size_in_a_unit_of_length_nothing_is_resampled():
    for data in (fingerprint((64, 64)), fingerprint((8, 64, 64), pixel_size=(5.0, 1.0, 1.0))):
        plan = make_plan(data)
        assert plan.pixel_size is None
        assert "taken as it is" in plan.reasons["pixel_size"]
    assert make_plan(KINDS["thick slices"]).network.kernels[0] == (1, 3, 3)  # proportions count all the same


def test_patches_are_those_of_the_images_at_the_pixel_size_to_work_at():
    shapes = {"pixel_size": (0.1, 0.1), "working_shape": (100, 120), **MICROMETRES}
    assert make_plan(fingerprint((400, 480), **shapes)).batches.patch == (112, 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_size": (1.0, 0.1, 0.1)}, "pixel_size = .* has 3 numbers, but the network has 2 spatial axes"),
        ({"pixel_size": (0.1, 0.0)}, "holds a number that is no length above 0"),
        ({"pixel_size": (0.1, float("nan"))}, "holds a number that is no length above 0"),
        (
            {"pixel_size": (0.1, 0.1), "unit": "inch"},
            'the unit of pixel_size is "micrometer" or "millimeter", not "inch"',
        ),
    ],
)
def test_a_pixel_size_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(make_plan(KINDS["gray 512"]), **changes)


def annotated(low, high, *, mean=50.0, std=10.0):
    return AnnotatedSummary(low=low, high=high, mean=mean, std=std)


def test_scans_in_hounsfield_units_are_clipped_to_what_is_annotated_and_share_one_scale():
    plan = make_plan(fingerprint((64, 64, 64), hounsfield=(True,), annotated=(annotated(-20.5, 180.0),)))
    assert plan.normalization == Normalization(kind="fixed", mean=(50.0,), std=(10.0,), clip=((-20.5, 180.0),))
    assert "clipped to -20 to 180" in plan.reasons["normalization"]
    assert plan_from_toml(plan_to_toml(plan), source="plan.toml") == replace(plan, reasons={})


def test_without_a_range_to_clip_to_scans_are_normalised_one_by_one():
    plan = make_plan(fingerprint((64, 64, 64), hounsfield=(True,), annotated=(annotated(7.0, 7.0, std=0.0),)))
    assert plan.normalization == Normalization(kind="standard")


def test_other_images_are_normalised_one_by_one_and_colours_together():
    assert make_plan(KINDS["gray 512"]).normalization == Normalization(kind="standard", rgb_jointly=True)
    assert "each image and channel" in make_plan(KINDS["gray 512"]).reasons["normalization"]
    assert "keeps the hues" in make_plan(KINDS["stained nuclei"]).reasons["normalization"]


def test_each_channel_has_the_normalisation_of_its_kind_and_the_reason_says_which():
    three = fingerprint(
        (64, 64, 64),
        channels=3,
        hounsfield=(True, False, True),
        annotated=(annotated(-20.5, 180.0), annotated(0.0, 9.0), annotated(-5.0, 70.0, mean=8.0, std=2.0)),
    )
    for preset in PRESETS:
        plan = make_plan(three, preset=preset)
        assert plan.normalization == Normalization(
            kinds=("fixed", "standard", "fixed"), mean=(50.0, 8.0), std=(10.0, 2.0), clip=((-20.5, 180.0), (-5.0, 70.0))
        )
        assert plan.reasons["normalization"] == (
            "CT (channels 0 and 2): Hounsfield units mean the same in each scan; clipped to -20 to 180, -5 to 70, "
            "where 99 % of what is annotated lies, then one scale for all images; the others (channel 1): mean 0 and "
            "deviation 1 of each image"
        )


def test_a_scan_without_a_range_to_clip_to_leaves_the_other_its_scale():
    nothing = annotated(7.0, 7.0, std=0.0)
    two = fingerprint((64, 64), channels=2, hounsfield=(True, True), annotated=(nothing, annotated(-20.0, 180.0)))
    assert make_plan(two).normalization.kinds == ("standard", "fixed")


def test_colours_are_of_one_kind_whatever_their_names():
    ranges = (annotated(0.0, 9.0),) * 3
    plan = make_plan(fingerprint((64, 64), **COLOUR, hounsfield=(True, False, False), annotated=ranges))
    assert plan.normalization == Normalization()
    assert "keeps the hues" in plan.reasons["normalization"]


def write_scans(root, names):
    """nnU-Net's layout: cubes of tissue of 40 and 60 Hounsfield units in air, and PET of another brightness each."""
    ids = np.zeros((8, 8, 8), np.int32)
    ids[2:6, 2:6, 2:6] = 1
    space = Space(pixel_size=(2.0, 1.0, 1.0), unit="millimeter")
    for number in range(4):
        kinds = {
            "CT": np.where(ids == 1, 40.0 + 20.0 * (np.indices(ids.shape)[0] % 2), -1000.0),
            "PET": (number + 1) * np.random.default_rng(number).gamma(2, 3, ids.shape),
        }
        for channel, name in enumerate(names):
            image = Image(pixels=kinds[name][None].astype(np.float32), space=space)
            write_image(root / "imagesTr" / f"p{number}_{channel:04d}.tif", image)
        write_labels(root / "labelsTr" / f"p{number}.tif", ids, space=space)
    channels = {str(channel): name for channel, name in enumerate(names)}
    content = {"channel_names": channels, "labels": {"background": 0, "tumour": 1}, "file_ending": ".tif"}
    (root / "dataset.json").write_text(json.dumps(content))
    return find_pairs(root)


@pytest.mark.parametrize("names", [("CT", "PET"), ("PET", "CT")])
def test_ct_beside_pet_keeps_its_hounsfield_units(tmp_path, names):
    pairs = write_scans(tmp_path, names)
    examination = examine(pairs)
    assert examination.errors == ()
    assert examination.fingerprint is not None
    assert examination.spec is not None
    plan = make_plan(examination.fingerprint)
    ct, pet = names.index("CT"), names.index("PET")
    assert [plan.normalization.kinds[channel] for channel in (ct, pet)] == ["fixed", "standard"]
    assert (plan.normalization.mean, plan.normalization.std) == ((50.0,), (10.0,))
    assert plan.normalization.clip == ((40.0, 60.0),)
    assert f"CT (channel {ct}): " in plan.reasons["normalization"]
    for pair in pairs:
        image, _ = read_pair(pair, examination.spec)
        seen = normalize(image, plan.normalization)
        assert np.unique(seen[ct]).tolist() == [-1.0, 1.0]  # air is clipped to the least tissue, in every scan alike
        assert np.array_equal(seen[pet], normalize(replace(image, pixels=image.pixels[[pet]]), Normalization())[0])
