"""The energy of the paper and what may stand beside it: weighted cross-entropy, soft Dice, auxiliary maps.

All take logits (B, K, ...), targets (B, ...) of class ids with `IGNORE` where nobody knows, and weights (B, ...).

Every sum over pixels goes through `total`: where several processes have a share of the batch each, it makes of the own
sum that of all, and each process computes the one loss of the whole batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segue.arrays import IGNORE
from segue.errors import UsageError

Total = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes; see `segue.train.world.World.total`."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How much each part of the energy counts."""

    cross_entropy: float = 1.0
    """Factor of the weighted cross-entropy of the paper."""
    dice: float = 0.0
    """Factor of the soft Dice loss."""
    auxiliary: float = 1.0
    """Factor of the loss of auxiliary maps (distance), where the network has them; weighted as the classes are."""

    def __post_init__(self) -> None:
        if min(self.cross_entropy, self.dice, self.auxiliary) < 0:
            raise UsageError(f"the factors of a loss are 0 or more, not {self}")
        if self.cross_entropy == 0 and self.dice == 0:
            raise UsageError("a loss needs cross_entropy or dice above 0; both are 0")


def alone(own: Tensor) -> Tensor:
    """The total of a process that sees the whole batch: what it has itself."""
    return own


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, *, total: Total = alone) -> Tensor:
    """Mean over known pixels of -w(x) log p_l(x)(x), with p the softmax over K (Ronneberger et al. 2015, eq. 1).

    The paper sums over the image; the mean differs by a constant factor and does not depend on the patch size.
    Without any known pixel it is 0.
    """
    energy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    return total((weights * energy).sum()) / total((target != IGNORE).sum()).clamp(min=1)


def soft_dice_loss(logits: Tensor, target: Tensor, *, total: Total = alone) -> Tensor:
    """1 - mean over the classes of 2 sum(p t) / (sum(p) + sum(t)), sums over the known pixels of the whole batch.

    Summing over the batch keeps a class that is missing in one patch from counting there as a total failure. A
    class that is in no target of the batch is left out: its Dice would be 0 however small p is.
    """
    known = (target != IGNORE).unsqueeze(1)
    probabilities = logits.softmax(dim=1) * known
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, *(1,) * (target.ndim - 1))
    truth = target.unsqueeze(1) == classes  # a byte each, where `one_hot` takes eight; IGNORE is no class
    over = [0, *range(2, logits.ndim)]
    present = total(truth.sum(over))
    overlap = total((probabilities * truth).sum(over))
    dice = 2 * overlap / (total(probabilities.sum(over)) + present).clamp(min=1e-6)
    here = present > 0
    return 1 - dice[here].mean() if bool(here.any()) else logits.sum() * 0


def auxiliary_loss(logits: Tensor, maps: Tensor, target: Tensor, weights: Tensor, *, total: Total = alone) -> Tensor:
    """Binary cross-entropy of sigmoid(logits) and `maps` in [0, 1], both (B, A, ...), weighted: means of w(x) times it.

    There is one mean over the known pixels inside, where a map is above 0, and one over those outside, where it is 0;
    the loss is their sum. With one mean over all, the many pixels outside taught the network a distance that was nearly
    flat inside of the objects. The entropy of the maps is subtracted, so that a perfect answer costs 0.

    The weights are those of the classes, border term included: the places between touching objects are few pixels, and
    all that tells the objects apart (docs/decisions/0017-distance-with-border-weights.md).
    """
    known = (target != IGNORE).unsqueeze(1)
    maps = maps.clamp(0, 1)  # interpolation rounds ones to 1.0000001, which the entropy below refuses
    energy = F.binary_cross_entropy_with_logits(logits, maps, reduction="none")
    floor = F.binary_cross_entropy(maps, maps, reduction="none")
    sides = (known & (maps > 0), known & (maps == 0))
    energy = weights.unsqueeze(1) * (energy - floor)
    means = [total((energy * side).sum()) / total(side.sum()).clamp(min=1) for side in sides]
    return torch.stack(means).sum()


def total_loss(
    logits: Tensor,
    target: Tensor,
    weights: Tensor,
    maps: Tensor | None,
    config: LossConfig,
    *,
    total: Total = alone,
) -> Tensor:
    """The sum of all parts: the first channels of `logits` are the classes, the last ones the auxiliary `maps`."""
    logits = logits.float()  # bf16 has 8 bits of mantissa: too few for a mean over 10^5 pixels
    classes = logits.shape[1] - (0 if maps is None else maps.shape[1])
    loss = logits.new_zeros(())
    if config.cross_entropy:
        loss = loss + config.cross_entropy * weighted_cross_entropy(logits[:, :classes], target, weights, total=total)
    if config.dice:
        loss = loss + config.dice * soft_dice_loss(logits[:, :classes], target, total=total)
    if maps is not None and config.auxiliary:
        loss = loss + config.auxiliary * auxiliary_loss(logits[:, classes:], maps, target, weights, total=total)
    return loss
