import numpy as np
import pytest
import torch

from segue.arrays import IGNORE, Labels
from segue.augment.compose import AugmentConfig
from segue.augment.elastic import ElasticConfig
from segue.augment.geometry import GeometryConfig
from segue.augment.intensity import IntensityConfig
from segue.errors import DataError
from segue.targets.prepare import TargetConfig
from segue.train.batches import PatchBatches
from segue.train.examples import make_example
from segue.train.settings import BatchConfig

AS_THEY_ARE = AugmentConfig(strength=0)


def numbered(shape, channels=1, first=0):
    """An image whose every pixel has a value of its own."""
    count = channels * int(np.prod(shape))
    return np.arange(first, first + count, dtype=np.float32).reshape(channels, *shape)


def example_of(ids, *, pixels=None, kind="classes", config=None, spacing=None):
    labels = Labels(ids=np.asarray(ids, np.int32), kind=kind)
    pixels = numbered(labels.shape) if pixels is None else pixels
    return make_example(pixels, labels, config or TargetConfig(w0=0.0), seed=0, spacing=spacing)


def batches_of(
    examples, *, patch=(8, 8), batch=4, foreground=0.0, margin=None, augment=AS_THEY_ARE, seed=0, samples=None
):
    return PatchBatches(
        examples,
        BatchConfig(patch=patch, batch=batch, foreground=foreground),
        augment=augment,
        seed=seed,
        margin=margin or (0,) * len(patch),
        dtype=torch.float32,
        samples=samples,
    )


def parts_of(batch):
    return (batch.image, batch.target, batch.weights, *([] if batch.maps is None else [batch.maps]))


def disc_example(seed=0):
    y, x = np.mgrid[:40, :50]
    ids = ((y - 20) ** 2 + (x - 20) ** 2 < 100) + 2 * ((y - 20) ** 2 + (x - 41) ** 2 < 64)
    pixels = np.random.default_rng(seed).normal(size=(2, 40, 50)).astype(np.float32)
    return example_of(ids, pixels=pixels, kind="objects", config=TargetConfig(distance=True))


def test_a_batch_is_a_function_of_seed_and_step_alone():
    first = batches_of([disc_example(), disc_example(1)], augment=AugmentConfig(), foreground=0.5)
    second = batches_of([disc_example(), disc_example(1)], augment=AugmentConfig(), foreground=0.5)
    forwards = [parts_of(first.batch(step)) for step in range(4)]
    backwards = [parts_of(second.batch(step)) for step in reversed(range(4))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(parts_of(first.batch(2)), forwards[2], strict=True))
    assert not torch.equal(forwards[0][0], forwards[1][0])


def test_another_seed_gives_other_batches():
    examples = [disc_example()]
    assert not torch.equal(batches_of(examples, seed=1).batch(0).image, batches_of(examples, seed=2).batch(0).image)


def test_a_batch_has_the_shapes_and_types_that_the_loop_wants():
    batch = batches_of([disc_example()], patch=(16, 24), batch=3, margin=(4, 5), augment=AugmentConfig()).batch(0)
    assert batch.image.shape == (3, 2, 16, 24)
    assert batch.target.shape == batch.weights.shape == (3, 8, 14)
    assert batch.maps.shape == (3, 1, 8, 14)
    assert (batch.image.dtype, batch.target.dtype) == (torch.float32, torch.int64)
    assert (batch.weights.dtype, batch.maps.dtype) == (torch.float32, torch.float32)
    assert batch.maps.is_contiguous()


def test_without_auxiliary_maps_there_are_none():
    assert batches_of([example_of(np.zeros((9, 9)))]).batch(0).maps is None


@pytest.mark.parametrize("shape", [(20, 30), (7, 9, 11)])
def test_unchanged_patches_are_cut_out_of_the_image_with_their_labels(shape):
    ids = numbered(shape)[0] % 2
    patch = (5, 6, 7)[-len(shape) :]
    batches = batches_of([example_of(ids)], patch=patch, batch=8)
    corners = set()
    for image, target in zip(*parts_of(batches.batch(0))[:2], strict=True):
        corner = np.unravel_index(int(image.min()), shape)
        window = tuple(slice(start, start + size) for start, size in zip(corner, patch, strict=True))
        assert (image[0].numpy() == numbered(shape)[0][window]).all()
        assert (target.numpy() == ids[window]).all()
        corners.add(corner)
    assert len(corners) > 1


def test_the_target_of_a_network_with_valid_convolutions_is_the_centre_of_its_patch():
    ids = numbered((40, 40))[0] % 2
    batch = batches_of([example_of(ids)], patch=(20, 16), margin=(6, 4), batch=8).batch(0)
    assert batch.image.shape[2:] == (20, 16)
    assert torch.equal(batch.target, batch.image[:, 0, 6:14, 4:12].long() % 2)


def test_the_centres_of_such_patches_reach_every_edge_of_the_image_and_never_leave_it():
    shape, margin = (12, 14), 3
    batches = batches_of([example_of(np.zeros(shape))], patch=(10, 10), margin=(margin, margin), batch=64)
    seen = batches.batch(0).image[:, 0, margin:-margin, margin:-margin]  # 4x4 px, at any of 9 x 11 places
    places = np.unravel_index(seen.numpy().astype(int), shape)
    assert {int(place.min()) for place in places} == {0}
    assert [int(place.max()) for place in places] == [11, 13]
    for one in seen:
        assert len(np.unique(one)) == 16  # nothing is mirrored


