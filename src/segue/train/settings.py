"""The settings of a training: plain data, without torch, so that a plan can be made and shown without it."""

from dataclasses import dataclass
from typing import Literal, get_args

from segue.errors import UsageError

Optimizer = Literal["muon", "adamw", "sgd"]

DEFAULT_BUDGET = 20 * 60.0
"""Seconds that a training takes if nobody says how long."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What a batch is."""

    patch: tuple[int, ...] = (256, 256)
    """Size of what the network sees, along each spatial axis."""
    batch: int = 4
    """Patches in a batch."""
    foreground: float = 0.33
    """Share of the patches that are placed on a pixel of a class other than 0, all such classes alike; or between two
    objects that are near each other, where there are any."""

    def __post_init__(self) -> None:
        if self.batch < 1 or min(self.patch, default=0) < 1:
            raise UsageError(f"a batch has at least 1 patch of at least 1 px, not {self.batch} of {self.patch}")
        if not 0 <= self.foreground <= 1:
            raise UsageError(f"foreground is a share from 0 to 1, not {self.foreground}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained."""

    budget: float | None = None
    """Seconds that the training may take in all, from the first look at the data to the written model; None if its
    `steps` are counted, or if nobody has said how long."""
    steps: int | None = None
    """Number of steps: repeatable to the bit. None if a time decides."""
    seed: int = 0
    """All randomness of the training comes from this number."""
    optimizer: Optimizer = "muon"
    """"muon", see `segue.train.muon`; "adamw"; or "sgd": gradient descent with momentum, as Ronneberger et al. (2015)
    have it, for which the learning rate has to be found anew."""
    learning_rate: float = 2e-3
    """At its highest: it rises linearly in the `warmup` and falls as half a cosine to 0 at the end. Muon's steps are
    ten times as long."""
    weight_decay: float = 0.02
    """Share of the weights, times the learning rate, that each step takes away."""
    momentum: float = 0.95
    """Share of the steps before in the next, "muon" and "sgd" only (0.99 in Ronneberger et al.)."""
    warmup: float = 0.05
    """Share of the training in which the learning rate rises."""
    largest_gradient: float = 2.0
    """Gradients with a larger norm are shortened to it."""
    average_share: float = 0.05
    """The moving average of the weights spans this share of the steps so far."""
    validations: int = 8
    """Number of validations, evenly spaced, the last one at the end; fewer where they would take too much time."""
    save_every: float = 60.0
    """Seconds between two saved states."""

    def __post_init__(self) -> None:
        if self.budget is not None and self.steps is not None:
            raise UsageError(
                f"a training has a budget ({self.budget:g} s) or a number of steps ({self.steps}), not both"
            )
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"a training has at least 1 step, not {self.steps}")
        if self.budget is not None and not self.budget > 0:
            raise UsageError(f"the budget of a training is above 0 s, not {self.budget:g}")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"a seed is a whole number from 0 to 4294967295, not {self.seed}")
        if self.optimizer not in get_args(Optimizer):
            raise UsageError(f'the optimizer is one of {", ".join(get_args(Optimizer))}, not "{self.optimizer}"')
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.largest_gradient <= 0:
            raise UsageError("learning_rate and largest_gradient are above 0, weight_decay 0 or more")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is a share from 0 to below 1, not {self.momentum}")
        if not 0 <= self.warmup < 1 or not 0 < self.average_share <= 1:
            raise UsageError("warmup is a share from 0 to below 1, average_share from above 0 to 1")
        if self.validations < 1 or self.save_every <= 0:
            raise UsageError("validations is at least 1, save_every above 0 seconds")
