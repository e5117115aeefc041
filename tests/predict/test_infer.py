from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from segue.errors import TileError, UsageError
from segue.io.scratch import Readable
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, initialize, isotropic_config
from segue.predict import infer
from segue.predict.infer import PredictConfig, _activated, _answer, _exact, predict
from segue.predict.tiles import Span


def network(axes: int, padding: str, depth: int, *, seed: int = 0) -> UNet:
    """A network with weights and batch statistics of a trained one's size, in evaluation mode."""
    config = isotropic_config(
        spatial_axes=axes, depth=depth, width=4, padding=padding, normalization="batch", outputs=3
    )
    result = UNet(config)
    generator = torch.Generator().manual_seed(seed)
    initialize(result, generator=generator)
    for module in result.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return result.eval()


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)


def answer(net: UNet, pixels: Readable, **settings) -> np.ndarray:
    return predict(net, pixels, classes=2, config=PredictConfig(**({"precision": "fp32"} | settings)))


SHAPES: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (1, 40), (37, 50), (64, 64), (130, 9), (97, 131)],
    3: [(1, 1, 1), (1, 6, 40), (9, 30, 21), (24, 24, 24)],
}
CASES = [
    (axes, padding, depth, shape, extra)
    for axes, padding, depth in [
        (2, "same", 2),
        (2, "valid", 2),
        (2, "same", 3),
        (2, "valid", 1),
        (3, "same", 1),
        (3, "valid", 1),
    ]
    for shape in SHAPES[axes]
    for extra in (0, 5, 33)
]


def test_there_are_at_least_sixty_combinations_of_size_tile_padding_and_dimension():
    assert len(CASES) >= 60


@pytest.mark.parametrize(("axes", "padding", "depth", "shape", "extra"), CASES)
def test_the_prediction_does_not_depend_on_the_tile(axes, padding, depth, shape, extra):
    net = network(axes, padding, depth)
    geometry = axis_geometries(net.config)[0]
    tile = geometry.legal_size(2 * geometry.halo + geometry.stride) + extra
    pixels = image(*shape)
    whole = answer(net, pixels, tile=100_000, context=7)
    assert np.abs(answer(net, pixels, tile=tile, context=7) - whole).max() <= 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_prediction_does_not_depend_on_the_tile_with_mirror_images_either(padding):
    net = network(2, padding, 2)
    pixels = image(90, 61)
    whole = answer(net, pixels, tile=100_000, mirror=True)
    assert np.abs(answer(net, pixels, tile=60, mirror=True) - whole).max() <= 1e-5


@pytest.mark.parametrize("axes", [2, 3])
def test_a_prediction_with_mirror_images_turns_with_the_image(axes):
    # The stride grid must turn with the image too: lengths that are a multiple of the stride.
    net = network(axes, "same", 1)
    pixels = image(*(16,) * axes)
    result = answer(net, pixels, mirror=True)
    for axis in range(1, axes + 1):
        turned = answer(net, np.ascontiguousarray(np.flip(pixels, axis)), mirror=True)
        assert np.abs(np.flip(turned, axis) - result).max() <= 1e-5


def test_a_valid_network_sees_the_mirrored_image_beyond_the_edge():
    net = network(2, "valid", 2)
    geometry = axis_geometries(net.config)[0]
    pixels = image(24, 24)
    padded = np.pad(pixels, ((0, 0), *[(geometry.margin, geometry.margin)] * 2), mode="reflect")
    with torch.inference_mode():
        logits = net(torch.from_numpy(padded)[None])[0]
    expected = logits[:2].softmax(dim=0)
    assert logits.shape[1:] == (24, 24)
    assert np.abs(answer(net, pixels)[:2] - expected.numpy()).max() <= 1e-5


def test_probabilities_sum_to_one_and_auxiliary_maps_lie_between_0_and_1():
    result = answer(network(2, "same", 1), image(20, 30))
    assert result.shape == (3, 20, 30)
    assert np.abs(result[:2].sum(axis=0) - 1).max() < 1e-6
    assert result.min() >= 0
    assert result.max() <= 1


