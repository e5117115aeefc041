"""Checks that the configurations of all augmentations share."""

import math

from segue.errors import UsageError


def check_chances(config: object, *names: str) -> None:
    """Raise UsageError unless each named setting is a probability."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise UsageError(f"{name} = {value} is no probability; give a number from 0 to 1")


def check_not_below(config: object, least: float, *names: str) -> None:
    """Raise UsageError unless each named setting is finite and `least` or more."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= least):
            raise UsageError(f"{name} = {value} cannot be used; give {least} or more")
