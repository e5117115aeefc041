"""How far the training is, and what the learning rate is there. Progress runs from 0 to 1, by steps or by time."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]

VALIDATION_SHARE = 0.2
"""Under a time budget validations on the way take no more than this share of the time, or there are fewer of them."""

ALL_AVERAGED, AVERAGED_EVERY = 100, 4
"""After so many steps only each fourth counts in the moving average: to look at all weights takes 3 % of a wide
network's step, and the weights of neighbouring steps are alike."""

CAUTION = 1.15
"""What the end is expected to take is kept free so many times."""


def learning_rate_factor(progress: float, *, warmup: float) -> float:
    """Linear from 0 to 1 over the first `warmup` share, then half a cosine to 0 at progress 1."""
    if progress < warmup:
        return progress / warmup
    share = min(1.0, (progress - warmup) / (1 - warmup))
    return 0.5 * (1 + math.cos(math.pi * share))


def averaging_weight(step: int, *, share: float) -> float:
    """Weight of the newest network in the moving average after `step` steps: the average spans that `share` of them.

    It is 0 where the step does not count (see AVERAGED_EVERY). A window that grows with the training forgets the
    beginning whatever the number of steps, which nobody knows in advance under a time budget.
    """
    weight = 1 / max(1.0, share * step)
    if step <= ALL_AVERAGED:
        return weight
    return 0.0 if step % AVERAGED_EVERY else 1 - (1 - weight) ** AVERAGED_EVERY


@dataclass
class StepPace:
    """Progress counted in steps: repeatable to the bit."""

    steps: int
    """Number of steps of the whole training."""

    def progress(self, step: int) -> float:
        """Share of the training done before `step`."""
        return min(1.0, step / self.steps)

    def is_over(self, step: int) -> bool:
        """Whether `step` is beyond the last."""
        return step >= self.steps

    def note_step(self, seconds: float) -> None:
        """Steps are counted, not timed."""

    def note_validation(self, seconds: float) -> None:
        """Validations do not count as steps."""

    def may_validate(self) -> bool:
        """Always: what is done must not depend on the clock."""
        return True

    def note_resumed(self, spent: float, *, trained: float) -> None:
        """Time spent before does not matter."""

    def seconds_left(self) -> float | None:
        """Unknown: steps say nothing of time."""
        return None


@dataclass
class TimePace:
    """Progress measured by the clock, so that the schedule ends with the budget even if the machine changes its speed.

    What comes after the last step (a validation, the last look at all held-out images, writing the model) is kept
    free: `reserve` seconds, less if the validations so far say that it will take less, and at least 1.5 times the
    slowest of them.
    """

    end: float
    """When all must be done, on `clock`."""
    reserve: float
    """Seconds kept free at the end."""
    last_look: Callable[[], float | None] = lambda: None
    """Seconds that the last look will take; None while nothing of the kind is known."""
    clock: Clock = time.monotonic
    agree: Callable[[float], float] = float
    """Where several processes train together, it gives each what the first one says: clocks differ."""
    start: float = field(init=False)
    _slowest_validation: float = field(init=False, default=0.0)
    _validation_seconds: float = field(init=False, default=0.0)
    _step_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.start = self.clock()

    def progress(self, step: int) -> float:  # noqa: ARG002 - the clock decides, the number of steps does not
        """Share of the time for training that has passed."""
        span = self._last_moment() - self.start
        return self.agree(min(1.0, (self.clock() - self.start) / span) if span > 0 else 1.0)

    def is_over(self, step: int) -> bool:  # noqa: ARG002 - see `progress`
        """Whether another step would end too late."""
        return bool(self.agree(self.clock() + self._step_seconds > self._last_moment()))

    def note_step(self, seconds: float) -> None:
        """A step took so long."""
        self._step_seconds = seconds if not self._step_seconds else 0.8 * self._step_seconds + 0.2 * seconds

    def note_validation(self, seconds: float) -> None:
        """A validation took so long."""
        self._slowest_validation = max(self._slowest_validation, seconds)
        self._validation_seconds += seconds

    def may_validate(self) -> bool:
        """Whether validations stay a small part of the time so far with one more; the first one is free."""
        expected = self._validation_seconds + self._slowest_validation
        return bool(self.agree(expected <= VALIDATION_SHARE * (self.clock() - self.start)))

    def note_resumed(self, spent: float, *, trained: float) -> None:
        """So much of the budget was spent before this run, and so much of that on training, which is progress."""
        self.start -= trained
        self.end -= spent

    def seconds_left(self) -> float | None:
        """Seconds until all is done."""
        return max(0.0, self.end - self.clock())

    def _last_moment(self) -> float:
        slowest, kept = self._slowest_validation, self.reserve
        if (last_look := self.last_look()) is not None:
            kept = min(kept, CAUTION * (slowest + last_look) + 1.0)
        return self.end - max(kept, 1.5 * slowest + 1.0)


Pace = StepPace | TimePace
