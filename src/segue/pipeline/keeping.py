"""The end of a training: its best weights as a model, judged once more, and the files that stay of it."""

import json
import platform
import time
from importlib.metadata import version

import numpy as np
import torch

from segue.config import plan_to_dict
from segue.fingerprint import Fingerprint
from segue.io.files import write_whole
from segue.model.device import device_name
from segue.model.file import ModelHeader
from segue.model.unet import network_from
from segue.pipeline.run_folder import HISTORY_NAME, LAST_NAME, kept_states
from segue.pipeline.validating import Validator
from segue.pipeline.wishes import Job
from segue.plan import Plan
from segue.train.state import TrainState
from segue.trained import Model


def finished_model(
    state: TrainState, validator: Validator, plan: Plan, fingerprint: Fingerprint, job: Job, *, precision: str
) -> Model:
    """The best weights as a model, judged once more on everything that was held out.

    `precision` is what its convolutions were trained in, for the record.
    """
    budget = job.config.budget
    network = network_from(plan.network, state.best or state.average)
    end = job.started + budget - state.seconds_before - 1.0 if budget is not None else None
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
        pixel_size=plan.pixel_size,
        unit=plan.unit if plan.pixel_size else "pixel",
        context=plan.context,
        mirror=plan.mirror,
        precision=plan.precision,
        decoding=decoding,
        training={
            "plan": plan_to_dict(plan),
            "fingerprint": fingerprint.to_dict(),
            "steps": state.step,
            "seconds": round(state.seconds_before + time.monotonic() - job.started, 1),
            "history": state.history,
            "validation": summary,
            "machine": {
                "device": device_name(job.world.device),
                "processes": job.world.size,
                "threads": torch.get_num_threads(),
                "precision": precision,
            },
            "versions": {
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )
    return Model(header, network)


def write_finished(model: Model, state: TrainState, job: Job) -> None:
    """Write the model, and beside it the last weights and the history; the state for a resume is done with."""
    out, folder = job.config.out, job.folder
    if out is None or folder is None:
        return
    model.save(out)
    # The scores are those of the best weights.
    header = model.header.model_copy(update={"training": model.header.training | {"validation": {}}})
    last = Model(header, network_from(header.network, state.average))
    last.save(folder / LAST_NAME)
    lines = "".join(json.dumps(record) + "\n" for record in state.history)
    write_whole(folder / HISTORY_NAME, lines.encode())
    for kept in kept_states(folder):
        kept.unlink()
