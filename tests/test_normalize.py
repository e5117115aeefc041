from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from segue import normalize as rules
from segue.arrays import Image
from segue.errors import ImageError, UsageError
from segue.normalize import FENCE_WIDTH, Normalization, measure, measure_values, normalize, rescale


def image_of(*channels, is_rgb=False, name="a.tif") -> Image:
    return Image(pixels=np.array(channels, np.float32), is_rgb=is_rgb, name=name)


def noise(*shape, seed=0, mean=100.0, std=7.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(mean, std, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 40, 50), (1, 9, 20, 30)])
def test_standard_gives_every_channel_mean_0_and_deviation_1(shape):
    result = normalize(Image(pixels=noise(*shape)), Normalization())
    assert result.dtype == np.float32
    assert result.shape == shape
    for channel in result:
        assert abs(channel.mean(dtype=np.float64)) < 1e-6
        assert abs(channel.std(dtype=np.float64) - 1) < 1e-6


def test_standard_of_four_numbers_is_as_computed_by_hand():
    result = normalize(image_of([[1, 2], [3, 4]]), Normalization())  # mean 2.5, variance 1.25
    np.testing.assert_allclose(result[0], (np.array([[1, 2], [3, 4]]) - 2.5) / np.sqrt(1.25), rtol=1e-6)


