import math
from itertools import pairwise

import pytest

from segue.train.schedule import (
    ALL_AVERAGED,
    AVERAGED_EVERY,
    VALIDATION_SHARE,
    StepPace,
    TimePace,
    averaging_weight,
    learning_rate_factor,
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (0.325, (1 + math.sqrt(0.5)) / 2), (1.5, 0.0)],
)
def test_the_learning_rate_rises_linearly_and_falls_as_half_a_cosine(progress, factor):
    assert learning_rate_factor(progress, warmup=0.1) == pytest.approx(factor, abs=1e-12)


def test_without_warm_up_the_learning_rate_starts_at_its_highest():
    assert learning_rate_factor(0.0, warmup=0.0) == 1.0


def test_the_average_of_a_constant_is_the_constant():
    average = 7.0
    for step in range(1, 500):
        average += averaging_weight(step, share=0.05) * (7.0 - average)
    assert average == 7.0


@pytest.mark.parametrize("window", [20, 5])
def test_of_the_first_network_one_part_in_a_binomial_coefficient_is_left(window):
    # The product of 1 - window / n for n from window + 1 to N is 1 / binomial(N, window).
    part = 1.0
    for step in range(1, 41):
        part *= 1 - averaging_weight(step, share=1 / window) if step > window else 1
    assert part == pytest.approx(1 / math.comb(40, window), rel=1e-6)


def test_the_beginning_is_forgotten():
    assert [averaging_weight(step, share=0.05) for step in (1, 19, 20)] == [1.0, 1.0, 1.0]
    part = math.prod(1 - averaging_weight(step, share=0.05) for step in range(21, 61))
    assert 0 < part < 1e-15


def test_only_some_of_many_steps_count_and_the_window_stays():
    weights = {step: averaging_weight(step, share=0.05) for step in range(1, 4001)}
    assert all(weights[step] for step in range(1, ALL_AVERAGED + 1))
    assert [step for step in range(3001, 3013) if weights[step]] == [3004, 3008, 3012]


@pytest.mark.parametrize("last", [104, 120, 200, 1000, 4000])
def test_what_is_averaged_is_as_old_as_if_every_step_counted(last):
    def mean_age(weight):
        left, age = 1.0, 0.0
        for step in range(last, 0, -1):
            age += left * weight(step) * (last - step)
            left *= 1 - weight(step)
        return age

    every = mean_age(lambda step: 1 / max(1.0, 0.05 * step))
    found = mean_age(lambda step: averaging_weight(step, share=0.05))
    assert every - AVERAGED_EVERY < found < every  # the newest of each few, that is


def test_an_average_that_spans_all_steps_is_their_mean():
    average = 0.0
    for step, value in enumerate([4.0, 8.0, 3.0, 1.0], 1):
        average += averaging_weight(step, share=1.0) * (value - average)
    assert average == pytest.approx(4.0)


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_a_pace_of_steps_takes_exactly_so_many_steps(steps):
    pace = StepPace(steps)
    done = 0
    while not pace.is_over(done):
        assert pace.progress(done) == done / steps
        pace.note_step(1e9)
        pace.note_validation(1e9)
        pace.note_resumed(1e9, trained=1e9)
        done += 1
    assert done == steps
    assert pace.progress(done) == 1.0
    assert pace.seconds_left() is None
    assert pace.may_validate()


def run(pace, clock, step_seconds, *, validations=0, validation_seconds=lambda number: 0.0):
    """Train on a clock of our own, with a validation after the last step; returns the progress before each step."""
    progress, done, step = [], 0, 0

    def validate():
        nonlocal done
        seconds = validation_seconds(done)
        clock.now += seconds
        pace.note_validation(seconds)
        done += 1

    while not pace.is_over(step):
        progress.append(pace.progress(step))
        seconds = step_seconds(step)
        clock.now += seconds
        pace.note_step(seconds)
        step += 1
        if pace.progress(step) * validations >= done + 1 and not pace.is_over(step) and pace.may_validate():
            validate()
    validate()
    return progress


STEP_SECONDS = {
    "quick": lambda step: 0.02,
    "slow": lambda step: 5.0,
    "slower after a while": lambda step: 0.5 if step < 400 else 6.0,
    "quicker after a while": lambda step: 6.0 if step < 30 else 0.5,
    "uneven": lambda step: 0.1 + 2.0 * (step % 7 == 0),
    "slow to start with": lambda step: 20.0 if step == 0 else 1.0,
}
VALIDATION_SECONDS = {
    "none": (0, lambda number: 0.0),
    "short": (8, lambda number: 1.0),
    "varied": (8, lambda number: (4.0, 6.0, 5.0)[number % 3]),
    "long": (8, lambda number: 30.0),
}


