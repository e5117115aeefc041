"""What somebody may wish of a training, and what they may watch of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from segue.errors import UsageError
from segue.fingerprint import Examination
from segue.plan import PRESETS, Plan, Preset
from segue.train.loop import Observer
from segue.train.settings import TrainConfig
from segue.train.world import World


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """What a user may wish of a training; the plan decides the rest."""

    budget: float | None = None
    """Seconds from start to finished model."""
    steps: int | None = None
    """Number of training steps: repeatable to the bit. Without both the plan to follow says how long, or 20 minutes."""
    preset: Preset = "auto"
    """"auto", or "paper" for the network of 2015."""
    seed: int | None = None
    """All randomness comes from it. None: that of the plan, or of the training to go on with, else 0."""
    validate: bool = True
    """Whether images are held out to judge the network."""
    plan: Plan | None = None
    """A plan to follow instead of making one."""
    out: Path | None = None
    """Where the model is written; beside it the training keeps its state, plan and history. None: in memory alone.

    A text is taken as a path."""
    resume: bool = False
    """Whether to go on with a training that was interrupted, if there is one."""

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", Path(self.out))
        TrainConfig(seed=self.seed or 0, budget=self.budget, steps=self.steps)  # says what is possible
        if self.preset not in PRESETS:
            raise UsageError(f'the preset is one of {", ".join(PRESETS)}, not "{self.preset}"')
        if self.plan is not None and self.preset != "auto":
            raise UsageError("give a preset or a plan, not both: a plan decides everything")
        if self.plan is not None and self.seed not in (None, self.plan.train.seed):
            raise UsageError(
                f"the plan holds the seed {self.plan.train.seed}, not {self.seed}; change train.seed in it"
            )
        if self.resume and self.out is None:
            raise UsageError("a training can only be resumed where it was kept; give the model's path")


@dataclass(frozen=True, kw_only=True)
class FitObserver:
    """What the outside world may do while a model is fitted; each has a default that does nothing."""

    on_examined: Callable[[Examination], None] = lambda examination: None
    """Called once the data set was read, with its fingerprint and the findings of the label doctor."""
    on_plan: Callable[[Plan, int, int], None] = lambda plan, train, validation: None
    """Called once everything is decided, with the numbers of training and validation images."""
    on_prepared: Callable[[int, int], None] = lambda done, total: None
    """Called after each image that was prepared for the training."""
    on_trained: Callable[[], None] = lambda: None
    """Called once the network is trained and its state is kept: the last look that follows may be broken off."""
    loop: Observer = field(default_factory=Observer)
    """What the training loop reports."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training under way: what stays the same from the first look at the data to the model."""

    config: FitConfig
    observer: FitObserver
    plan: Plan | None = None
    """The plan to follow instead of making one: the one that was given, or that of the training to go on with."""
    folder: Path | None
    """Where state, plan and history are kept, in the process that writes; None elsewhere."""
    world: World
    started: float
    """When it began, on the monotonic clock."""