def test_colour_channels_share_one_scale_unless_asked_otherwise():
    red, green, blue = noise(16, 16), noise(16, 16, mean=50), noise(16, 16, std=1)
    image = image_of(red, green, blue, is_rgb=True)
    jointly = normalize(image, Normalization())
    ratio = (jointly[0] - jointly[1]) / (red - green)
    assert np.ptp(ratio) < 1e-5
    assert abs(jointly.mean(dtype=np.float64)) < 1e-6
    each = normalize(image, Normalization(rgb_jointly=False))
    np.testing.assert_allclose(each.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_array_equal(each, normalize(image_of(red, green, blue), Normalization()))


@pytest.mark.parametrize("kind", ["standard", "percentile"])
@pytest.mark.parametrize("value", [0.0, 0.1, 7.3e-12, -3e38, 65535.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (2, 8, 9), (1, 3, 4, 5)])
def test_a_constant_channel_becomes_0(kind, value, shape):
    result = normalize(Image(pixels=np.full(shape, value, np.float32)), Normalization(kind=kind))
    assert (result == 0).all()


@pytest.mark.parametrize("kind", ["standard", "percentile", "none"])
def test_an_image_without_pixels_stays_without_pixels(kind):
    result = normalize(Image(pixels=np.zeros((1, 0, 5), np.float32)), Normalization(kind=kind))
    assert result.shape == (1, 0, 5)


@pytest.mark.parametrize("kind", ["standard", "percentile"])
@pytest.mark.parametrize("wild", [1e30, -1e30, 3.4e38])
def test_one_wild_pixel_hardly_changes_the_others(kind, wild):
    clean = noise(1, 100, 100)
    spoilt = clean.copy()
    spoilt[0, 50, 50] = wild
    others = np.ones(clean.shape, bool)
    others[0, 50, 50] = False
    before, after = (normalize(Image(pixels=pixels), Normalization(kind=kind)) for pixels in (clean, spoilt))
    assert np.isfinite(after).all()
    assert np.abs(after).max() < 100
    # one pixel of 10,000 at the fence, about 65 deviations away, raises the variance by 0.42
    np.testing.assert_allclose(after[others], before[others] / (1.19 if kind == "standard" else 1), atol=0.05)


def test_the_fence_lies_ten_percentile_ranges_outside_the_percentiles():
    pixels = np.arange(1001, dtype=np.float32)  # 0.1 and 99.9 percentile are 1 and 999 by rank
    pixels[1000] = 1e9
    scaling = measure(image_of(pixels.reshape(7, 143)), Normalization())
    assert scaling.low == (1 - FENCE_WIDTH * 998,)
    assert scaling.high == (999 + FENCE_WIDTH * 998,)


def test_sparse_bright_cells_on_an_even_background_are_kept():
    pixels = np.zeros((1, 100, 100), np.float32)
    pixels[0, 3, :5] = 1.0  # 0.05 % of the pixels
    result = normalize(Image(pixels=pixels), Normalization())
    assert result[0, 3, 0] > 20 * abs(result[0, 50, 50])


def test_percentiles_become_minus_1_and_1():
    pixels = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    result = normalize(Image(pixels=pixels), Normalization(kind="percentile", low=10, high=90))
    np.testing.assert_allclose(result[0, 0, [10, 50, 90]], [-1, 0, 1], atol=1e-6)


def test_percentile_of_a_mostly_constant_image_spans_its_least_and_greatest_value():
    pixels = np.zeros((1, 40, 50), np.float32)
    pixels[0, 0, 0] = 8
    result = normalize(Image(pixels=pixels), Normalization(kind="percentile"))
    assert result[0, 0, 0] == 1
    assert result[0, 1, 1] == -1


def test_fixed_uses_the_numbers_of_the_data_set_and_clips_first():
    config = Normalization(kind="fixed", mean=(40.0,), std=(10.0,), clip=((0.0, 100.0),))
    result = normalize(image_of([[-1000, 0, 50, 1e30]]), config)
    np.testing.assert_allclose(result[0, 0], [-4, -4, 1, 6])


def test_fixed_numbers_of_several_channels_belong_to_their_channels():
    config = Normalization(kind="fixed", mean=(1.0, 2.0), std=(1.0, 4.0))
    result = normalize(image_of([[2.0]], [[6.0]]), config)
    assert result.ravel().tolist() == [1.0, 1.0]
    with pytest.raises(ImageError, match=r"a\.tif has 3 channels, but the normalisation holds mean for 2"):
        normalize(image_of([[2.0]], [[6.0]], [[1.0]]), config)


CT_AND_PET = Normalization(kinds=("fixed", "standard"), mean=(40.0,), std=(10.0,), clip=((0.0, 100.0),))


def test_two_channels_of_two_kinds_are_as_computed_by_hand():
    result = normalize(image_of([[-1000, 0, 50, 1e30]], [[1, 2, 3, 4]]), CT_AND_PET)
    np.testing.assert_allclose(result[0, 0], [-4, -4, 1, 6])
    np.testing.assert_allclose(result[1, 0], (np.array([1, 2, 3, 4]) - 2.5) / np.sqrt(1.25), rtol=1e-6)


def alone(kind, place) -> Normalization:
    """For one channel: that of `kind`, the "fixed" one at `place` among its like."""
    if kind != "fixed":
        return Normalization(kind=kind)
    return Normalization(kind=kind, mean=(10.0 * place,), std=(place + 1.0,), clip=((-50.0 * place, 99.0),))


@pytest.mark.parametrize(
    "kinds",
    [
        ("fixed", "standard"),
        ("standard", "fixed"),
        ("none", "percentile", "standard"),
        ("fixed", "none", "fixed", "percentile", "fixed"),
        ("fixed", "fixed"),
        ("percentile",),
    ],
)
def test_each_channel_becomes_what_it_becomes_alone_with_its_kind(kinds):
    pixels = np.random.default_rng(0).normal(50, 40, (len(kinds), 30, 40)).astype(np.float32)
    places = [kinds[:number].count("fixed") for number in range(len(kinds))]
    of_fixed = [alone("fixed", place) for place in range(kinds.count("fixed"))]
    config = Normalization(
        kinds=kinds,
        mean=tuple(one.mean[0] for one in of_fixed),
        std=tuple(one.std[0] for one in of_fixed),
        clip=tuple(one.clip[0] for one in of_fixed),
    )
    result = normalize(Image(pixels=pixels), config)
    for channel, pixels_of_one, kind, place in zip(result, pixels, kinds, places, strict=True):
        assert np.array_equal(channel[None], normalize(Image(pixels=pixels_of_one[None]), alone(kind, place)))


def test_one_number_serves_all_fixed_channels():
    one = Normalization(kinds=("fixed", "none", "fixed"), mean=(1.0,), std=(4.0,))
    each = replace(one, mean=(1.0, 1.0), std=(4.0, 4.0))
    image = image_of([[9.0]], [[9.0]], [[5.0]])
    assert normalize(image, one).ravel().tolist() == [2.0, 9.0, 1.0]
    assert measure(image, one) == measure(image, each)


@pytest.mark.parametrize("kind", ["standard", "percentile", "none"])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_one_kind_named_for_each_channel_is_that_kind_for_all(kind, is_rgb):
    image = Image(pixels=noise(3, 20, 30), is_rgb=is_rgb)
    assert measure(image, Normalization(kinds=(kind,) * 3)) == measure(image, Normalization(kind=kind))


def test_colours_are_of_one_kind_unless_each_is_measured_by_itself():
    config = Normalization(kinds=("none", "none", "standard"))
    colours = image_of([[1, 2]], [[3, 4]], [[5, 7]], is_rgb=True)
    with pytest.raises(ImageError, match=r"a\.tif: its red, .* 'standard'\] differ; .* write rgb_jointly = false"):
        normalize(colours, config)
    assert normalize(colours, replace(config, rgb_jointly=False)).tolist() == [[[1, 2]], [[3, 4]], [[-1, 1]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_as_many_channels_as_kinds_are_needed(channels):
    message = rf"a\.tif has {channels} channels, but the normalisation holds kinds for 2; give one for each channel"
    with pytest.raises(ImageError, match=message):
        normalize(image_of(*[[[1.0, 2.0]]] * channels), CT_AND_PET)


def test_none_changes_nothing():
    pixels = noise(2, 5, 6)
    np.testing.assert_array_equal(normalize(Image(pixels=pixels), Normalization(kind="none")), pixels)


@pytest.mark.parametrize("config", [Normalization(), Normalization(kind="percentile"), CT_AND_PET])
def test_a_part_rescaled_with_the_whole_images_statistics_equals_that_part_of_the_whole(config):
    image = Image(pixels=noise(2, 700, 800))
    scaling = measure(image, config)
    whole = normalize(image, config)
    np.testing.assert_array_equal(rescale(image.pixels[:, 31:97, 5:400], scaling), whole[:, 31:97, 5:400])


def test_a_large_offset_costs_no_precision():
    coarse = (np.round(noise(1, 64, 64, mean=0, std=1) * 64) / 64).astype(np.float32)
    moved = normalize(Image(pixels=coarse + np.float32(60000)), Normalization())
    straight = normalize(Image(pixels=coarse), Normalization())
    np.testing.assert_allclose(moved, straight, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_is_refused_with_the_images_name(bad):
    pixels = noise(1, 8, 8)
    pixels[0, 1, 1] = bad
    with pytest.raises(ImageError, match=r"a\.tif: 1 of 64 pixels are NaN or infinite; replace them"):
        normalize(Image(pixels=pixels, name="a.tif"), Normalization(kind="none"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "magic"}, "'magic' is unknown; choose one of standard, percentile, fixed, none"),
        ({"low": 60, "high": 40}, "low = 60 and high = 40 span nothing"),
        ({"low": -1}, "span nothing"),
        ({"kind": "fixed"}, r"needs mean and std, but mean = \[\] and std = \[\]; give one number"),
        ({"kinds": ("standard", "magic")}, "'magic' is unknown; choose one of standard, percentile, fixed, none"),
        ({"kinds": ("standard", "fixed")}, "needs mean and std"),
        ({"kinds": ("standard", "fixed"), "mean": (1.0,)}, r"mean = \[1.0\] and std = \[\]; give one number"),
        (
            {"kinds": ("fixed", "standard"), "mean": (1.0, 0.0), "std": (1.0,)},
            r"mean = \[1.0, 0.0\] is for 2 channels, but kinds = \['fixed', 'standard'\] has 1 \"fixed\"; give",
        ),
        (
            {"kinds": ("fixed",) * 3, "mean": (1.0,), "std": (1.0,), "clip": ((0.0, 1.0), (0.0, 2.0))},
            r"clip = .* is for 2 channels, but kinds = .* has 3 \"fixed\"; .* or one for all of them",
        ),
        ({"kinds": ("fixed",), "mean": (0.0,), "std": (0.0,)}, "not positive"),
        ({"kind": "fixed", "mean": (0.0,), "std": (0.0,)}, "not positive"),
        ({"kind": "fixed", "mean": (np.nan,), "std": (1.0,)}, "not finite"),
        ({"kind": "fixed", "mean": (0.0,), "std": (1.0,), "clip": ((2.0, 1.0),)}, "no finite range"),
        ({"kind": "fixed", "mean": (0.0,), "std": (1.0,), "clip": ((0.0, np.inf),)}, "no finite range; .* however far"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Normalization(**settings)


VALUES = {
    "bytes": lambda rng: rng.integers(0, 255, 5000),
    "both signs": lambda rng: rng.normal(size=5000),
    "tiny and huge": lambda rng: rng.normal(size=5000) * 10.0 ** rng.integers(-40, 38, 5000),
    "all equal": lambda rng: np.full(5000, -3.5),
    "zeros of both signs": lambda rng: rng.choice([-0.0, 0.0, 1.0, -1.0], 5000),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("percentiles", [(0.1, 99.9), (0, 100), (1, 99.8), (49, 51)])
def test_percentiles_counted_in_parts_are_those_of_all_values_sorted(name, percentiles, monkeypatch):
    values = VALUES[name](np.random.default_rng(0)).astype(np.float32)
    whole = rules._inner_percentiles(values, *percentiles)
    monkeypatch.setattr(rules, "_BLOCK", 700)
    assert rules._inner_percentiles(values, *percentiles) == whole
    ordered = np.sort(values)
    ranks = int(np.ceil(percentiles[0] / 100 * 4999)), int(np.floor(percentiles[1] / 100 * 4999))
    assert whole == tuple(ordered[list(ranks)])


@pytest.mark.parametrize(
    ("config", "is_rgb"),
    [(Normalization(kind=kind), is_rgb) for kind in ("standard", "percentile", "none") for is_rgb in (False, True)]
    + [(Normalization(kinds=("fixed", "standard", "percentile"), mean=(40.0,), std=(10.0,)), False)],
)
def test_what_is_measured_from_parts_is_what_is_measured_from_the_whole(config, is_rgb, monkeypatch):
    pixels = np.random.default_rng(0).gamma(2, 50, (3, 40, 50)).astype(np.float32)
    asked = []

    class Kept:
        size = pixels.size

        def __getitem__(self, part):
            found = pixels.reshape(-1)[part]
            asked.append(found.size)
            return found

    monkeypatch.setattr(rules, "_BLOCK", 700)
    found = measure_values(Kept(), channels=3, is_rgb=is_rgb, config=config)
    assert found == measure(Image(pixels=pixels, is_rgb=is_rgb), config)
    assert max(asked) <= 700
