"""One large image through the same network: Segue against plain PyTorch, MONAI's sliding window, nnU-Net's predictor.

    python -m benchmarks.prediction [--volumes] [--sides 2048] [--width 64] [--rounds 3] [--only NAME ...] [--out FILE]

Each prediction is a process of its own, so that its peak memory is its own; its time and memory are counted from the
image in memory to the probabilities in memory, after the program and the network were loaded ("segue from file to
file" reads a TIFF and writes classes). In a round each contestant has its turn. Plain PyTorch takes the image in one
piece; it is left out where that needs more memory than the machine has. MONAI works with windows of 512 px that
overlap by a quarter, its default, nnU-Net with those of its plan for 256x256 that overlap by a half, as it always does,
without mirroring. "own" is the network that the tool would choose, which is smaller. Measurements of other sides,
widths and contestants stay in the file, each with its own rounds, so that a long run can be made in pieces.

With --volumes it is a cube of 128 px a side at width 32, without nnU-Net; MONAI's network has one pooling more and its
windows 96 px.
"""

import argparse
import json
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.peers import ROOT, SCRIPTS, interpreter, versions
from benchmarks.training_step import PRODUCT_FLOPS, Contestant, Worker

from segue.io.files import write_whole

RESULTS = ROOT / "benchmarks" / "results"
CONTESTANTS = {
    "segue": Contestant("segue", "segue_network.py", {}),
    "segue in fp32": Contestant("segue", "segue_network.py", {"precision": "fp32"}),
    "segue from file to file": Contestant("segue", "segue_network.py", {"files": True}),
    "plain": Contestant("segue", "plain_network.py", {}),
    "monai equal": Contestant("monai", "monai_network.py", {"own": False}),
    "monai own": Contestant("monai", "monai_network.py", {"own": True}),
    "nnunet equal": Contestant("nnunet", "nnunet_network.py", {"own": False}),
    "nnunet own": Contestant("nnunet", "nnunet_network.py", {"own": True}),
}
PLAIN_BYTES_PER_PIXEL_AND_WIDTH = 36
"""What the plain network takes in one piece: 9 GiB for 2048x2048 at width 64."""


@dataclass(frozen=True)
class Task:
    """What is predicted."""

    axes: int
    sides: list[int]
    width: int
    out: Path
    contestants: list[str]

    def spec(self, *, side: int, width: int) -> dict[str, Any]:
        """As the scripts want it."""
        return {"axes": self.axes, "side": side, "width": width, "batch": 1}


IMAGES = Task(2, [2048], 64, RESULTS / "prediction.json", list(CONTESTANTS))
VOLUMES = Task(3, [128], 32, RESULTS / "prediction_volumes.json", ["segue", "segue in fp32", "plain", "monai equal"])


