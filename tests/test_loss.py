from math import log

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segue.arrays import IGNORE
from segue.errors import UsageError
from segue.loss import LossConfig, auxiliary_loss, soft_dice_loss, total_loss, weighted_cross_entropy

LN3 = log(3)
# Two classes on 2x2 pixels: logits (0, ln 3) are probabilities (1/4, 3/4), logits (0, 0) are (1/2, 1/2).
LOGITS = torch.tensor([[[[0.0, 0.0], [0.0, 5.0]], [[LN3, 0.0], [LN3, -7.0]]]])
TARGET = torch.tensor([[[1, 0], [0, IGNORE]]])
WEIGHTS = torch.tensor([[[2.0, 1.0], [3.0, 0.0]]])


def random_case(seed=0, classes=3, shape=(2, 5, 4)):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (shape[0], classes, *shape[1:]))
    target = rng.integers(-1, classes, shape)
    weights = rng.uniform(0, 10, shape) * (target != IGNORE)
    return logits, target, weights


def test_weighted_cross_entropy_of_four_pixels_by_hand():
    # 2 ln(4/3) + 1 ln 2 + 3 ln 4 over the three known pixels
    expected = (2 * log(4 / 3) + log(2) + 3 * log(4)) / 3
    assert weighted_cross_entropy(LOGITS, TARGET, WEIGHTS).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 4), (2, 3, 4, 5)])
def test_weighted_cross_entropy_is_equation_1_of_the_paper_over_the_number_of_known_pixels(shape):
    logits, target, weights = random_case(shape=shape)
    target.flat[0] = 1
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    energy = 0.0
    for place in np.ndindex(shape):
        if target[place] != IGNORE:
            energy -= weights[place] * log(p[(place[0], target[place], *place[1:])])
    found = weighted_cross_entropy(torch.tensor(logits), torch.tensor(target), torch.tensor(weights))
    assert found.item() == pytest.approx(energy / (target != IGNORE).sum(), rel=1e-12)


def test_soft_dice_of_four_pixels_by_hand():
    # class 1: p = 3/4, 1/2, 3/4 and t = 1, 0, 0: 2 x 3/4 / (2 + 1) = 1/2; class 0 likewise
    assert soft_dice_loss(LOGITS, TARGET).item() == pytest.approx(0.5, rel=1e-6)


def test_soft_dice_sums_over_the_batch_before_it_divides():
    logits, target, _ = random_case()
    side_by_side = np.concatenate(list(logits), axis=-1)[None], np.concatenate(list(target), axis=-1)[None]
    together = soft_dice_loss(*map(torch.tensor, side_by_side))
    assert soft_dice_loss(torch.tensor(logits), torch.tensor(target)).item() == pytest.approx(together.item())


def test_soft_dice_leaves_out_a_class_that_is_in_no_target():
    # Three classes at equal probability, targets 0 and 1: 2 (1/3) / (2/3 + 1) = 2/5 for either.
    loss = soft_dice_loss(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 1]]]))
    assert loss.item() == pytest.approx(3 / 5)


def test_auxiliary_loss_is_the_relative_entropy_of_two_coins():
    logits, target, weights = random_case(classes=2)
    maps = np.random.default_rng(1).uniform(0.01, 0.99, logits.shape)
    s = 1 / (1 + np.exp(-logits))
    entropy = maps * np.log(maps / s) + (1 - maps) * np.log((1 - maps) / (1 - s))
    known = (target != IGNORE)[:, None].repeat(2, axis=1)
    found = auxiliary_loss(*(torch.tensor(array) for array in (logits, maps, target, weights)))
    assert found.item() == pytest.approx((weights[:, None] * entropy)[known].mean(), rel=1e-9)


def test_inside_and_outside_of_objects_count_alike_however_many_pixels_they_have():
    maps = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(1, 1, 1, 4)
    known = torch.zeros(1, 1, 4, dtype=torch.int64)
    found = auxiliary_loss(torch.zeros(1, 1, 1, 4), maps, known, torch.ones(1, 1, 4))
    assert found.item() == pytest.approx(2 * np.log(2))  # each side is wrong by one bit