def test_an_answer_written_into_an_array_of_the_caller_is_the_same(tmp_path):
    net = network(2, "same", 1)
    pixels = image(50, 30)
    file = np.lib.format.open_memmap(tmp_path / "answer.npy", mode="w+", dtype=np.float32, shape=(3, 50, 30))
    config = PredictConfig(precision="fp32", tile=32)
    assert predict(net, pixels, classes=2, config=config, out=file) is file
    assert (file == predict(net, pixels, classes=2, config=config)).all()


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"\(3, 8, 9\), but the answer for this image has the shape \(3, 8, 8\)"):
        predict(
            network(2, "same", 1),
            image(8, 8),
            classes=2,
            config=PredictConfig(),
            out=np.empty((3, 8, 9), np.float32),
        )


def test_bf16_differs_from_fp32_by_its_own_precision_only():
    net = network(2, "same", 2)
    pixels = image(64, 64)
    difference = np.abs(answer(net, pixels, precision="bf16") - answer(net, pixels))
    assert 0 < difference.mean() < 0.01
    assert difference.max() < 0.1


def test_less_memory_means_smaller_tiles_and_the_same_answer():
    net = network(2, "same", 1)
    pixels = image(600, 600)
    seen: list[int] = []
    answers = [
        predict(
            net,
            pixels,
            classes=2,
            config=PredictConfig(precision="fp32", memory=memory),
            progress=lambda _done, total: seen.append(total),
        )
        for memory in (1 << 20, 1 << 30)
    ]
    assert max(seen) > 10
    assert seen[-1] == 1
    assert np.abs(answers[0] - answers[1]).max() <= 1e-5


