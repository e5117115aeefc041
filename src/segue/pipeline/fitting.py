"""From annotated images to a model: examine, plan, prepare, train, judge, keep."""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from segue.config import plan_to_dict, plan_to_toml
from segue.errors import TrainingError, TrainingInterruptedError, UsageError
from segue.fingerprint import Examination, Fingerprint
from segue.io.datasets import Pairs, find_pairs
from segue.io.files import write_whole
from segue.memory import keep_freed_memory
from segue.model.device import best_device
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, initialize
from segue.objects.decode import DecodeConfig
from segue.pipeline.judges import Part, about_own_set, about_sides, look_alikes, sides, spec_to_judge
from segue.pipeline.keeping import finished_model, write_finished
from segue.pipeline.means import Means, means_of, of_some_length, plan_to_follow
from segue.pipeline.preparing import examined, prepare
from segue.pipeline.run_folder import HISTORY_NAME, LAST_NAME, PLAN_NAME, STATE_NAME, kept_states, run_folder
from segue.pipeline.sharing import model_of_first, same_for_all, stopping_together
from segue.pipeline.validating import Validator
from segue.pipeline.wishes import FitConfig, FitObserver, Job
from segue.plan import Plan
from segue.predict.infer import PredictConfig
from segue.train.ahead import Ahead
from segue.train.batches import Batch, Batches, PatchBatches
from segue.train.examples import Example
from segue.train.loop import Observer, train
from segue.train.schedule import Pace, StepPace, TimePace
from segue.train.together import give_training_layers
from segue.train.world import World
from segue.trained import Model
from segue.units import format_duration, parse_duration

FINAL_SHARE = 0.1
"""At most this share of a budget is kept free for the last look at the held-out images and for writing the model."""


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

    `budget` ("20m", or seconds) or `steps` say how long, else the plan that is followed, else it takes 20 minutes;
    `config` holds everything else one may wish.
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
        plan = plan_to_follow(config, folder, world)
        wishes = of_some_length(config, plan)
        job = Job(config=wishes, plan=plan, observer=observer, folder=folder, world=world, started=started)
        return _fit(pairs, validation, job)


def _is_complete(folder: Path, model: Path) -> bool:
    return (folder / HISTORY_NAME).exists() and model.exists()


def _fit(pairs: Pairs, validation: Pairs | None, job: Job) -> Model:
    keep_freed_memory()
    config, observer, world = job.config, job.observer, job.world
    examination, fingerprint, spec = examined(pairs, observer.on_examined)
    data = _digests(examination)
    same_for_all(data, world)  # before anything is measured together
    means = means_of(fingerprint, job)
    plan = means.plan
    learn, judge = sides(examination, plan, hold_out=config.validate and validation is None)
    # Only the first process judges: the others need not read the images for it, nor hold them.
    told = spec_to_judge(validation, pairs, spec) if validation is not None and world.is_first else spec
    why: str | None
    if validation is not None:
        why = world.from_first(lambda: about_own_set(look_alikes(validation, pairs, examination), len(validation)))
    else:
        why = about_sides(judge, hold_out=config.validate and plan.validation_fraction > 0)
    if why is not None:
        plan = replace(plan, reasons=plan.reasons | {"validation_fraction": why})
    observer.on_plan(plan, len(learn), len(judge) if validation is None else len(validation))
    examples, judged = prepare(pairs, learn, judge if world.is_first else [], plan, spec, observer.on_prepared)
    if validation is not None and world.is_first:
        everything: list[Part] = [(number, None) for number in range(len(validation))]
        _, judged = prepare(validation, [], everything, plan, told, observer.on_prepared)
    validator = Validator(
        judged, spec.classes, _prediction(plan), budget=config.budget, decoding=_first_decoding(fingerprint)
    )
    judges = [repr(part) for part in judge] if validation is None else [pair.name for pair in validation]
    identity = _identity(means, config, data, world, judges)
    same_for_all({"plan": identity["plan"]}, world)
    if job.folder:
        _forget_older(job.folder, job)
    with _batches(examples, means, world) as batches:
        state, complete = train(
            _fresh_network(means, world),
            batches,
            pace=_pace(job, last_look=validator.last_look),
            config=plan.train,
            loss=plan.loss,
            validate=lambda network: world.from_first(lambda: validator.quick(network)),
            state_path=job.folder / STATE_NAME if job.folder else None,
            identity=identity,
            observer=stopping_together(_keeping_the_plan(plan, job), world),
            world=world,
            started=job.started,
        )
    if not complete:
        world.wait()  # for the first one to save the state: torchrun ends all when one has left
        raise TrainingInterruptedError(
            "the training was stopped; where the model has a path its state is kept: go on with resume"
        )
    if state.step == 0:
        raise TrainingError(
            f"the time of {format_duration(config.budget or 0)} was over before the first step: the images had to be "
            "read and prepared; give a longer --budget"
        )
    observer.on_trained()

    def keep() -> Model:
        model = finished_model(state, validator, plan, fingerprint, job, precision=means.precision)
        write_finished(model, state, job)
        return model

    return model_of_first(keep, world)