@pytest.mark.parametrize("validating", VALIDATION_SECONDS)
@pytest.mark.parametrize("speed", STEP_SECONDS)
def test_a_pace_of_time_ends_in_time_with_the_schedule_completed(speed, validating):
    clock = Clock()
    pace = TimePace(end=clock.now + 600, reserve=24.0, clock=clock)
    validations, seconds = VALIDATION_SECONDS[validating]
    progress = run(pace, clock, STEP_SECONDS[speed], validations=validations, validation_seconds=seconds)
    assert clock.now <= pace.end  # with the last validation
    assert clock.now >= pace.end - 60  # and without much idle time: the reserve, or 1.5 of the longest validation
    assert all(before <= after for before, after in pairwise(progress))
    assert progress[0] == 0
    assert 0.95 < progress[-1] <= 1
    assert pace.progress(len(progress)) == pytest.approx(1, abs=0.05)


def test_a_last_look_whose_length_is_known_leaves_no_more_time_than_it_takes():
    clock = Clock()
    pace = TimePace(end=clock.now + 600, reserve=24.0, last_look=lambda: 4.0, clock=clock)
    run(pace, clock, STEP_SECONDS["quick"], validations=8, validation_seconds=lambda number: 0.5)
    assert 4.0 < pace.end - clock.now < 4.0 + 5  # the last validation is over, the last look is to come


def test_no_last_look_takes_more_than_the_reserve_or_the_longest_validation():
    clock = Clock()
    pace = TimePace(end=clock.now + 600, reserve=24.0, last_look=lambda: 96.0, clock=clock)
    run(pace, clock, STEP_SECONDS["quick"], validations=8, validation_seconds=lambda number: 12.0)
    assert pace.end - clock.now == pytest.approx(24.0 - 12.0, abs=1)


def test_no_time_is_no_step():
    clock = Clock()
    pace = TimePace(end=clock.now + 5, reserve=5.5, clock=clock)
    assert pace.is_over(0)
    assert pace.progress(0) == 1.0


def test_time_spent_before_counts_in_a_resumed_training():
    clock = Clock()
    pace = TimePace(end=clock.now + 110, reserve=10.0, clock=clock)
    pace.note_resumed(40.0, trained=40.0)
    assert pace.progress(0) == pytest.approx(0.4)
    assert pace.seconds_left() == pytest.approx(70)
    clock.now += 59.9
    assert not pace.is_over(0)
    clock.now += 0.2
    assert pace.is_over(0)


def test_time_spent_before_the_first_step_counts_but_is_no_progress():
    """Of 110 s, 50 were spent before this run, all but one on reading: the training is at its very beginning."""
    clock = Clock()
    pace = TimePace(end=clock.now + 110, reserve=10.0, clock=clock)
    pace.note_resumed(50.0, trained=1.0)
    assert pace.progress(0) == pytest.approx(1 / 51)
    assert pace.seconds_left() == pytest.approx(60)


def test_the_time_left_is_never_negative():
    clock = Clock()
    pace = TimePace(end=clock.now + 10, reserve=1.0, clock=clock)
    clock.now += 11
    assert pace.seconds_left() == 0.0


def test_validations_take_no_more_than_their_share_of_the_time():
    clock = Clock()
    pace = TimePace(end=clock.now + 1000, reserve=10.0, clock=clock)
    assert pace.may_validate()
    clock.now += 10
    pace.note_validation(10.0)
    assert not pace.may_validate()
    clock.now = pace.start + 20 / VALIDATION_SHARE - 0.01
    assert not pace.may_validate()
    clock.now += 0.02
    assert pace.may_validate()


def test_with_others_what_the_first_one_says_counts_and_the_own_clock_does_not():
    clock = Clock()
    pace = TimePace(end=clock.now + 100, reserve=1.0, clock=clock, agree=lambda ours: 0.25)
    clock.now += 1000
    assert pace.progress(0) == 0.25
    assert pace.is_over(0)
    assert pace.may_validate()
    other = TimePace(end=clock.now + 100, reserve=1.0, clock=clock, agree=lambda ours: 0.0)
    clock.now += 1000
    assert not other.is_over(0)
    assert not other.may_validate()
