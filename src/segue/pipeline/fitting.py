"""From annotated images to a model: examine, plan, prepare, train, judge, keep."""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from segue.config import plan_from_toml, plan_to_dict, plan_to_toml
from segue.errors import TrainingError, UsageError
from segue.fingerprint import Examination, Fingerprint
from segue.io.datasets import Pairs, find_pairs
from segue.io.files import write_whole
from segue.model.device import best_device
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, initialize
from segue.objects.decode import DecodeConfig
from segue.pipeline.keeping import finished_model, write_finished
from segue.pipeline.preparing import Part, examined, prepare, sides, spec_to_judge
from segue.pipeline.run_folder import HISTORY_NAME, LAST_NAME, STATE_NAME, kept_states, run_folder
from segue.pipeline.sharing import model_of_first, same_for_all, stopping_together
from segue.pipeline.validating import Validator
from segue.pipeline.wishes import FitConfig, FitObserver, TrainingInterruptedError
from segue.plan import Plan, check_fits, make_plan
from segue.predict.infer import Precision, PredictConfig, autocast_dtype
from segue.train.ahead import Ahead
from segue.train.batches import PatchBatches
from segue.train.fusing import Kernels, compiled_kernels
from segue.train.loop import train
from segue.train.memory import keep_freed_memory
from segue.train.schedule import Pace, StepPace, TimePace
from segue.train.timing import quicker_layers, step_seconds
from segue.train.together import give_training_layers
from segue.train.world import World
from segue.trained import Model
from segue.units import format_duration, parse_duration

FINAL_SHARE = 0.04
"""Share of a time budget that is kept free for the last look at the held-out images and for writing the model."""

SECONDS_WORTH_COMPILING, STEPS_WORTH_COMPILING = 180, 500
"""From such a budget, or so many steps, kernels are compiled: it takes ten seconds and saves a twelfth of the rest."""
STRIPS = "with few images a strip of each judges, which is kinder than new images would be"
"""What a user should know of scores on parts of the very images that were learnt from (`segue.split`)."""


def fit(
    pairs: Pairs | Path | str,
    *,
    budget: str | float | None = None,
    steps: int | None = None,
    validation: Pairs | Path | str | None = None,
    config: FitConfig | None = None,
    observer: FitObserver | None = None,
    world: World | None = None,
) -> Model:
    """Train a U-Net on annotated images and return it as a model, judged on images it has not seen.

    `budget` ("20m", or seconds) or `steps` say how long; `config` holds everything else one may wish.
    `validation` is a data set to judge with; without it some of the images are held out.
    In a `world` of several processes, all call this with the same arguments: each trains on its share of every batch,
    the first one writes and is observed, and all return its model. Without it the process trains alone, on a graphics
    card if there is one.

    Raises DatasetError (and other DataErrors) if the data are not fit for training, UsageError for wishes that
    contradict each other, BusyError if another training is at work at the same place, TrainingError if the loss
    explodes, TrainingInterruptedError if the observer stopped it.
    """
    started = time.monotonic()
    if config is not None and (budget is not None or steps is not None):
        raise UsageError("the time or the number of steps stands in `config` or beside it; give it in one place")
    config = config or FitConfig(budget=parse_duration(budget) if budget is not None else None, steps=steps)
    observer = observer or FitObserver()
    pairs = pairs if isinstance(pairs, Pairs) else find_pairs(pairs)
    if isinstance(validation, Path | str):
        validation = find_pairs(validation)
    world = world or World(device=best_device())
    if not world.is_first:
        observer = FitObserver(loop=observer.loop)
    with run_folder(config.out) if config.out and world.is_first else nullcontext() as folder:
        out = config.out
        if out and world.from_first(lambda: bool(config.resume and folder and _is_complete(folder, out))):
            # A script may repeat its command until all is done.
            return model_of_first(lambda: Model.load(out), world)
        return _fit(pairs, validation, config, observer, folder, started, world)


def _is_complete(folder: Path, model: Path) -> bool:
    return (folder / HISTORY_NAME).exists() and model.exists()


def _fit(
    pairs: Pairs,
    validation: Pairs | None,
    config: FitConfig,
    observer: FitObserver,
    folder: Path | None,
    started: float,
    world: World,
) -> Model:
    keep_freed_memory()
    examination, fingerprint, spec = examined(pairs, observer.on_examined)
    dtype = _dtype(config.plan.precision if config.plan else "auto", world)
    kernels = _kernels(config, dtype, world)
    plan = _plan(fingerprint, config, folder, world, kernels)
    if kernels and world.device.type != "cpu":
        kernels = quicker_layers(plan.network, plan.batches, world=world, kernels=kernels)
    learn, judge = sides(examination, plan, hold_out=config.validate and validation is None)
    if any(part is not None for _, part in judge):
        plan = replace(plan, reasons=plan.reasons | {"validation_fraction": STRIPS})
    observer.on_plan(plan, len(learn), len(judge) if validation is None else len(validation))
    # Only the first process judges: the others need not hold the images for it.
    examples, judged = prepare(pairs, learn, judge if world.is_first else [], plan, spec, observer.on_prepared)
    if validation is not None and world.is_first:
        everything: list[Part] = [(number, None) for number in range(len(validation))]
        told = spec_to_judge(validation, pairs, spec)
        _, judged = prepare(validation, [], everything, plan, told, observer.on_prepared)
    validator = Validator(
        judged, spec.classes, _prediction(plan), budget=config.budget, decoding=_first_decoding(fingerprint)
    )
    with torch.random.fork_rng(devices=[]):
        network = UNet(plan.network)
    initialize(network, generator=torch.Generator().manual_seed(plan.train.seed))
    give_training_layers(network, world, batch=plan.batches.batch, kernels=kernels)
    batches = PatchBatches(
        examples,
        plan.batches,
        augment=plan.augment,
        seed=plan.train.seed,
        margin=tuple(geometry.margin for geometry in axis_geometries(plan.network)),
        dtype=dtype,
        samples=world.share_of(plan.batches.batch),
    )
    judges = [repr(part) for part in judge] if validation is None else [pair.name for pair in validation]
    identity = _identity(plan, config, examination, world, judges)
    if config.steps is not None:  # both are measured; the same bits come of the same ones only
        identity |= {"precision": str(dtype).removeprefix("torch."), "compiled": kernels is not None}
    same_for_all(identity, world)
    if folder:
        _begin(folder, plan, resume=config.resume)
    with nullcontext(batches) if world.device.type == "cpu" else Ahead(batches) as source:
        state, complete = train(
            network,
            source,
            pace=_pace(config, started, world, last_look=validator.last_look),
            config=plan.train,
            loss=plan.loss,
            validate=lambda network: world.from_first(lambda: validator.quick(network)),
            state_path=folder / STATE_NAME if folder else None,
            identity=identity,
            observer=stopping_together(observer.loop, world),
            world=world,
        )
    if not complete:
        world.wait()  # for the first one to save the state: torchrun ends all when one has left
        raise TrainingInterruptedError
    if state.step == 0:
        raise TrainingError(
            f"the time of {format_duration(config.budget or 0)} was over before the first step: the images had to be "
            "read and prepared; give a longer --budget"
        )

    def keep() -> Model:
        model = finished_model(state, validator, plan, fingerprint, config, started)
        write_finished(model, state, config, folder)
        return model

    return model_of_first(keep, world)


