"""The plan of a training, and how it is made."""

from segue.plan.making import PRESETS, Preset, make_plan
from segue.plan.plan import Plan, check_fits
from segue.plan.size import relative_spacing

__all__ = ["PRESETS", "Plan", "Preset", "check_fits", "make_plan", "relative_spacing"]
