"""From annotated images to a model: examine, plan, prepare, train, judge, keep."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.channels import with_channels
from segue.config import plan_from_toml, plan_to_dict, plan_to_toml
from segue.errors import DatasetError, ImageError, TrainingError, UsageError
from segue.fingerprint import Examination, Fingerprint, examine
from segue.io.datasets import Pairs, find_pairs, read_pair, resolve_spec
from segue.io.files import write_whole
from segue.io.labels import LabelSpec
from segue.model.file import ModelHeader
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, initialize
from segue.normalize import normalize
from segue.pipeline.run_folder import HISTORY_NAME, LAST_NAME, STATE_NAME, kept_states, run_folder
from segue.pipeline.validating import Validator
from segue.plan import PRESETS, Plan, Preset, check_fits, make_plan, relative_spacing
from segue.predict.infer import PredictConfig, autocast_dtype
from segue.split import Split, members_of, split_pairs
from segue.train.batches import PatchBatches
from segue.train.examples import Example, Judged, Slices, make_example, make_judged
from segue.train.loop import Observer, load_average, train
from segue.train.memory import keep_freed_memory
from segue.train.schedule import Pace, StepPace, TimePace
from segue.train.settings import TrainConfig
from segue.train.state import TrainState
from segue.train.timing import step_seconds
from segue.trained import Model
from segue.units import format_duration, parse_duration

FINAL_SHARE = 0.04
"""Share of a time budget that is kept free for the last look at the held-out images and for writing the model."""

Part = tuple[int, Slices | None]
"""Index of a pair, and the part of it that is meant; None for all of it."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """What a user may wish of a training; the plan decides the rest."""

    budget: float | None = None
    """Seconds from start to finished model. One of `budget` and `steps` is given."""
    steps: int | None = None
    """Number of training steps: repeatable to the bit."""
    preset: Preset = "auto"
    """"auto", or "paper" for the network of 2015."""
    seed: int = 0
    """All randomness comes from it."""
    validate: bool = True
    """Whether images are held out to judge the network."""
    plan: Plan | None = None
    """A plan to follow instead of making one."""
    out: Path | None = None
    """Where the model is written; beside it the training keeps its state, plan and history. None: in memory alone."""
    resume: bool = False
    """Whether to go on with a training that was interrupted, if there is one."""

    def __post_init__(self) -> None:
        if (self.budget is None) == (self.steps is None):
            raise UsageError("give either a time budget (such as 20m) or a number of steps, not both and not neither")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"a training has at least 1 step, not {self.steps}")
        if self.preset not in PRESETS:
            raise UsageError(f'the preset is one of {", ".join(PRESETS)}, not "{self.preset}"')
        if self.plan is not None and self.preset != "auto":
            raise UsageError("give a preset or a plan, not both: a plan decides everything")
        if self.plan is not None and self.seed not in (0, self.plan.train.seed):
            raise UsageError(
                f"the plan holds the seed {self.plan.train.seed}, not {self.seed}; change train.seed in it"
            )
        TrainConfig(seed=self.seed)  # says which seeds are possible
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
    loop: Observer = field(default_factory=Observer)
    """What the training loop reports."""


class TrainingInterruptedError(Exception):
    """The observer asked to stop; the state was saved if there is a place for it."""


def fit(
    pairs: Pairs | Path | str,
    *,
    budget: str | float | None = None,
    steps: int | None = None,
    validation: Pairs | None = None,
    config: FitConfig | None = None,
    observer: FitObserver | None = None,
) -> Model:
    """Train a U-Net on annotated images and return it as a model, judged on images it has not seen.

    `budget` ("20m", or seconds) or `steps` say how long; `config` holds everything else one may wish.
    `validation` is a data set to judge with; without it some of the images are held out.

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
    with run_folder(config.out) if config.out else nullcontext() as folder:
        if config.resume and config.out and folder and (folder / HISTORY_NAME).exists() and config.out.exists():
            return Model.load(config.out)  # complete: a script may repeat its command until all is done
        return _fit(pairs, validation, config, observer, folder, started)