def _kernels(config: FitConfig, dtype: torch.dtype, world: World) -> Kernels | None:
    """Compiled ones, where they pay and are possible: in all processes or in none, so that all compute alike."""
    normalized = config.preset != "paper" if config.plan is None else config.plan.network.normalization == "batch"
    if config.budget is not None:
        pays = normalized and config.budget >= SECONDS_WORTH_COMPILING
    else:
        # On a card it is measured what they are good for: what is repeatable cannot depend on that.
        steps = config.steps if config.steps is not None and world.device.type == "cpu" else 0
        pays = normalized and steps >= STEPS_WORTH_COMPILING
    kernels = compiled_kernels(world.device, dtype) if pays else None
    return None if world.any(kernels is None) else kernels


def _plan(
    fingerprint: Fingerprint, config: FitConfig, folder: Path | None, world: World, kernels: Kernels | None
) -> Plan:
    if config.plan is not None:
        check_fits(config.plan, fingerprint)
        return config.plan
    kept = folder / "plan.toml" if folder and config.resume and kept_states(folder) else None
    text = world.from_first(lambda: kept.read_text() if kept and kept.exists() else None)
    if text is not None:
        plan = plan_from_toml(text, source=str(kept or "plan.toml"))
        check_fits(plan, fingerprint)
        if config.seed not in (None, plan.train.seed):
            raise UsageError(
                f"this training was started with seed {plan.train.seed}, not {config.seed}; leave --seed out to go on "
                "with it, or start anew without --resume"
            )
        return plan
    measure = partial(step_seconds, world=world, kernels=kernels) if config.budget is not None else None
    return make_plan(
        fingerprint, preset=config.preset, budget=config.budget, step_seconds=measure, seed=config.seed or 0
    )


def _begin(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Write the plan and forget an older training; nothing of the sort if there is one to go on with."""
    states = kept_states(folder)
    if resume and states:
        return
    for old in (*states, folder / HISTORY_NAME, folder / LAST_NAME):
        old.unlink(missing_ok=True)
    write_whole(folder / "plan.toml", plan_to_toml(plan).encode())


def _first_decoding(fingerprint: Fingerprint) -> DecodeConfig:
    """How to decode before there is anything to tune on: nothing a quarter as large as the small objects is one."""
    if fingerprint.objects is None:
        return DecodeConfig()
    small = fingerprint.objects.diameter[1]
    area = math.pi / 4 * small**2 if fingerprint.spatial_axes == 2 else math.pi / 6 * small**3
    return DecodeConfig(smallest_object=max(1, int(area / 4)), smoothing=0.5)


def _prediction(plan: Plan) -> PredictConfig:
    return PredictConfig(context=plan.context, mirror=plan.mirror, precision=plan.precision)


def _dtype(precision: Precision, world: World) -> torch.dtype:
    """The type of the convolutions: what the first process measured to be better, in all."""
    bf16 = world.from_first(lambda: autocast_dtype(precision, world.device) == torch.bfloat16)
    return torch.bfloat16 if bf16 else torch.float32


def _pace(config: FitConfig, started: float, world: World, *, last_look: Callable[[], float | None]) -> Pace:
    if config.steps is not None:
        return StepPace(config.steps)
    assert config.budget is not None
    return TimePace(
        end=started + config.budget,
        reserve=max(3.0, FINAL_SHARE * config.budget),
        last_look=last_look,
        agree=world.number_of_first,
    )


def _identity(
    plan: Plan, config: FitConfig, examination: Examination, world: World, judges: list[str]
) -> dict[str, Any]:
    """What has to be the same for a training to go on."""

    def short(text: str) -> str:
        return sha256(text.encode()).hexdigest()[:16]

    return {
        "plan": short(json.dumps(plan_to_dict(plan) | {"reasons": None}, sort_keys=True)),
        "preset": config.preset,
        "steps": config.steps,
        "images to judge with": short("".join(judges)),
        "images": short("".join(one.image.digest for one in examination.images)),
        "masks": short("".join(one.labels.digest for one in examination.images)),
        "threads": torch.get_num_threads(),
        "processes": world.size,
    }
