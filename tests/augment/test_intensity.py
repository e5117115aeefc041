import numpy as np
import pytest
import torch
from scipy import ndimage

from segue.augment.intensity import Intensity, IntensityConfig, apply_intensity, draw_intensity
from segue.errors import UsageError

ALL = IntensityConfig(
    blur_chance=1,
    low_resolution_chance=1,
    gamma_chance=1,
    contrast_chance=1,
    brightness_chance=1,
    noise_chance=1,
    colour_chance=1,
)


def patch(*shape, seed=0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_the_defaults_change_nothing():
    image = patch(2, 9, 8)
    assert torch.equal(apply_intensity(image, Intensity()), image)


@pytest.mark.parametrize("shape", [(1, 30, 32), (3, 16, 16), (2, 6, 9, 8), (1, 1, 20), (1, 1, 1), (2, 1, 9, 9)])
def test_replaying_the_drawn_numbers_gives_the_same_patch_and_leaves_the_input(shape):
    image = patch(*shape)
    before = image.clone()
    drawn = draw_intensity(np.random.default_rng(1), ALL, channels=shape[0])
    once, again = apply_intensity(image, drawn), apply_intensity(image, drawn)
    assert torch.equal(once, again)
    assert torch.equal(image, before)
    assert once.shape == image.shape
    assert once.dtype == torch.float32
    assert torch.isfinite(once).all()


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("shape", [(40, 31), (12, 20, 9), (1, 25)])
def test_the_blur_is_a_mirrored_gaussian(sigma, shape):
    image = patch(2, *shape)
    blurred = apply_intensity(image, Intensity(blur=sigma)).numpy()
    sigmas = [0 if length == 1 else sigma for length in shape]
    radius = [0 if length == 1 else int(np.ceil(3 * sigma)) for length in shape]
    for channel, result in zip(image.numpy().astype(float), blurred, strict=True):
        np.testing.assert_allclose(
            result, ndimage.gaussian_filter(channel, sigmas, mode="mirror", radius=radius), atol=1e-5
        )


def test_contrast_and_brightness_are_those_of_each_channel():
    image = patch(2, 5, 5)
    changed = apply_intensity(image, Intensity(contrast=(2.0, 0.5), brightness=(1.0, -1.0)))
    assert torch.equal(changed[0], image[0] * 2 + 1)
    assert torch.equal(changed[1], image[1] * 0.5 - 1)


@pytest.mark.parametrize("negative", [False, True])
def test_a_gamma_curve_keeps_order_and_both_ends(negative):
    image = patch(1, 20, 20)
    changed = apply_intensity(image, Intensity(gamma=1.7, negative=negative))
    order = image.flatten().argsort()
    assert (changed.flatten()[order].diff() >= 0).all()
    assert changed.min() == pytest.approx(image.min())
    assert changed.max() == pytest.approx(image.max())


def test_a_gamma_curve_is_the_power_of_the_relative_value():
    image = torch.tensor([[[0.0, 1.0, 2.0, 4.0]]])
    changed = apply_intensity(image, Intensity(gamma=2.0))
    assert changed[0, 0].tolist() == [0, 0.25, 1, 4]
    changed = apply_intensity(image, Intensity(gamma=2.0, negative=True))
    assert changed[0, 0].tolist() == [0, 1.75, 3, 4]


def test_the_colour_matrix_mixes_the_channels():
    image = patch(3, 4, 4)
    mixed = apply_intensity(image, Intensity(colour=((0, 1, 0), (0, 0, 2), (1, 0, 0))))
    torch.testing.assert_close(mixed, torch.stack([image[1], 2 * image[2], image[0]]))


def test_noise_has_its_standard_deviation_and_differs_between_channels():
    noise = apply_intensity(torch.zeros(2, 200, 200), Intensity(noise=0.3, noise_seed=4))
    assert abs(noise.std().item() - 0.3) < 0.005
    assert abs(noise.mean().item()) < 0.005
    assert not torch.equal(noise[0], noise[1])


def test_a_coarse_image_loses_its_fine_structure_and_keeps_its_size_and_mean():
    image = patch(1, 64, 64)
    coarse = apply_intensity(image, Intensity(low_resolution=2.0))
    assert coarse.shape == image.shape
    assert coarse.std() < 0.8 * image.std()
    assert abs(coarse.mean() - image.mean()) < 0.05


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (2, 4, 5, 6)])
def test_a_constant_patch_stays_constant_without_noise(shape):
    drawn = draw_intensity(np.random.default_rng(3), ALL, channels=shape[0])
    without = Intensity(**{**{name: getattr(drawn, name) for name in drawn.__dataclass_fields__}, "noise": 0.0})
    changed = apply_intensity(torch.full(shape, 0.7), without)
    for channel in changed:
        assert (channel.max() - channel.min()).item() < 1e-5


def test_strength_0_draws_nothing_and_strength_widens_the_ranges():
    assert draw_intensity(np.random.default_rng(0), ALL, channels=3, strength=0) == Intensity()
    for seed in range(50):
        weak = draw_intensity(np.random.default_rng(seed), ALL, channels=1, strength=0.5)
        assert weak.blur <= 0.5 * ALL.blur
        assert weak.noise <= 0.5 * ALL.noise
        assert ALL.gamma**-0.5 <= weak.gamma <= ALL.gamma**0.5


def test_a_single_channel_has_no_colour():
    assert draw_intensity(np.random.default_rng(0), ALL, channels=1).colour == ()


def test_settings_without_meaning_are_refused():
    with pytest.raises(UsageError, match=r"gamma = 0\.5 cannot be used; give 1 or more"):
        IntensityConfig(gamma=0.5)
    with pytest.raises(UsageError, match=r"noise_chance = 1\.5 is no probability"):
        IntensityConfig(noise_chance=1.5)
