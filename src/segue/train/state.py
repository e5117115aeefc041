"""What a training needs to go on as if it had never stopped: weights, their average, the optimiser, the history.

Nothing random is stored, because nothing random is carried over: every step draws from (seed, step) alone.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.errors import MissingInputError, ModelFileError, UsageError
from segue.io.files import remove_leftovers
from segue.io.tensors import read_tensors, write_tensors
from segue.model.unet import UNet
from segue.train.world import World

Record = dict[str, float]


@dataclass
class TrainState:
    """Everything that changes while a network is trained."""

    network: UNet
    average: dict[str, Tensor]
    """The moving average of the network's state, float32."""
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] | None = None
    """The average that scored best on validation so far."""
    best_score: float = -np.inf
    step: int = 0
    seconds: float = 0.0
    """Time spent, over all runs, each from its start: reading and planning too."""
    seconds_before: float = 0.0
    """What of it was spent in runs before this one."""
    trained: float = 0.0
    """Seconds of it that were spent on steps and validations."""
    history: list[Record] = field(default_factory=list)
    validations: int = 0
    """Number of validations done."""


def network_arrays(state: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """A network's state as numpy arrays; float32 and int64, on the CPU."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()}


def save_state(state: TrainState, path: Path, *, identity: dict[str, Any]) -> None:
    """Write the state, keeping the one before it as a second chance. Raises StorageError or CannotCreateError.

    `identity` says which training this is; `load_state` refuses another one's state.
    """
    tensors = _prefixed("network", network_arrays(state.network.state_dict()))
    tensors |= _prefixed("average", network_arrays(state.average))
    if state.best is not None:
        tensors |= _prefixed("best", network_arrays(state.best))
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer/{index}", network_arrays(slots))
    header = {
        "content": "training state",
        "identity": identity,
        **_numbers(state),
    }
    if path.exists():
        path.replace(_previous(path))
    write_tensors(path, tensors, header)


def load_state(state: TrainState, path: Path, *, identity: dict[str, Any]) -> bool:
    """Fill `state` from `path`, or from the one before it if `path` is missing or damaged; False if there is none.

    Raises UsageError if the state is of a training with another plan, data or thread count, ModelFileError if files
    are there but none can be read.
    """
    if path.parent.is_dir():
        remove_leftovers(path.parent)
    damaged: ModelFileError | None = None
    for candidate in (path, _previous(path)):
        try:
            tensors, header = read_tensors(candidate)
        except MissingInputError:
            continue
        except ModelFileError as error:
            damaged = error
            continue
        _check_identity(header.get("identity", {}), identity, candidate)
        _fill(state, tensors, header)
        if candidate != path:
            # A damaged newer one must not become "the one before it" when the next state is saved.
            path.unlink(missing_ok=True)
        return True
    if damaged:
        raise ModelFileError(
            f"{path}: neither this state nor the one before it can be read; start anew without --resume ({damaged})"
        ) from damaged
    return False


def share_state(state: TrainState, world: World) -> None:
    """Give the states of all processes what the state of the first one holds."""
    if world.size == 1:
        return
    told: dict[str, Any] = world.from_first(
        lambda: {
            **_numbers(state),
            "best": state.best is not None,
            "slots": {
                index: {name: list(tensor.shape) for name, tensor in slots.items()}
                for index, slots in state.optimizer.state_dict()["state"].items()
            },
        }
    )
    slots = state.optimizer.state_dict()["state"]
    if not world.is_first:
        _take_numbers(state, told)
        state.best = {name: tensor.clone() for name, tensor in state.average.items()} if told["best"] else None
        slots = {
            int(index): {name: torch.empty(shape, device=world.device) for name, shape in shapes.items()}
            for index, shapes in told["slots"].items()
        }
    groups = (state.network.state_dict(), state.average, state.best or {}, *(slots[index] for index in sorted(slots)))
    # By name: what was read from a file is in another order.
    world.share(group[name] for group in groups for name in sorted(group))
    if not world.is_first:
        _fill_optimizer(state, slots)


def _fill(state: TrainState, tensors: dict[str, NDArray[Any]], header: dict[str, Any]) -> None:
    state.network.load_state_dict(_under("network", tensors))
    device = next(state.network.parameters()).device
    state.average = {name: tensor.to(device) for name, tensor in _under("average", tensors).items()}
    state.best = {name: tensor.to(device) for name, tensor in _under("best", tensors).items()} or None
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer", tensors).items():
        index, slot = name.split("/")
        slots.setdefault(int(index), {})[slot] = tensor
    _fill_optimizer(state, slots)
    _take_numbers(state, header)


def _numbers(state: TrainState) -> dict[str, Any]:
    """What of a state is no tensor, as plain data."""
    return {
        "step": state.step,
        "seconds": state.seconds,
        "trained": state.trained,
        "best_score": state.best_score if np.isfinite(state.best_score) else None,
        "history": state.history,
        "validations": state.validations,
    }


def _take_numbers(state: TrainState, told: dict[str, Any]) -> None:
    """The inverse of `_numbers`."""
    state.step = int(told["step"])
    state.seconds, state.trained = float(told["seconds"]), float(told["trained"])
    state.best_score = -np.inf if told["best_score"] is None else float(told["best_score"])
    state.history = list(told["history"])
    state.validations = int(told["validations"])


def _fill_optimizer(state: TrainState, slots: dict[int, dict[str, Tensor]]) -> None:
    parameters = list(state.network.parameters())
    laid_out = {
        index: {name: _laid_out_like(tensor, parameters[index]) for name, tensor in one.items()}
        for index, one in slots.items()
    }
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": laid_out, "param_groups": groups})


def _laid_out_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The fused optimiser walks through memory: its moments must lie in memory as their parameter does."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def _check_identity(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise UsageError(
                f"{path}: this training was started with {key} = {found.get(key)}, now it is {value}; "
                "resume with the same settings and data, or start anew without --resume"
            )


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def _prefixed(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _under(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    # A copy, because safetensors gives arrays that share one buffer and may be read-only.
    return {
        name.removeprefix(start): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(start)
    }