def _fresh_network(means: Means, world: World) -> UNet:
    """The untrained network with the layers that train it."""
    plan = means.plan
    with torch.random.fork_rng(devices=[]):
        network = UNet(plan.network)
    initialize(network, generator=torch.Generator().manual_seed(plan.train.seed))
    give_training_layers(network, world, batch=plan.batches.batch, kernels=means.kernels)
    return network


def _batches(examples: Sequence[Example], means: Means, world: World) -> AbstractContextManager[Batches]:
    plan = means.plan
    batches = PatchBatches(
        examples,
        plan.batches,
        augment=plan.augment,
        seed=plan.train.seed,
        margin=tuple(geometry.margin for geometry in axis_geometries(plan.network)),
        dtype=means.dtype,
        samples=world.share_of(plan.batches.batch),
    )
    return nullcontext(batches) if world.device.type == "cpu" else Ahead(batches, ready=Batch.pinned)


def _forget_older(folder: Path, job: Job) -> None:
    """Remove what an older training left, unless this one goes on with it."""
    if not (job.config.resume and kept_states(folder)):
        for old in (*kept_states(folder), folder / HISTORY_NAME, folder / LAST_NAME, folder / PLAN_NAME):
            old.unlink(missing_ok=True)


def _keeping_the_plan(plan: Plan, job: Job) -> Observer:
    """The observer of the loop, which writes the plan once the training begins or goes on."""

    def on_begun() -> None:
        if job.folder:
            _keep_plan(job.folder / PLAN_NAME, plan, job)
        job.observer.loop.on_begun()

    return replace(job.observer.loop, on_begun=on_begun)


def _keep_plan(path: Path, plan: Plan, job: Job) -> None:
    """Write the plan; of a training that goes on only its time may be another than what is written there."""
    kept = job.plan if job.config.plan is None else None
    if path.exists() and not (kept and kept.train.steps is None and kept.train.budget != plan.train.budget):
        return
    write_whole(path, plan_to_toml(plan).encode())


def _first_decoding(fingerprint: Fingerprint) -> DecodeConfig:
    """How to decode before there is anything to tune on: nothing a quarter as large as the small objects is one."""
    if fingerprint.objects is None:
        return DecodeConfig()
    small = fingerprint.objects.diameter[1]
    area = math.pi / 4 * small**2 if fingerprint.spatial_axes == 2 else math.pi / 6 * small**3
    return DecodeConfig(smallest_object=max(1, int(area / 4)), smoothing=0.5)


def _prediction(plan: Plan) -> PredictConfig:
    return PredictConfig(context=plan.context, mirror=plan.mirror, precision=plan.precision)


def _pace(job: Job, *, last_look: Callable[[], float | None]) -> Pace:
    if job.config.steps is not None:
        return StepPace(job.config.steps)
    assert job.config.budget is not None
    return TimePace(
        end=job.started + job.config.budget,
        reserve=max(3.0, FINAL_SHARE * job.config.budget),
        last_look=last_look,
        agree=job.world.number_of_first,
    )


def _digests(examination: Examination) -> dict[str, str]:
    """What images and masks are learnt from, as short texts."""
    return {
        "images": _short("".join(one.image.digest for one in examination.images)),
        "masks": _short("".join(one.labels.digest for one in examination.images)),
    }


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _identity(means: Means, config: FitConfig, data: dict[str, str], world: World, judges: list[str]) -> dict[str, Any]:
    """What has to be the same for a training to go on."""
    # Both are measured; where the same bits are promised, they have to be the same.
    measured = {"precision": means.precision, "compiled": means.kernels is not None}
    # How long it takes is not part of what it is: a time may be changed on the way, steps are told below.
    lasting = replace(means.plan, reasons={}, train=replace(means.plan.train, budget=None, steps=None))
    return {
        "plan": _short(json.dumps(plan_to_dict(lasting), sort_keys=True)),
        "preset": config.preset,
        "steps": config.steps,
        "images to judge with": _short("".join(judges)),
        **data,
        "threads": torch.get_num_threads(),
        "processes": world.size,
        **(measured if config.steps is not None else {}),
    }
