"""A training step of 4 x 256x256: Segue against plain PyTorch, nnU-Net and MONAI, and against the matrix product.

    python -m benchmarks.training_step [--volumes] [--widths 32 64] [--rounds 5] [--steps 2] [--only NAME ...]

Every contestant is a process of its own that waits for its turn: a round gives each of them `--steps` steps, one after
the other, so that all meet the same moments of the machine. The first round warms up and is thrown away. "equal" has
the network of `benchmarks/peers/plain_network.py` at that width, up to the kind of normalisation, "own" is the network
that the tool would choose (independent of the width). All but nnU-Net and "segue with muon", which has the optimiser of
Segue's plans, move the weights by Adam or AdamW. Segue and the plain network have the same number of parameters, which
is checked. Share of the matrix product: the counted operations of the plain network's step, over the best step, over
the best rate of a product of two 4096x4096 matrices in bf16 in the same rounds.

With --volumes it is a step of 2 x 64x64x64, at widths 16 and 32 unless --widths says otherwise, without nnU-Net.
MONAI's "equal" network then has one pooling more than the others.

All processes stay in memory: at width 64 together about 20 GB. With less, run some of them with --only.
"""

import argparse
import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.peers import ROOT, SCRIPTS, interpreter, versions

from segue.io.files import write_whole


@dataclass(frozen=True)
class Task:
    """What a step is made of."""

    axes: int
    batch: int
    side: int
    widths: list[int]
    out: Path

    def spec(self, width: int) -> dict[str, Any]:
        """As the scripts want it."""
        return {"axes": self.axes, "width": width, "batch": self.batch, "side": self.side}


PRODUCT_FLOPS = 2 * 4096**3
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = Task(2, 4, 256, [32, 64], RESULTS / "training_step.json")
VOLUMES = Task(3, 2, 64, [16, 32], RESULTS / "training_step_volumes.json")


@dataclass(frozen=True)
class Contestant:
    """Something that makes steps."""

    environment: str
    script: str
    options: dict[str, Any]
    of_width: bool = True
    """Whether it depends on the width."""


AUGMENTED, MUON = "segue with augmentation", "segue with muon"
CONTESTANTS = {
    "segue": Contestant("segue", "segue_network.py", {}),
    MUON: Contestant("segue", "segue_network.py", {"optimizer": "muon"}),
    AUGMENTED: Contestant("segue", "segue_network.py", {"augmented": True}),
    "plain": Contestant("segue", "plain_network.py", {}),
    "nnunet equal": Contestant("nnunet", "nnunet_network.py", {"own": False}),
    "nnunet own": Contestant("nnunet", "nnunet_network.py", {"own": True}, of_width=False),
    "monai equal": Contestant("monai", "monai_network.py", {"own": False}),
    "monai own": Contestant("monai", "monai_network.py", {"own": True}, of_width=False),
    "product bf16": Contestant("segue", "matrix_product.py", {"dtype": "bf16"}, of_width=False),
    "product fp32": Contestant("segue", "matrix_product.py", {"dtype": "fp32"}, of_width=False),
}


class Worker:
    """A process that makes steps when told to."""

    def __init__(self, contestant: Contestant, spec: dict[str, Any]) -> None:
        spec = {**spec, **contestant.options}
        self._script = contestant.script
        self._process = subprocess.Popen(
            [interpreter(contestant.environment), SCRIPTS / contestant.script, "step", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def steps(self, count: int) -> list[float]:
        """Seconds of each of so many steps."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._script} ended with exit code {self._process.wait()}")
        seconds: list[float] = json.loads(line)
        return seconds

    def end(self) -> None:
        """Take it away."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def count_flops(spec: dict[str, Any]) -> dict[str, int]:
    script = [str(interpreter("segue")), str(SCRIPTS / "segue_network.py"), "flops", json.dumps(spec)]
    counted: dict[str, int] = json.loads(subprocess.run(script, check=True, capture_output=True, text=True).stdout)
    return counted


def measure(names: list[str], task: Task, *, width: int, rounds: int, steps: int) -> dict[str, Any]:
    """Rounds of steps in turns; seconds of all of them."""
    workers: dict[str, Worker] = {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        for name in names:
            workers[name] = Worker(CONTESTANTS[name], task.spec(width))
            workers[name].steps(2)
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                seconds[name] += workers[name].steps(steps)
            print(f"width {width}, round {number + 1} of {rounds}", flush=True)
    finally:
        for worker in workers.values():
            worker.end()
    return {"width": width, **summarise(seconds, count_flops(task.spec(width)))}


def summarise(seconds: dict[str, list[float]], flops: dict[str, int]) -> dict[str, Any]:
    """Best and median of each contestant, how many times faster Segue is, and shares of the matrix product."""
    best = {name: min(values) for name, values in seconds.items()}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    rate = {name: PRODUCT_FLOPS / best[name] for name in best if name.startswith("product")}
    rows = {}
    for name, values in seconds.items():
        row: dict[str, Any] = {"best": best[name], "median": median[name], "seconds": values}
        if "segue" in best and not name.startswith("product"):
            row["times_segue_best"] = best[name] / best["segue"]
            row["times_segue_median"] = median[name] / median["segue"]
        if "product bf16" in rate and name in ("segue", AUGMENTED, MUON, "plain"):
            row["share_of_bf16_product"] = flops["step"] / best[name] / rate["product bf16"]
        rows[name] = row
    return {"flops_of_a_step": flops["step"], "parameters": flops["parameters"], "product_flops": rate, "steps": rows}


def table(result: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "| Width | Step of | Best | Median | Times Segue's | Share of the bf16 product |",
        "|---|---|---|---|---|---|",
    ]
    for one in result["widths"]:
        for name, row in one["steps"].items():
            if name.startswith("product"):
                continue
            times = f"{row['times_segue_median']:.1f}" if "times_segue_median" in row else ""
            share = f"{100 * row['share_of_bf16_product']:.0f} %" if "share_of_bf16_product" in row else ""
            lines.append(
                f"| {one['width']} | {name} | {row['best']:.2f} s | {row['median']:.2f} s | {times} | {share} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", action="store_true", help="volumes instead of images")
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=5, help="turns of all")
    parser.add_argument("--steps", type=int, default=2, help="steps of each in a round")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, metavar="NAME", help=", ".join(CONTESTANTS))
    parser.add_argument("--out", type=Path, help="where the result is kept, as JSON")
    wishes = parser.parse_args()
    task = VOLUMES if wishes.volumes else IMAGES
    possible = [
        name for name in CONTESTANTS if not wishes.volumes or name not in ("nnunet equal", "nnunet own", AUGMENTED)
    ]
    names = wishes.only or possible
    if unknown := set(names) - set(possible):
        parser.error(f"not with --volumes: {', '.join(sorted(unknown))}")
    for environment in {CONTESTANTS[name].environment for name in names}:
        interpreter(environment)
    found = []
    for place, width in enumerate(wishes.widths or task.widths):
        wanted = [name for name in names if place == 0 or CONTESTANTS[name].of_width or name.startswith("product")]
        found.append(measure(wanted, task, width=width, rounds=wishes.rounds, steps=wishes.steps))
    result = {
        "benchmark": "training_step",
        "machine": describe_machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "peers": {name: versions(name) for name in ("nnunet", "monai")},
        "batch": [task.batch, *[task.side] * task.axes],
        "widths": found,
    }
    write_whole(wishes.out or task.out, (json.dumps(result, indent=2) + "\n").encode())
    print(table(result))


if __name__ == "__main__":
    main()
