"""Training with other processes: what torchrun tells through the environment, and who speaks when something fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from segue.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

    from segue.train.world import World

TOLD = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
"""What whoever starts several processes tells each of them."""
PATIENCE = timedelta(hours=12)
"""How long a process waits for another one that is busy, such as with judging; one that is gone is noticed at once."""


@contextmanager
def joined() -> Iterator["World | None"]:
    """The processes that torchrun (or whoever sets its variables) started for this training; None for one alone.

    If several fail, the first one speaks and the others end without a word: most fail because another one did.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield None
        return
    missing = [name for name in TOLD if not os.environ.get(name)]
    if missing:
        raise UsageError(
            f"the variable WORLD_SIZE = {os.environ['WORLD_SIZE']} says that this is one of several processes, but "
            f"without {', '.join(missing)} they cannot meet; start with torchrun, or unset WORLD_SIZE to train "
            "with one process"
        )
    # Its functions take the group of the moment they are imported as a default value and never let it go; optimisers
    # import it. The group's threads would then still run while Python ends, which aborts the process now and then.
    import torch.distributed.nn  # noqa: F401
    from torch import distributed

    from segue.model.device import best_device
    from segue.train.world import World

    try:
        device = best_device(int(os.environ.get("LOCAL_RANK", "0")))
        if device.type == "cuda":
            from torch import cuda

            cuda.set_device(device)
        store, rank, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        # Numbers and texts travel between processors also where the gradients travel between graphics cards.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        told = ", ".join(f"{name} = {os.environ[name]}" for name in TOLD)
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"the processes could not meet ({told}): {reason}; choose a free port, or mend these"
        ) from error
    try:
        yield World(rank=rank, size=size, device=device)
    except typer.Exit:
        raise  # who ends like this has said why
    except BaseException:
        if not _first_to_speak(store):
            raise typer.Exit(1) from None
        raise
    finally:
        distributed.destroy_process_group()


def _first_to_speak(store: "Store") -> bool:
    try:
        return store.add("segue/spoken", 1) == 1
    except RuntimeError:
        return True  # the store is gone with the process that kept it
