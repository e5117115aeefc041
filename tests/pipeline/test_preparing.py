from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import Image, Space
from segue.errors import DatasetError
from segue.fingerprint import examine
from segue.io.datasets import find_pairs, read_pair
from segue.io.images import write_image, write_labels
from segue.io.labels import LabelSpec
from segue.normalize import normalize
from segue.pipeline.fitting import fit
from segue.pipeline.preparing import examined, prepare
from segue.pipeline.wishes import FitConfig
from segue.plan import make_plan
from segue.resample import resample_labels, resample_values, with_pixel_size

SIZES = {"a": 0.1, "b": 0.1, "c": 0.2, "d": 0.05, "e": None}
CLASSES = LabelSpec(kind="classes", values={0: 0, 1: 1})


def write_set(folder, sizes=SIZES, *, axes=2, toml=""):
    """Images of discs with the same width in micrometres whatever the pixels; e does not say its pixel size."""
    for number, (name, size) in enumerate(sizes.items()):
        shape = (round(4.8 / (size or 0.1)),) * 2
        y, x = np.indices(shape)
        disc = ((y % (shape[0] // 2) - shape[0] // 4) ** 2 + (x % (shape[0] // 2) - shape[0] // 4) ** 2) * (
            size or 0.1
        ) ** 2 < 0.8**2
        ids = disc.astype(np.int32)
        if axes == 3:
            ids = np.stack([ids] * 6)
        noise = np.random.default_rng(number).normal(0, 10, ids.shape)
        space = Space(pixel_size=(0.3, size, size)[-axes:], unit="micrometer") if size else Space()
        write_image(
            folder / "images" / f"{name}.tif", Image(pixels=(100 * ids + noise)[None].astype(np.float32), space=space)
        )
        write_labels(folder / "masks" / f"{name}.tif", ids, space=space)
    (folder / "dataset.toml").write_text('labels = "classes"\n' + toml)
    return folder


def plan_for(folder):
    fingerprint = examine(find_pairs(folder)).fingerprint
    assert fingerprint is not None
    return make_plan(fingerprint)


def prepared(folder, plan, *, learn=(), judge=()):
    return prepare(find_pairs(folder), learn, judge, plan, CLASSES, lambda done, total: None)


WHOLE = [(number, None) for number in range(len(SIZES))]


def test_a_mixed_set_is_trained_at_its_median_pixel_size(tmp_path):
    plan = plan_for(write_set(tmp_path))
    assert plan.pixel_size == pytest.approx((0.1, 0.1))
    assert plan.unit == "micrometer"
    assert plan.reasons["pixel_size"].startswith("images have 0.05 to 0.2 micrometer; trained at 0.1 micrometer")
    assert "1 image says no size" in plan.reasons["pixel_size"]
    examples, _ = prepared(tmp_path, plan, learn=WHOLE)
    assert [example.sources.labels.shape for example in examples] == [(48, 48)] * 5


def test_an_example_is_the_resampled_image_normalised_with_resampled_labels(tmp_path):
    plan = plan_for(write_set(tmp_path))
    image, labels = read_pair(find_pairs(tmp_path)[2], CLASSES)
    (example,), _ = prepared(tmp_path, plan, learn=[(2, None)])
    seen = with_pixel_size(image, plan.working)
    assert (example.sources.image == normalize(seen, plan.normalization)).all()
    assert (example.sources.labels == resample_labels(labels, (48, 48)).ids).all()
    assert example.spacing == (1.0, 1.0)


def test_without_a_pixel_size_in_the_plan_every_image_is_taken_as_it_is(tmp_path):
    plan = replace(plan_for(write_set(tmp_path)), pixel_size=None)
    examples, judged = prepared(tmp_path, plan, learn=WHOLE, judge=WHOLE)
    assert [example.sources.labels.shape[0] for example in examples] == [48, 48, 24, 96, 48]
    assert [one.pixels.shape[1] for one in judged] == [48, 48, 24, 96, 48]


def test_the_truth_that_judges_keeps_the_pixels_of_its_image(tmp_path):
    plan = plan_for(write_set(tmp_path))
    _, judged = prepared(tmp_path, plan, judge=WHOLE)
    assert [one.pixels.shape[1:] for one in judged] == [(48, 48)] * 5
    assert [one.labels.ids.shape[0] for one in judged] == [48, 48, 24, 96, 48]


def test_parts_to_learn_and_parts_to_judge_do_not_share_a_pixel(tmp_path):
    plan = plan_for(write_set(tmp_path))
    learn, judge = (slice(0, 61), slice(None)), (slice(61, 96), slice(None))
    (example,), (one,) = prepared(tmp_path, plan, learn=[(3, learn)], judge=[(3, judge)])
    assert example.sources.labels.shape == (30, 48)  # 61 rows are 30 whole ones
    assert one.labels.ids.shape == (35, 96)
    assert one.pixels.shape == (1, 18, 48)
    assert one.labels.ids.base is None  # the whole is not kept in memory
    image, _ = read_pair(find_pairs(tmp_path)[3], CLASSES)
    whole = normalize(with_pixel_size(image, plan.working), plan.normalization)
    # The part has the scale of the whole image, not one of its own.
    own = resample_values(image.pixels[:, 61:], (18, 48))
    slope = np.ptp(whole) / np.ptp(with_pixel_size(image, plan.working).pixels)
    assert np.ptp(one.pixels) == pytest.approx(np.ptp(own) * slope, rel=1e-4)


def test_volumes_are_resampled_along_the_axes_that_differ_alone(tmp_path):
    sizes = {"a": 0.1, "b": 0.1, "c": 0.2}
    plan = plan_for(write_set(tmp_path, sizes, axes=3))
    assert plan.pixel_size == pytest.approx((0.3, 0.1, 0.1))
    examples, _ = prepared(tmp_path, plan, learn=[(number, None) for number in range(3)])
    assert [example.sources.labels.shape for example in examples] == [(6, 48, 48)] * 3
    assert {example.spacing for example in examples} == {(3.0, 1.0, 1.0)}


def test_images_that_say_no_size_are_taken_to_have_the_proportions_of_the_others(tmp_path):
    plan = plan_for(write_set(tmp_path, {"a": 0.1, "b": 0.1, "c": None}, axes=3))
    examples, _ = prepared(tmp_path, plan, learn=[(2, None)])
    assert examples[0].spacing == (3.0, 1.0, 1.0)


def test_pixel_sizes_can_be_given_by_name(tmp_path):
    told = '[pixel_sizes]\n"c*" = [0.2, 0.2]\n"d" = [0.05, 0.05]\n"*" = [0.1, 0.1]\n'
    folder = write_set(tmp_path, toml=told)
    plan = plan_for(folder)
    assert plan.pixel_size == (0.1, 0.1)
    assert "say no size" not in plan.reasons["pixel_size"]


def test_a_wild_pixel_size_stops_a_training_before_it_begins(tmp_path):
    folder = write_set(tmp_path, toml='[pixel_sizes]\n"c*" = [2.0, 2.0]\n')
    with pytest.raises(DatasetError, match=r"more than 12 times larger or smaller.*2 micrometer, median 0\.1 microm"):
        examined(find_pairs(folder), lambda examination: None)


def test_a_model_of_a_mixed_set_keeps_its_pixel_size_and_is_judged_on_the_images_pixels(tmp_path, tiny_plan):
    folder = write_set(tmp_path)
    model = fit(folder, config=FitConfig(steps=2, plan=tiny_plan(folder, validation_fraction=0.5)))
    assert model.header.pixel_size == pytest.approx((0.1, 0.1))
    assert model.header.unit == "micrometer"
    for pair in find_pairs(folder):
        image, labels = read_pair(pair, CLASSES)
        assert model.labels(image).ids.shape == labels.ids.shape
    assert model.header.training["validation"]["images"] > 0