def _fit(
    pairs: Pairs,
    validation: Pairs | None,
    config: FitConfig,
    observer: FitObserver,
    folder: Path | None,
    started: float,
) -> Model:
    keep_freed_memory()
    examination, fingerprint, spec = _examined(pairs, observer)
    plan = _plan(fingerprint, config, folder)
    learn, judge = _sides(examination, plan, hold_out=config.validate and validation is None)
    observer.on_plan(plan, len(learn), len(judge) if validation is None else len(validation))
    examples, judged = _prepare(pairs, learn, judge, plan, spec, observer)
    if validation is not None:
        everything = [(number, None) for number in range(len(validation))]
        _, judged = _prepare(validation, [], everything, plan, _spec_to_judge(validation, pairs, spec), observer)
    validator = Validator(judged, spec.classes, _prediction(plan), budget=config.budget)
    network = UNet(plan.network)
    initialize(network, generator=torch.Generator().manual_seed(plan.train.seed))
    batches = PatchBatches(
        examples,
        plan.batches,
        augment=plan.augment,
        seed=plan.train.seed,
        margin=tuple(geometry.margin for geometry in axis_geometries(plan.network)),
        dtype=autocast_dtype(plan.precision),
    )
    if folder:
        _begin(folder, plan, resume=config.resume)
    state, complete = train(
        network,
        batches,
        pace=_pace(config, started),
        config=plan.train,
        loss=plan.loss,
        validate=validator.quick,
        state_path=folder / STATE_NAME if folder else None,
        identity=_identity(plan, config, examination),
        observer=observer.loop,
    )
    if not complete:
        raise TrainingInterruptedError
    if state.step == 0:
        raise TrainingError(
            f"the time of {format_duration(config.budget or 0)} was over before the first step: the images had to be "
            "read and prepared; give a longer --budget"
        )
    model = _finished(state, validator, plan, fingerprint, config, started)
    _keep(model, state, config, folder)
    return model


def _examined(pairs: Pairs, observer: FitObserver) -> tuple[Examination, Fingerprint, LabelSpec]:
    """What the data set is; raises DatasetError with all that is wrong if anything is fatal."""
    examination = examine(pairs)
    observer.on_examined(examination)
    if examination.errors or examination.fingerprint is None or examination.spec is None:
        listed = "\n".join(f"  {one.file}: {one.reason}; {one.remedy}" for one in examination.errors)
        raise DatasetError(f"{pairs.root}: the data are not fit for training:\n{listed}")
    return examination, examination.fingerprint, examination.spec


def _plan(fingerprint: Fingerprint, config: FitConfig, folder: Path | None) -> Plan:
    kept = folder / "plan.toml" if folder else None
    if config.plan is not None:
        check_fits(config.plan, fingerprint)
        return config.plan
    if config.resume and kept and kept.exists():
        return plan_from_toml(kept.read_text(), source=str(kept))
    measure = step_seconds if config.budget is not None else None
    return make_plan(fingerprint, preset=config.preset, budget=config.budget, step_seconds=measure, seed=config.seed)


def _sides(examination: Examination, plan: Plan, *, hold_out: bool) -> tuple[list[Part], list[Part]]:
    """What to train on and what to judge with."""
    numbers = [one.index for one in examination.images]
    if not hold_out or plan.validation_fraction == 0:
        return [(number, None) for number in numbers], []
    split = split_pairs(members_of(examination), validation_fraction=plan.validation_fraction)
    if isinstance(split, Split):
        return (
            [(numbers[place], None) for place in split.train],
            [(numbers[place], None) for place in split.validation],
        )
    return (
        [(numbers[part.image], part.slices) for part in split.train],
        [(numbers[part.image], part.slices) for part in split.validation],
    )


def _prepare(
    pairs: Pairs,
    learn: Sequence[Part],
    judge: Sequence[Part],
    plan: Plan,
    spec: LabelSpec,
    observer: FitObserver,
) -> tuple[list[Example], list[Judged]]:
    """Read every image once more and make of it what training and validation need."""
    to_learn, to_judge = dict(learn), dict(judge)
    examples: list[Example] = []
    judged: list[Judged] = []
    wanted = sorted({*to_learn, *to_judge})
    for done, number in enumerate(wanted, 1):
        image, labels = read_pair(pairs[number], spec)
        if image.spatial_axes != plan.network.spatial_axes:
            raise ImageError(
                f"{image.name}: it has {image.spatial_axes} spatial axes, but the network has "
                f"{plan.network.spatial_axes}; train and judge with images of one kind"
            )
        image = with_channels(image, channels=plan.network.channels, rgb=plan.rgb)
        pixels = normalize(image, plan.normalization)
        if number in to_learn:
            spacing = relative_spacing(image.space.pixel_size)
            part = to_learn[number]
            examples.append(make_example(pixels, labels, plan.targets, seed=number, spacing=spacing, part=part))
        if number in to_judge:
            judged.append(make_judged(pairs[number].name, pixels, labels, part=to_judge[number]))
        observer.on_prepared(done, len(wanted))
    return examples, judged


