import pytest

from segue.augment.compose import LEANING, AugmentConfig, Parameters, default_augmentation, draw, rng_for
from segue.augment.geometry import identity
from segue.augment.intensity import Intensity
from segue.errors import UsageError


def drawn_for(seed, step, sample, axes=2) -> Parameters:
    return draw(rng_for(seed, step=step, sample=sample), AugmentConfig(), spatial_axes=axes, channels=1)


def test_a_sample_depends_on_seed_step_and_sample_alone_in_whatever_order_it_is_drawn():
    places = [(seed, step, sample) for seed in (0, 1) for step in range(5) for sample in range(4)]
    forwards = {place: drawn_for(*place) for place in places}
    backwards = {place: drawn_for(*place) for place in reversed(places)}
    assert forwards == backwards


def test_all_samples_differ():
    numbers = {
        rng_for(seed, step=step, sample=sample).random()
        for seed in (0, 1)
        for step in range(20)
        for sample in range(20)
    }
    assert len(numbers) == 2 * 20 * 20


@pytest.mark.parametrize("axes", [2, 3])
def test_strength_0_draws_the_identity(axes):
    for step in range(30):
        parameters = draw(rng_for(0, step=step, sample=0), AugmentConfig(strength=0), spatial_axes=axes, channels=3)
        assert parameters.geometry == identity(axes)
        assert parameters.elastic is None
        assert parameters.intensity == Intensity()


def test_a_256_pixel_patch_gets_the_papers_10_pixels_and_smaller_ones_less():
    assert default_augmentation((256, 256)).elastic.std == 10
    assert default_augmentation((40, 56, 40)).elastic.std == pytest.approx(28 * 10 / 128)


def test_only_colour_images_get_colour_and_thick_slices_no_tilt():
    assert default_augmentation((64, 64)).intensity.colour_chance == 0
    assert default_augmentation((64, 64), rgb=True).intensity.colour_chance > 0
    assert default_augmentation((16, 64, 64), spacing=(5, 1, 1)).geometry.tilt == 0
    assert default_augmentation((16, 64, 64), spacing=(2, 1, 1)).geometry.tilt > 0


def test_a_negative_strength_is_refused():
    with pytest.raises(UsageError, match="strength = -1 cannot be used; give 0 or more"):
        AugmentConfig(strength=-1)


def test_what_lies_the_same_way_round_is_not_mirrored_there_and_hardly_turned():
    upright = default_augmentation((40, 56, 40), oriented=(True, True, False)).geometry
    assert upright.oriented == (True, True, False)
    assert (upright.quarter_turns, upright.rotation) == (False, LEANING)
    slices = default_augmentation((40, 56, 40), oriented=(True, False, False)).geometry
    assert slices.oriented == (True, False, False)
    assert (slices.quarter_turns, slices.rotation) == (True, 180)  # turns of a slice keep its place
    assert default_augmentation((64, 64), oriented=(False, False)) == default_augmentation((64, 64))
