"""The training loop: a batch, a step, a moving average, now and then a validation and a saved state.

A run with a number of steps is repeatable to the bit on one machine with one number of threads, also across kills:
each step depends on the state before it and on (seed, step) alone.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segue.errors import TrainingError
from segue.loss import LossConfig, total_loss
from segue.model.unet import UNet, memory_format, network_from
from segue.train.batches import Batch, Batches
from segue.train.muon import Muon
from segue.train.schedule import Pace, StepPace, averaging_weight, learning_rate_factor
from segue.train.settings import TrainConfig
from segue.train.state import Record, TrainState, load_state, save_state, share_state
from segue.train.world import World

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, kw_only=True)
class Observer:
    """What the outside world may do while a training runs; each has a default that does nothing."""

    on_begun: Callable[[], None] = lambda: None
    """Called before the first step, once a state that was kept is taken up (or refused, and then it is not)."""
    on_step: Callable[[Record, float | None], None] = lambda record, seconds_left: None
    """Called after each step with its record (step, progress, loss, rate) and the seconds left, if known."""
    on_validation: Callable[[Record], None] = lambda record: None
    """Called after each validation with its record (step, progress, score, and what the validation measured)."""
    should_stop: Callable[[], bool] = lambda: False
    """Asked after each step, and at the end; if True the state is saved and the loop ends early."""


Validate = Callable[[UNet], dict[str, float]]
"""Scores a network; the entry "score" decides which network is best. An empty answer: nothing to validate on."""


def train(
    network: UNet,
    batches: Batches,
    *,
    pace: Pace,
    config: TrainConfig,
    loss: LossConfig,
    validate: Validate,
    state_path: Path | None = None,
    identity: dict[str, Any] | None = None,
    observer: Observer | None = None,
    world: World | None = None,
    started: float | None = None,
) -> tuple[TrainState, bool]:
    """Train `network` until `pace` is over; returns the state and whether the training is complete.

    With a `state_path` it goes on from the state found there, and saves its own there. The time spent counts from
    `started` on the monotonic clock (reading and planning too), or from now. In a `world` of several
    processes each has its share of the batches; all begin with the state of the first one, and `pace`, `validate` and
    `observer.should_stop` must give all the same answers.
    Raises TrainingError if the loss is not finite, or if another process is gone.
    """
    observer, world = observer or Observer(), world or World()
    started = time.monotonic() if started is None else started
    state = _fresh_state(network, config, world.device)
    if state_path:
        load_state(state, state_path, identity=identity or {})
    share_state(state, world)
    observer.on_begun()
    state.seconds_before = state.seconds
    pace.note_resumed(state.seconds, trained=state.trained)
    saved = time.monotonic()
    with _own_randomness(world.device), _repeatable(world.device, pace):
        while not pace.is_over(state.step):
            # Before the next step, so that a training that was stopped after a step makes up for what was due then.
            if _is_due(state, pace, config):
                _validate(state, pace.progress(state.step), validate, pace, observer)
            if state_path and time.monotonic() - saved > config.save_every:
                save_state(state, state_path, identity=identity or {})
                saved = time.monotonic()
            begun = time.monotonic()
            record = _step(state, batches.batch(state.step), pace.progress(state.step), config, loss, world)
            seconds = time.monotonic() - begun
            pace.note_step(seconds)
            state.trained += seconds
            state.seconds = state.seconds_before + time.monotonic() - started
            if stopped := observer.should_stop():
                break
            observer.on_step(record, pace.seconds_left())
        else:
            if not _is_validated(state):
                _validate(state, 1.0, validate, pace, observer)
            stopped = observer.should_stop()
    if state_path:
        save_state(state, state_path, identity=identity or {})
    return state, not stopped


def _fresh_state(network: UNet, config: TrainConfig, device: torch.device) -> TrainState:
    network.to(device=device, memory_format=memory_format(network.config.spatial_axes))  # type: ignore[call-overload]
    average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return TrainState(network=network, average=average, optimizer=_optimizer(network, config))


def _optimizer(network: UNet, config: TrainConfig) -> torch.optim.Optimizer:
    common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=config.momentum, fused=True, **common)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), fused=True, **common)
    convolutions = [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]
    # Between the image and the logits: the first and the last are no maps from features to features.
    filters = [module.weight for module in convolutions[1:-1]]
    return Muon(network.parameters(), filters=filters, momentum=config.momentum, **common)


def _step(
    state: TrainState, batch: Batch, progress: float, config: TrainConfig, loss_config: LossConfig, world: World
) -> Record:
    batch = batch.to(world.device)
    network, optimizer = state.network, state.optimizer
    torch.manual_seed(config.seed * 1_000_003 + state.step)  # dropout draws from (seed, step) alone
    network.train()
    rate = config.learning_rate * learning_rate_factor(progress, warmup=config.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    image = batch.image.contiguous(memory_format=memory_format(network.config.spatial_axes))
    with torch.autocast(image.device.type, batch.dtype, enabled=batch.dtype != torch.float32):
        logits = network(image)
    loss = total_loss(logits, batch.target, batch.weights, batch.maps, loss_config, total=world.total)
    value = float(loss.detach())
    if not -1e30 < value < 1e30:
        raise _exploded("loss", value, state.step, rate)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    world.sum_gradients(network.parameters())
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    if not math.isfinite(float(norm)):  # before it reaches a weight, and a state that would be saved
        raise _exploded("gradient", float(norm), state.step, rate)
    if not float(norm) <= config.largest_gradient:  # else there is nothing to multiply, and nothing to write
        torch.nn.utils.clip_grads_with_norm_(network.parameters(), config.largest_gradient, norm)
    optimizer.step()
    state.step += 1
    if weight := averaging_weight(state.step, share=config.average_share):
        _update_average(state, weight)
    return {"step": float(state.step), "progress": progress, "loss": value, "rate": rate}


def _exploded(what: str, value: float, step: int, rate: float) -> TrainingError:
    return TrainingError(
        f"the {what} became {value} at step {step}; lower the learning rate (now {rate:.2g}) or look for "
        "wild intensities with 'segue check'; the last saved state is untouched"
    )


@torch.no_grad()
def _update_average(state: TrainState, weight: float) -> None:
    for name, tensor in state.network.state_dict().items():
        average = state.average[name]
        if average.is_floating_point():
            average.lerp_(tensor, weight)
        else:
            average.copy_(tensor)


def _is_due(state: TrainState, pace: Pace, config: TrainConfig) -> bool:
    """Whether a validation should come before the next step; there is at most one after each step."""
    if _is_validated(state):
        return False
    return pace.progress(state.step) * config.validations >= state.validations + 1 and pace.may_validate()


def _is_validated(state: TrainState) -> bool:
    """Whether the newest weights were judged already: a training that was killed after its last step goes on here."""
    return bool(state.history) and state.history[-1]["step"] == state.step


def _validate(state: TrainState, progress: float, validate: Validate, pace: Pace, observer: Observer) -> None:
    started = time.monotonic()
    scores = validate(network_from(state.network.config, state.average))
    seconds = time.monotonic() - started
    pace.note_validation(seconds)
    state.seconds += seconds
    state.trained += seconds
    state.validations += 1
    score = scores.get("score", float("nan"))
    # Without a validation set, or while its score says nothing, the newest average is the best one known.
    if score >= state.best_score or (math.isnan(score) and state.best_score == -math.inf):
        state.best = {name: tensor.clone() for name, tensor in state.average.items()}
        state.best_score = -math.inf if math.isnan(score) else score
    record = {"step": float(state.step), "progress": progress, "seconds": state.seconds, **scores}
    state.history.append({key: value for key, value in record.items() if value == value})
    observer.on_validation(record)


def _repeatable(device: torch.device, pace: Pace) -> AbstractContextManager[None]:
    """On a graphics card, convolutions that sum in the same order each time where a number of steps promises it."""
    if device.type != "cuda" or not isinstance(pace, StepPace):
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """The loop seeds torch at every step; the caller's random state is as before afterwards."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        yield
