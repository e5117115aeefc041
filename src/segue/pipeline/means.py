"""What a network is trained with on this machine: the plan to follow or to make, its length, precision and kernels."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from segue.config import plan_from_toml, reasons_in
from segue.errors import UsageError
from segue.fingerprint import Fingerprint
from segue.pipeline.run_folder import PLAN_NAME, kept_states
from segue.pipeline.wishes import FitConfig, Job
from segue.plan import Plan, check_fits, make_plan
from segue.predict.infer import Precision, autocast_dtype
from segue.train.fusing import Kernels, compiled_kernels
from segue.train.settings import DEFAULT_BUDGET
from segue.train.timing import quicker_layers, step_seconds
from segue.train.world import World

SECONDS_WORTH_COMPILING, STEPS_WORTH_COMPILING = 180, 500
"""From such a budget, or so many steps, kernels are compiled: it takes ten seconds and saves a twelfth of the rest."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a network is trained with on this machine."""

    plan: Plan
    dtype: torch.dtype
    """Of the convolutions."""
    kernels: Kernels | None
    """Of the normalisation; None for PyTorch's own layers."""

    @property
    def precision(self) -> Precision:
        """The `dtype` as plans name it."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"


def plan_to_follow(config: FitConfig, folder: Path | None, world: World) -> Plan | None:
    """The plan that somebody gave, or that of the training to go on with; None if one has to be made."""
    if config.plan is not None:
        return config.plan
    kept = folder / PLAN_NAME if folder and config.resume and kept_states(folder) else None
    text = world.from_first(lambda: kept.read_text(encoding="utf-8") if kept and kept.exists() else None)
    if text is None:
        return None
    plan = replace(plan_from_toml(text, source=str(kept or PLAN_NAME)), reasons=reasons_in(text))
    if config.seed not in (None, plan.train.seed):
        raise UsageError(
            f"this training was started with seed {plan.train.seed}, not {config.seed}; leave --seed out to go on "
            "with it, or start anew without --resume"
        )
    return plan


def of_some_length(config: FitConfig, plan: Plan | None) -> FitConfig:
    """The wishes with a time or a number of steps: what was asked for, else that of the plan, else the usual time."""
    if config.budget is not None or config.steps is not None:
        return config
    if plan is not None and (plan.train.budget is not None or plan.train.steps is not None):
        return replace(config, budget=plan.train.budget, steps=plan.train.steps)
    return replace(config, budget=DEFAULT_BUDGET)


def means_of(fingerprint: Fingerprint, job: Job) -> Means:
    """The plan that is given, kept or made, and what was measured to serve it best here: the same in all processes."""
    config, world, plan = job.config, job.world, job.plan
    if plan is not None:
        check_fits(plan, fingerprint)
        plan = replace(plan, train=replace(plan.train, budget=config.budget, steps=config.steps))
        world.share_of(plan.batches.batch)  # says how many processes can share it
    precision: Precision = plan.precision if plan else "auto"
    bf16 = world.from_first(lambda: autocast_dtype(precision, world.device) == torch.bfloat16)
    dtype = torch.bfloat16 if bf16 else torch.float32
    normalized = plan.network.normalization == "batch" if plan else config.preset != "paper"
    kernels = compiled_kernels(world.device, dtype) if normalized and _pays_to_compile(job) else None
    if world.any(kernels is None):
        kernels = None
    if plan is None:
        measure = partial(step_seconds, world=world, kernels=kernels) if config.budget is not None else None
        plan = make_plan(
            fingerprint,
            preset=config.preset,
            budget=config.budget,
            steps=config.steps,
            step_seconds=measure,
            seed=config.seed or 0,
            processes=world.size,
        )
    if kernels and world.device.type != "cpu":
        kernels = quicker_layers(plan.network, plan.batches, world=world, kernels=kernels)
    return Means(plan=plan, dtype=dtype, kernels=kernels)


def _pays_to_compile(job: Job) -> bool:
    if job.config.budget is not None:
        return job.config.budget >= SECONDS_WORTH_COMPILING
    # On a card it is measured what kernels are good for: what is repeatable cannot depend on that.
    return job.world.device.type == "cpu" and (job.config.steps or 0) >= STEPS_WORTH_COMPILING