def test_each_pixel_of_a_map_counts_as_its_weight_says():
    maps = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 1, 1, 3)
    known = torch.zeros(1, 1, 3, dtype=torch.int64)
    found = auxiliary_loss(torch.zeros(1, 1, 1, 3), maps, known, torch.tensor([[[1.0, 4.0, 3.0]]]))
    assert found.item() == pytest.approx((5 / 2 + 3) * np.log(2))  # means over pixels, of weighted bits


def test_auxiliary_loss_of_the_perfect_answer_is_0():
    maps = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 1, 1, 3)
    known, ones = torch.zeros(1, 1, 3, dtype=torch.int64), torch.ones(1, 1, 3)
    assert auxiliary_loss(maps.logit(), maps, known, ones).item() == pytest.approx(0, abs=1e-7)
    certain = torch.tensor([0.0, 1.0, 1.0]).reshape(1, 1, 1, 3)
    assert auxiliary_loss(200 * certain - 100, certain, known, ones).item() == pytest.approx(0, abs=1e-7)


def test_a_map_that_interpolation_lifted_above_1_is_taken_for_1():
    # The bilinear weights of one place can add up to 1.0000001 in single precision.
    lifted = torch.full((1, 1, 1, 1), float(np.nextafter(np.float32(1), np.float32(2))))
    one, known = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)
    assert lifted.item() > 1
    assert auxiliary_loss(one, lifted, known, one[0]) == auxiliary_loss(one, one, known, one[0])


def test_no_part_of_the_loss_looks_at_ignored_pixels():
    logits, target, weights = (torch.tensor(array) for array in random_case(classes=4))
    maps = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    logits.requires_grad_()
    config = LossConfig(cross_entropy=1.0, dice=1.0, auxiliary=1.0)
    target[target == 3] = 2  # three classes and one map
    total_loss(logits, target, weights, maps, config).backward()
    ignored = (target == IGNORE).unsqueeze(1).expand_as(logits)
    assert logits.grad is not None
    assert ignored.any()
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).any()


def test_patches_in_which_nothing_is_known_cost_0_and_move_nothing():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    nobody_knows = torch.full((2, 4, 4), IGNORE)
    loss = total_loss(logits, nobody_knows, torch.zeros(2, 4, 4), torch.rand(2, 1, 4, 4), LossConfig(dice=1.0))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_total_is_the_sum_of_its_parts_times_their_factors():
    logits, target, weights = (torch.tensor(array).float() for array in random_case(classes=4))
    target = target.long().clamp(max=2)
    maps = torch.full((2, 1, 5, 4), 0.25)
    parts = (
        weighted_cross_entropy(logits[:, :3], target, weights),
        soft_dice_loss(logits[:, :3], target),
        auxiliary_loss(logits[:, 3:], maps, target, weights),
    )
    config = LossConfig(cross_entropy=2.0, dice=3.0, auxiliary=5.0)
    expected = 2 * parts[0] + 3 * parts[1] + 5 * parts[2]
    assert total_loss(logits, target, weights, maps, config).item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_maps_all_channels_are_classes():
    logits, target, weights = (torch.tensor(array) for array in random_case())
    found = total_loss(logits.float(), target, weights.float(), None, LossConfig())
    assert found.item() == pytest.approx(weighted_cross_entropy(logits, target, weights).item(), rel=1e-5)


def test_logits_in_half_the_bits_are_summed_in_single_precision():
    logits, target, weights = (torch.tensor(array) for array in random_case())
    half = logits.to(torch.bfloat16)
    loss = total_loss(half, target, weights.float(), None, LossConfig())
    assert loss.dtype == torch.float32
    assert loss == total_loss(half.float(), target, weights.float(), None, LossConfig())


def test_the_unweighted_loss_is_the_cross_entropy_of_torch():
    logits, target, _ = (torch.tensor(array) for array in random_case())
    expected = F.cross_entropy(logits, target, ignore_index=IGNORE)
    assert weighted_cross_entropy(logits, target, torch.ones(target.shape)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"dice": -1.0}, "0 or more"),
        ({"auxiliary": -0.1}, "0 or more"),
        ({"cross_entropy": 0.0}, "needs cross_entropy or dice above 0; both are 0"),
    ],
)
def test_factors_that_minimise_nothing_are_refused(factors, message):
    with pytest.raises(UsageError, match=message):
        LossConfig(**factors)
