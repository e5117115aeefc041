"""Kill a training again and again at random moments; however often, it has to end in the same weights to the bit.

    python -m benchmarks.kills [--kills 100] [--steps 200] [--threads 1] [--seed 0] [--out FILE]

A small training on simulated cells runs once undisturbed. Then the same training is started, killed with SIGKILL at a
random moment, started again with --resume, and so on; whenever it comes to its end, its weights (SHA-256 over all
tensors) and its history are compared with those of the undisturbed run, and it starts from nothing. The state is saved
several times a second, so that many kills fall into a save. A temporary file that is left anywhere is an error too.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine

from segue.io.files import TEMPORARY_MARK
from segue.io.images import write_image, write_labels
from segue.io.tensors import read_tensors
from segue.simulate import simulate_cells

PLAN = """
precision = "fp32"
mirror = false
validation_fraction = 0.3
[network]
width = 8
widest = 32
outputs = 2
factors = [[2, 2], [2, 2]]
kernels = [[3, 3], [3, 3], [3, 3]]
padding = "same"
normalization = "batch"
dropout = 0.2
[normalization]
[targets]
w0 = 5.0
[batches]
patch = [32, 32]
batch = 2
[augment]
[loss]
dice = 1.0
[train]
validations = 5
save_every = 0.05
"""
WINDOW = 0.3
"""A kill comes within this share of the time that the whole training takes: a training is killed several times."""


@dataclass
class Tally:
    """What happened."""

    kills: int = 0
    completed: int = 0
    """Trainings that came to their end, each killed several times on its way."""
    identical: int = 0
    """Of these, with the weights and the history of the undisturbed one."""
    refused: int = 0
    """Starts that failed: a state that could not be read, a lock that was not given back."""
    leftovers: int = 0
    """Temporary files that were still there when a training was complete."""
    killed_at_step: list[int] = field(default_factory=list)
    """The step of the newest state after each kill; 0 where nothing was saved yet."""


def make_data_set(root: Path) -> None:
    """Four images of simulated cells, and the plan."""
    for seed in range(4):
        image, labels = simulate_cells((48, 48), seed=seed)
        write_image(root / "images" / f"{seed}.tif", image)
        write_labels(root / "masks" / f"{seed}.tif", labels.ids, space=labels.space, kind="objects")
    (root / "plan.toml").write_text(PLAN)


class Training:
    """One training as a command."""

    def __init__(self, folder: Path, name: str, *, steps: int, threads: int) -> None:
        self.model = folder / f"{name}.segue"
        self.run_folder = folder / f"{name}.training"
        options = ["--out", self.model, "--steps", steps, "--config", folder / "data" / "plan.toml", "--quiet"]
        self._command = ["train", folder / "data", *options]
        self._environment = os.environ | {"OMP_NUM_THREADS": str(threads)}

    def start(self, *, resume: bool) -> subprocess.Popen[str]:
        """The running process."""
        (self.run_folder / "lock").unlink(missing_ok=True)  # of a process that was killed
        command = [*map(str, self._command), *(["--resume"] if resume else [])]
        return subprocess.Popen(
            [sys.executable, "-c", "from segue.cli import main; main()", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def wait_for(self, name: str, process: subprocess.Popen[str]) -> None:
        """Return once there is a file of that name in the run folder: first the lock, then the plan and the steps."""
        while not (self.run_folder / name).exists() and process.poll() is None:
            time.sleep(0.002)

    def outcome(self) -> tuple[str, str]:
        """SHA-256 of the weights, and the history without its times."""
        tensors, header = read_tensors(self.model)
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(name.encode() + tensors[name].tobytes())
        history = header["model"]["training"]["history"]
        plain = [{key: value for key, value in record.items() if key != "seconds"} for record in history]
        return digest.hexdigest(), json.dumps(plain, sort_keys=True)

    def saved_step(self) -> int:
        """The step of the newest state; 0 if there is none yet."""
        for name in ("state.safetensors", "state-previous.safetensors"):
            if (self.run_folder / name).exists():
                return int(read_tensors(self.run_folder / name)[1]["step"])
        return 0

    def forget(self) -> None:
        """Remove everything, for a training from nothing."""
        self.model.unlink(missing_ok=True)
        shutil.rmtree(self.run_folder, ignore_errors=True)


def undisturbed(training: Training) -> tuple[float, float]:
    """Run to the end; the seconds from the lock on its folder to the first step, and to its end."""
    process = training.start(resume=False)
    training.wait_for("lock", process)
    started = time.monotonic()
    training.wait_for("plan.toml", process)
    began = time.monotonic() - started
    _, err = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the undisturbed training failed: {err}")
    return began, time.monotonic() - started


def torment(training: Training, expected: tuple[str, str], *, kills: int, began: float, end: float, seed: int) -> Tally:
    """Kill and resume until there were so many kills and the last training is complete."""
    rng = random.Random(seed)
    tally = Tally()
    resume = False
    while tally.kills < kills or resume:
        process = training.start(resume=resume)
        training.wait_for("lock", process)
        moment = rng.uniform(0, began + WINDOW * (end - began))
        try:
            _, err = process.communicate(timeout=moment if tally.kills < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            tally.kills += 1
            tally.killed_at_step.append(training.saved_step())
            print(f"kill {tally.kills}: step {tally.killed_at_step[-1]} is saved", file=sys.stderr)
            resume = True
            continue
        if process.returncode != 0:
            tally.refused += 1
            print(err, file=sys.stderr)
        else:
            tally.completed += 1
            tally.identical += training.outcome() == expected
            marked = f"{TEMPORARY_MARK}*"
            tally.leftovers += len([*training.model.parent.glob(marked), *training.run_folder.glob(marked)])
        print(f"{tally.identical} of {tally.completed} trainings identical", file=sys.stderr)
        training.forget()
        resume = False
    return tally


def measure(*, kills: int, steps: int, threads: int, seed: int) -> dict[str, Any]:
    """The whole benchmark, in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data_set(folder / "data")
        reference = Training(folder, "undisturbed", steps=steps, threads=threads)
        began, end = undisturbed(reference)
        killed = Training(folder, "killed", steps=steps, threads=threads)
        tally = torment(killed, reference.outcome(), kills=kills, began=began, end=end, seed=seed)
    return {
        "steps": steps,
        "threads": threads,
        "seed": seed,
        "seconds_to_the_first_step": round(began, 2),
        "seconds_of_a_whole_training": round(end, 2),
        **asdict(tally),
        "passed": tally.identical == tally.completed > 0 and tally.refused == tally.leftovers == 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200, help="of the whole training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="where the moments of the kills come from")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    arguments = parser.parse_args()
    result = measure(kills=arguments.kills, steps=arguments.steps, threads=arguments.threads, seed=arguments.seed)
    text = json.dumps({"benchmark": "kills", "machine": describe_machine(), "result": result}, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