def test_small_images_are_mirrored_around():
    shape, size = (5, 3), 8
    pixels = numbered(shape)
    batch = batches_of([example_of(np.zeros(shape), pixels=pixels)], patch=(size, size), batch=32).batch(0)
    around = np.pad(pixels[0], size, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, (size, size)).reshape(-1, size, size)
    for image in batch.image.numpy():
        assert (windows == image[0]).all(axis=(1, 2)).any()
        assert len(np.unique(image)) == 15  # the whole image is in it


def test_a_single_pixel_fills_its_patches():
    batch = batches_of([example_of([[1]], pixels=np.full((1, 1, 1), 7, np.float32))], foreground=1.0).batch(0)
    assert (batch.image == 7).all()
    assert (batch.target == 1).all()


def test_patches_are_taken_where_somebody_annotated():
    ids = np.full((100, 100), IGNORE)
    ids[70:73, 20:23] = 0
    batches = batches_of([example_of(ids)], patch=(8, 8), batch=32)
    known = batches.batch(0).target != IGNORE
    assert known.flatten(1).any(dim=1).all()
    assert (batches.batch(0).weights[~known] == 0).all()


def test_the_wanted_share_of_patches_shows_the_rare_class():
    ids = np.zeros((200, 200))
    ids[100, 60] = 1  # by chance 1 of 600 patches of 8x8 shows it
    targets = batches_of([example_of(ids)], foreground=0.4, batch=500).batch(0).target
    share = (targets == 1).flatten(1).any(dim=1).double().mean().item()
    assert share == pytest.approx(0.4, abs=0.07)  # three standard deviations


def test_the_rare_pixel_lies_anywhere_in_the_part_that_is_answered_for():
    ids = np.zeros((60, 60))
    ids[30, 30] = 1
    batch = batches_of([example_of(ids)], patch=(12, 12), margin=(4, 4), foreground=1.0, batch=200).batch(0)
    assert (batch.target.flatten(1).sum(dim=1) == 1).all()
    assert ((batch.target.sum(dim=0)) > 0).all()  # at each of the 4x4 places sometimes


def test_all_rare_classes_are_chosen_alike():
    ids = np.zeros((100, 100))
    ids[20:40, 20:40] = 1
    ids[80, 80] = 2
    labels = Labels(ids=ids.astype(np.int32), kind="classes", classes=("a", "b", "c"))
    example = make_example(numbered((100, 100)), labels, TargetConfig(w0=0.0), seed=0)
    target = batches_of([example], foreground=1.0, batch=400, patch=(4, 4)).batch(0).target
    share = (target == 2).flatten(1).any(dim=1).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.08)


def test_large_images_are_chosen_more_often_but_not_in_proportion():
    small, large = (
        example_of(np.zeros(shape), pixels=numbered(shape, first=first))
        for shape, first in (((10, 10), 0), ((30, 30), 1000))
    )
    images = batches_of([small, large], patch=(4, 4), batch=600).batch(0).image
    share = (images >= 1000).flatten(1).all(dim=1).double().mean().item()
    assert share == pytest.approx(3 / 4, abs=0.06)  # square root of 900 : 100


def test_a_volume_of_thick_slices_is_tilted_by_an_angle_in_space():
    # The grey value is the number of the slice. A tilt by t turns it by sin t / 4 slices a pixel
    # if the slices are 4 px thick.
    shape = (16, 64, 64)
    pixels = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], shape)[None].copy()
    geometry = GeometryConfig(
        flips=False,
        quarter_turns=False,
        rotation_chance=1,
        rotation=0,
        tilt=30,
        scale_chance=0,
        shear_chance=0,
        shift=0,
    )
    still = IntensityConfig(
        **dict.fromkeys(
            ("blur_chance", "low_resolution_chance", "gamma_chance", "contrast_chance", "brightness_chance"), 0
        ),
        noise_chance=0,
    )
    augment = AugmentConfig(geometry=geometry, elastic=ElasticConfig(chance=0), intensity=still)
    slopes = {}
    for spacing in (None, (4.0, 1.0, 1.0)):
        example = example_of(np.zeros(shape), pixels=pixels, spacing=spacing)
        images = batches_of([example], patch=(4, 8, 8), batch=24, augment=augment).batch(0).image[:, 0].numpy()
        slopes[spacing] = np.abs(np.diff(images, axis=2)).max()
    assert 0.3 < slopes[None] <= np.sin(np.radians(30)) + 1e-3
    assert 0.3 / 4 < slopes[4.0, 1.0, 1.0] <= np.sin(np.radians(30)) / 4 + 1e-3


def test_without_images_there_is_nothing_to_train_on():
    with pytest.raises(DataError, match="no image to train on; add annotated images"):
        batches_of([])


def test_the_shares_of_several_processes_are_the_samples_of_the_batch():
    whole = batches_of([disc_example()], batch=5, augment=AugmentConfig()).batch(3)
    for rank in range(2):
        samples = range(rank, 5, 2)
        share = batches_of([disc_example()], batch=5, augment=AugmentConfig(), samples=samples).batch(3)
        for one, all_of_it in zip(parts_of(share), parts_of(whole), strict=True):
            assert torch.equal(one, all_of_it[rank::2])


def test_on_the_processor_a_batch_stays_where_it_is():
    batch = batches_of([disc_example()]).batch(0)
    assert batch.to(torch.device("cpu")) is batch
