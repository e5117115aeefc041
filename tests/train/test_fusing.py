"""What the fused layers compute is what PyTorch's own layers compute, in less time."""

import copy
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import nn

from segue.model.unet import UNet, isotropic_config, memory_format
from segue.train import fusing
from segue.train.fusing import PLAIN, NormalizationAndReLU, fuse

SHAPES = {
    "2D": (3, 5, 12, 10),
    "3D": (2, 4, 6, 4, 5),
    "odd": (1, 3, 7, 9),
    "one channel": (2, 1, 8, 8),
    "wide": (2, 70, 4, 3),
}


def layers(channels, axes):
    norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes](channels)
    with torch.no_grad():
        norm.weight.uniform_(-1.5, 1.5)
        norm.bias.normal_()
        norm.get_buffer("running_mean").normal_()
    return norm


def answers(layer, norm, x, slope):
    x = x.clone(memory_format=memory_format(x.ndim - 2)).requires_grad_()
    norm.zero_grad()
    y = layer(x)
    y.backward(slope)
    return {
        "y": y.detach(),
        "of x": x.grad,
        "of weight": norm.weight.grad,
        "of bias": norm.bias.grad,
        **{name: buffer.clone() for name, buffer in norm.named_buffers()},
    }


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("name", SHAPES)
def test_it_is_batch_normalisation_and_relu_in_answer_gradient_and_statistics(name, offset):
    torch.manual_seed(0)
    shape = SHAPES[name]
    norm = layers(shape[1], len(shape) - 2)
    with torch.no_grad():
        norm.running_mean += offset
    ours = copy.deepcopy(norm)
    x, slope = torch.randn(shape) * 2 + offset, torch.randn(shape)
    theirs = answers(lambda x: torch.relu(norm(x)), norm, x, slope)
    found = answers(NormalizationAndReLU(ours, PLAIN), ours, x, slope)
    assert found.keys() == theirs.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(found[key], value, rtol=2e-4, atol=2e-4, msg=key)


@pytest.mark.parametrize("name", ["2D", "3D"])
def test_two_shares_of_a_batch_are_normalised_as_the_whole_batch(name):
    torch.manual_seed(0)
    shape = (4, *SHAPES[name][1:])
    norm = layers(shape[1], len(shape) - 2)
    x, slope = torch.randn(shape), torch.randn(shape)
    whole, shares = copy.deepcopy(norm), [copy.deepcopy(norm) for _ in range(2)]
    expected = answers(NormalizationAndReLU(whole, PLAIN), whole, x, slope)
    meeting = threading.Barrier(2)
    sums = {}

    def sum_of_all(rank, tensor):
        meeting.wait()
        sums[rank] = tensor
        meeting.wait()
        return sums[0] + sums[1]

    def share(rank):
        layer = NormalizationAndReLU(shares[rank], PLAIN, partial(sum_of_all, rank))
        return answers(layer, shares[rank], x[rank::2], slope[rank::2])

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(share, range(2)))
    for key, value in expected.items():
        if key in ("y", "of x"):
            torch.testing.assert_close(torch.stack([one[key] for one in found], 1).flatten(0, 1), value, msg=key)
        elif key in ("of weight", "of bias"):
            torch.testing.assert_close(found[0][key] + found[1][key], value, msg=key)
        else:
            torch.testing.assert_close(found[0][key], value, msg=key)
            assert torch.equal(found[0][key], found[1][key])


@pytest.mark.parametrize("axes", [2, 3])
def test_a_fused_network_has_the_same_state_and_gives_the_same_loss_and_gradients(axes):
    torch.manual_seed(0)
    config = isotropic_config(spatial_axes=axes, depth=2, width=4, padding="same", normalization="batch", dropout=0.0)
    network = UNet(config)
    fused = copy.deepcopy(network)
    fuse(fused, PLAIN)
    assert sum(isinstance(module, NormalizationAndReLU) for module in fused.modules()) == 10
    assert not any(isinstance(module, nn.ReLU) for module in fused.modules())
    assert list(fused.state_dict()) == list(network.state_dict())
    x = torch.randn(2, 1, *[16] * axes)
    for one in (network, fused):
        one(x).square().mean().backward()
    for (name, theirs), (_, ours) in zip(network.named_parameters(), fused.named_parameters(), strict=True):
        # Not value by value: a pixel that rounding puts on the other side of a ReLU's corner has another gradient.
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() < 0.01 * theirs.grad.norm(), name
    for name, theirs in network.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_the_network_of_the_paper_has_nothing_to_fuse():
    network = UNet(isotropic_config(spatial_axes=2, depth=1, width=2))
    before = str(network)
    fuse(network, PLAIN)
    assert str(network) == before


@pytest.mark.parametrize("channels", [16, 24, 32, 48, 64, 96, 128, 384, 512, 1024])
def test_sums_are_made_of_many_pixels_at_once_for_every_width(channels):
    for pixels in (4 * 256 * 256, 3 * 272 * 256, 2 * 64**3, 10 * 40 * 56 * 40):
        rows = fusing._rows_at_once(torch.empty((pixels, channels), device="meta"))
        assert rows >= 16
        assert pixels % rows == 0


WITHOUT_COMPILER = """
import os
os.environ["CXX"] = "no-such-compiler"
os.environ["TORCHINDUCTOR_CACHE_DIR"] = {folder!r}
import torch
from segue.train.fusing import compiled_kernels
print(compiled_kernels(torch.device("cpu"), torch.bfloat16))
"""


@pytest.mark.slow
def test_without_a_compiler_there_are_no_compiled_kernels_and_no_failure(tmp_path):
    program = WITHOUT_COMPILER.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def compiled(dtype):
    """The kernels; where there is a compiler and they cannot be made with it, this fails with the reason."""
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    kernels = fusing._compiled(torch.device("cpu"), dtype)
    assert kernels is not None, "their answers are not those of PLAIN"
    return kernels


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # what torch says of itself while it compiles
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_kernels_compute_what_the_plain_ones_do(dtype):
    kernels = compiled(dtype)
    for shape in ((2, 24, 32, 16), (1, 7, 5, 9), (3, 40, 4, 6, 8)):
        torch.manual_seed(0)
        norm = layers(shape[1], len(shape) - 2)
        x = torch.randn(shape).to(dtype)
        # A slope that is 0 where the ReLU bends: there the last bit decides, and either side is right.
        slope = 2 * NormalizationAndReLU(copy.deepcopy(norm), PLAIN)(x).detach()
        plain, quick = copy.deepcopy(norm), copy.deepcopy(norm)
        expected = answers(NormalizationAndReLU(plain, PLAIN), plain, x, slope)
        found = answers(NormalizationAndReLU(quick, kernels), quick, x, slope)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-2, atol=1e-2, msg=key)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_one_process_may_train_networks_of_many_kinds():
    kernels = compiled(torch.float32)
    shapes = [(2, 4, 8, 8), (1, 1, 1, 7), (1, 3, 5, 5), (2, 16, 8, 8), (2, 4, 4, 4, 4), (1, 1, 2, 3, 1), (3, 64, 2, 2)]
    for dtype in (torch.float32, torch.bfloat16):
        for shape in shapes:
            norm = layers(shape[1], len(shape) - 2)
            x = torch.randn(shape).to(dtype)
            plain, quick = copy.deepcopy(norm), copy.deepcopy(norm)
            expected, found = NormalizationAndReLU(plain, PLAIN)(x), NormalizationAndReLU(quick, kernels)(x)
            torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
            slope = answers(NormalizationAndReLU(quick, kernels), quick, x, torch.ones_like(x))["of x"]
            assert torch.isfinite(slope).all()