def _spec_to_judge(validation: Pairs, pairs: Pairs, spec: LabelSpec) -> LabelSpec:
    """What the masks of `validation` mean: what its dataset.toml says, else the same as in the training data.

    Raises DatasetError if they hold something else than the training data.
    """
    told = validation.description
    own = spec if told.labels is None and told.values is None else resolve_spec(validation).spec
    if own.kind != spec.kind or len(own.classes) != len(spec.classes):
        raise DatasetError(
            f"{validation.root}: its masks hold {own.kind} ({', '.join(own.classes)}), but those of {pairs.root} hold "
            f"{spec.kind} ({', '.join(spec.classes)}); annotate both in one way, or mend its dataset.toml"
        )
    return own


def _begin(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Write the plan and forget an older training; nothing of the sort if there is one to go on with."""
    states = kept_states(folder)
    if resume and states:
        return
    for old in (*states, folder / HISTORY_NAME, folder / LAST_NAME):
        old.unlink(missing_ok=True)
    write_whole(folder / "plan.toml", plan_to_toml(plan).encode())


def _prediction(plan: Plan) -> PredictConfig:
    return PredictConfig(context=plan.context, mirror=plan.mirror, precision=plan.precision)


def _pace(config: FitConfig, started: float) -> Pace:
    if config.steps is not None:
        return StepPace(config.steps)
    assert config.budget is not None
    return TimePace(end=started + config.budget, reserve=max(3.0, FINAL_SHARE * config.budget))


def _identity(plan: Plan, config: FitConfig, examination: Examination) -> dict[str, Any]:
    """What has to be the same for a training to go on."""

    def short(text: str) -> str:
        return sha256(text.encode()).hexdigest()[:16]

    return {
        "plan": short(json.dumps(plan_to_dict(plan) | {"reasons": None}, sort_keys=True)),
        "steps": config.steps,
        "images": short("".join(one.image.digest for one in examination.images)),
        "masks": short("".join(one.labels.digest for one in examination.images)),
        "threads": torch.get_num_threads(),
    }


def _finished(
    state: TrainState,
    validator: Validator,
    plan: Plan,
    fingerprint: Fingerprint,
    config: FitConfig,
    started: float,
) -> Model:
    """The best weights as a model, judged once more on everything that was held out."""
    network = load_average(state, state.best)
    end = started + config.budget - 1.0 if config.budget is not None else None
    summary, decoding = validator.final(
        network, seconds_left=(lambda: end - time.monotonic()) if end is not None else None
    )
    header = ModelHeader(
        segue=version("segue"),
        network=plan.network,
        kind=fingerprint.kind,
        classes=fingerprint.classes,
        auxiliary=plan.targets.auxiliary,
        rgb=plan.rgb,
        normalization=plan.normalization,
        pixel_size=fingerprint.pixel_size,
        unit=fingerprint.unit,
        context=plan.context,
        mirror=plan.mirror,
        decoding=decoding,
        training={
            "plan": plan_to_dict(plan),
            "fingerprint": fingerprint.to_dict(),
            "steps": state.step,
            "seconds": round(time.monotonic() - started, 1),
            "history": state.history,
            "validation": summary,
            "versions": {
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )
    return Model(header, network)


def _keep(model: Model, state: TrainState, config: FitConfig, folder: Path | None) -> None:
    """Write the model, and beside it the last weights and the history; the state for a resume is done with."""
    if config.out is None or folder is None:
        return
    model.save(config.out)
    last = Model(model.header, load_average(state))
    last.save(folder / LAST_NAME)
    lines = "".join(json.dumps(record) + "\n" for record in state.history)
    write_whole(folder / HISTORY_NAME, lines.encode())
    for kept in kept_states(folder):
        kept.unlink()