def test_predicting_leaves_the_network_in_the_mode_it_was_in():
    net = network(2, "same", 1).train()
    answer(net, image(16, 16))
    assert net.training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 0}, "at least 1 px, not 0"),
        ({"memory": 5}, "at least 1 MB, not 5 bytes"),
        ({"precision": "fp8"}, 'not "fp8"'),
        ({"context": -1}, "0 px or more, not -1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        PredictConfig(**settings)


def test_a_tile_that_is_too_small_is_refused_before_anything_is_computed():
    with pytest.raises(TileError, match="use a tile of at least 52 px"):
        answer(network(2, "same", 2), image(100, 100), tile=20)


@pytest.mark.parametrize(("axes", "padding"), [(2, "same"), (2, "valid"), (3, "same")])
def test_an_image_may_be_read_box_by_box(axes, padding):
    net = network(axes, padding, 1)
    pixels = image(*((41, 30) if axes == 2 else (9, 21, 20)))
    asked = []

    class Kept:
        shape = pixels.shape

        def __getitem__(self, box):
            asked.append(pixels[box].size)
            assert all(0 <= part.start < part.stop <= length for part, length in zip(box, pixels.shape, strict=True))
            return pixels[box]

    geometry = axis_geometries(net.config)[0]
    tile = geometry.legal_size(2 * geometry.halo + 2 * geometry.stride)
    assert (answer(net, Kept(), tile=tile) == answer(net, pixels, tile=tile)).all()
    assert len(asked) > 1
    assert max(asked) <= tile**axes


@pytest.mark.parametrize("axes", [2, 3])
def test_the_tile_does_not_matter_in_bf16_either(axes):
    net = network(axes, "same", 2 if axes == 2 else 1)
    pixels = image(*(90,) * 2 if axes == 2 else (24, 30, 30))
    whole = answer(net, pixels, tile=100_000, precision="bf16")
    assert np.abs(answer(net, pixels, tile=52, precision="bf16") - whole).max() <= 1e-5


@pytest.mark.parametrize(("seconds", "expected"), [(0.12, True), (0.5, True), (0.9, False), (2.7, False)])
def test_bf16_is_chosen_where_its_product_takes_clearly_less_time_than_that_of_fp32(seconds, expected, monkeypatch):
    moment = 0.0

    class Product:
        def __init__(self, dtype):
            self.seconds = seconds if dtype == torch.bfloat16 else 1.0

        def __matmul__(self, other):
            nonlocal moment
            moment += self.seconds

    monkeypatch.setattr("segue.predict.infer.has_onednn", lambda *_: True)
    monkeypatch.setattr("segue.predict.infer.torch.ones", lambda *sizes, dtype: Product(dtype))
    monkeypatch.setattr("segue.predict.infer.time.perf_counter", lambda: moment)
    assert infer.bf16_is_quicker.__wrapped__() == expected


def test_without_onednn_bf16_is_not_chosen(monkeypatch):
    # As on macOS with Apple's processors, where PyTorch does not even have the question after its bf16.
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    monkeypatch.delattr("torch.ops.mkldnn._is_mkldnn_bf16_supported")
    assert not infer.bf16_is_quicker.__wrapped__()


@pytest.mark.parametrize(("device", "expected"), [("cuda", (False, False, True)), ("cpu", (True, True, False))])
def test_on_a_graphics_card_alone_convolutions_neither_round_nor_choose_by_shape(device, expected):
    usual = {"enabled": True, "benchmark": True, "deterministic": False, "allow_tf32": True}
    flags = torch.backends.cudnn
    with flags.flags(**usual):
        with _exact(torch.device(device)):
            assert (flags.allow_tf32, flags.benchmark, flags.deterministic) == expected
        assert (flags.allow_tf32, flags.benchmark, flags.deterministic) == (True, True, False)


@pytest.mark.parametrize(("context", "shape"), [(8, (24, 32)), (16, (48, 40)), (40, (16, 24))])
def test_a_padded_network_sees_the_image_mirrored_as_far_as_the_context_says(context, shape):
    torch.manual_seed(0)
    config = isotropic_config(spatial_axes=2, depth=2, width=4, padding="same", outputs=2)
    net = UNet(config).eval()
    pixels = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    frame = [min(context, length // 2) for length in shape]  # both multiples of the stride 4
    padded = np.pad(pixels, [(0, 0), *((one, one) for one in frame)], mode="reflect")
    with torch.no_grad():
        logits = net(torch.from_numpy(padded)[None])[0, :, frame[0] : -frame[0], frame[1] : -frame[1]]
    found = predict(net, pixels, classes=2, config=PredictConfig(context=context, precision="fp32"))
    assert np.abs(found - logits.softmax(dim=0).numpy()).max() <= 1e-5


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (33, 97), (515, 600), (5, 9, 7), (70, 13, 17)])
@pytest.mark.parametrize(("classes", "maps"), [(2, 0), (2, 1), (9, 2)])
def test_what_is_computed_in_place_is_equal_to_the_bit(classes, maps, shape, cropped):
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(1, classes + maps, *(length + cropped for length in shape), generator=generator)
    logits = logits[(slice(None), slice(None), *(slice(length) for length in shape))]
    expected = torch.cat([logits[:, :classes].softmax(dim=1), logits[:, classes:].sigmoid()], dim=1)
    assert torch.equal(_activated(logits, classes), expected)


@pytest.mark.parametrize(("mirror", "answers"), [(False, 1), (True, 2)])
def test_of_a_tile_are_held_the_sum_and_the_answer_to_one_mirror_image(mirror, answers):
    net = network(2, "same", 1)

    class Known:
        network = SimpleNamespace(config=net.config)

        def logits(self, image, *, kept):
            return torch.zeros(1, 3, *(high - low for low, high in kept))

    runner: Any = Known()
    tile = (Span(read=(0, 256), write=(0, 256), output_start=0),) * 2
    settings: Any = {"activities": [torch.profiler.ProfilerActivity.CPU], "profile_memory": True}
    with torch.inference_mode(), torch.profiler.profile(**settings) as profile:
        _answer(runner, torch.zeros(1, 1, 256, 256), tile, classes=2, mirror=mirror)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    images = 2  # as it is, and turned
    assert max(accumulate(changes)) <= (3 * answers + images) * 256 * 256 * 4