def run_once(contestant: Contestant, spec: dict[str, Any]) -> dict[str, float] | None:
    """Seconds and peak memory of one prediction; None if it failed."""
    told = json.dumps({**spec, **contestant.options})
    command = [str(interpreter(contestant.environment)), str(SCRIPTS / contestant.script), "predict", told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{contestant.script} failed with exit code {done.returncode}:\n{done.stderr[-800:]}")
        return None
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def fits(name: str, spec: dict[str, Any]) -> bool:
    """Whether a contestant can be expected to have enough memory."""
    gigabytes = describe_machine()["memory_gb"]
    needed = PLAIN_BYTES_PER_PIXEL_AND_WIDTH * spec["width"] * spec["side"] ** spec["axes"] / 2**30
    return name != "plain" or gigabytes is None or needed < 0.8 * gigabytes


def product_rate() -> float:
    """Operations a second of a product of bf16 matrices, now."""
    worker = Worker(Contestant("segue", "matrix_product.py", {"dtype": "bf16"}), {})
    try:
        return PRODUCT_FLOPS / min(worker.steps(10))
    finally:
        worker.end()


def forward_flops(spec: dict[str, Any]) -> float:
    """Operations of the network for an image."""
    script = [str(interpreter("segue")), str(SCRIPTS / "segue_network.py"), "flops", json.dumps(spec)]
    counted = json.loads(subprocess.run(script, check=True, capture_output=True, text=True).stdout)
    return float(counted["forward"])


def measure(names: list[str], task: Task, *, side: int, width: int, rounds: int) -> dict[str, Any]:
    """Everybody in turns."""
    spec = task.spec(side=side, width=width)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names if fits(name, spec)}
    rates = []
    for number in range(rounds):
        rates.append(product_rate())
        for name in list(runs):
            row = run_once(CONTESTANTS[name], spec)
            if row is None:
                del runs[name]
                continue
            runs[name].append(row)
            print(f"{side} px, round {number + 1}: {name} {row['seconds']:.2f} s, {row['peak_mb']:.0f} MB", flush=True)
    flops, rate = forward_flops(spec), max(rates)
    rows: dict[str, Any] = {}
    for name, own in runs.items():
        seconds = [row["seconds"] for row in own]
        rows[name] = {
            "best": min(seconds),
            "median": statistics.median(seconds),
            "seconds": seconds,
            "peak_mb": max(row["peak_mb"] for row in own),
            "mb_before": max(row["mb_before"] for row in own),
        }
        if name in ("segue", "segue in fp32", "plain"):
            rows[name]["share_of_bf16_product"] = flops / min(seconds) / rate
    return {"side": side, "width": width, "rounds": rounds, "flops": flops, "product_flops": rate, "runs": rows}


def with_new(old: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """All measurements, the new one in place of an older one of the same image and contestants.

    Others stay as they are: what was not measured in the same rounds is not compared.
    """

    def key(one: dict[str, Any]) -> tuple[int, int, list[str]]:
        return one["side"], one["width"], sorted(one["runs"])

    return sorted([*(one for one in old if key(one) != key(new)), new], key=key)


def table(result: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "| Image | Width | Prediction by | Best | Median | Times Segue's | Peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in result["measurements"]:
        segue = one["runs"].get("segue")
        for name, row in one["runs"].items():
            times = f"{row['median'] / segue['median']:.1f}" if segue else ""
            memory = f"{row['peak_mb'] / 1024:.2f} GiB"
            side = " x ".join([str(one["side"])] * result["axes"])
            seconds = f"{row['best']:.1f} s | {row['median']:.1f} s"
            lines.append(f"| {side} | {one['width']} | {name} | {seconds} | {times} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", action="store_true", help="volumes instead of images")
    parser.add_argument("--sides", type=int, nargs="+", help="of the images, such as 2048 8192")
    parser.add_argument("--width", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, metavar="NAME", help=", ".join(CONTESTANTS))
    parser.add_argument("--out", type=Path, help="where the result is kept, as JSON")
    wishes = parser.parse_args()
    task = VOLUMES if wishes.volumes else IMAGES
    out = wishes.out or task.out
    names = wishes.only or task.contestants
    if unknown := set(names) - set(task.contestants):
        parser.error(f"not with --volumes: {', '.join(sorted(unknown))}")
    for environment in {CONTESTANTS[name].environment for name in names}:
        interpreter(environment)
    kept = json.loads(out.read_text())["measurements"] if out.exists() else []
    for side in wishes.sides or task.sides:
        new = measure(names, task, side=side, width=wishes.width or task.width, rounds=wishes.rounds)
        kept = with_new(kept, new)
        result = {
            "benchmark": "prediction",
            "machine": describe_machine(),
            "peers": {name: versions(name) for name in ("nnunet", "monai")},
            "axes": task.axes,
            "measurements": kept,
        }
        write_whole(out, (json.dumps(result, indent=2) + "\n").encode())
    print(table(result))


if __name__ == "__main__":
    main()
