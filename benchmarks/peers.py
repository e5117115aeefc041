"""Other programs to compare with, each in a virtual environment of its own.

    python -m benchmarks.peers [nnunet] [monai] [stardist] [cellpose] [--again] [--python PYTHON]

Makes .peers/NAME (ignored by git) from the exact versions in benchmarks/peers/NAME.txt, without the resolver of pip:
nnU-Net would bring torchvision, which does not fit PyTorch's wheel for processors and which nnU-Net's own networks do
not need. Nothing of this touches Segue's environment. An environment whose list of versions has not changed since is
left alone. Cellpose is of version 3: version 4 is a network of 312 million parameters that is not meant to be trained
from nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).with_suffix("")
"""What runs in the environments, and what is installed in them."""
ENVIRONMENTS = ROOT / ".peers"
IMPORTS = {
    "nnunet": "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    "monai": "monai.networks.nets",
    "stardist": "stardist.models",
    "cellpose": "cellpose.models",
}
"""For each peer a module whose import tells that the environment works."""


class PeerFailedError(Exception):
    """A script failed in its environment; the message holds the end of what it printed."""


def interpreter(name: str) -> Path:
    """The Python of a peer. "segue" is the one that runs this. Ends the program if the peer is not installed."""
    if name == "segue":
        return Path(sys.executable)
    python = ENVIRONMENTS / name / "bin" / "python"
    if not (ENVIRONMENTS / name / "installed").exists():
        raise SystemExit(f"{name} is not installed; run: make bench-peers ARGS={name}")
    return python


def versions(name: str) -> dict[str, str]:
    """The versions of a peer that decide about its speed and accuracy."""
    wanted = ("nnunetv2", "monai", "stardist", "cellpose", "torch", "tensorflow-cpu", "numpy")
    lines = (SCRIPTS / f"{name}.txt").read_text().split()
    return {package: number for package, _, number in (line.partition("==") for line in lines) if package in wanted}


def run_peer(name: str, script: str, task: Mapping[str, Any], *, log: Path, environment: Mapping[str, str]) -> Any:
    """Run benchmarks/peers/SCRIPT in the environment of `name` and return its answer, plain data.

    The script gets a file with its task and the name of a file for its answer. What it prints goes to `log`.
    Raises PeerFailedError.
    """
    with tempfile.TemporaryDirectory() as folder:
        told, answer = Path(folder) / "task.json", Path(folder) / "answer.json"
        told.write_text(json.dumps(task))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as stream:
            done = subprocess.run(
                [interpreter(name), SCRIPTS / script, told, answer],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                check=False,
            )
        if done.returncode != 0 or not answer.exists():
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise PeerFailedError(f"{script} failed with exit code {done.returncode}; the end of {log}:\n{tail}")
        return json.loads(answer.read_text())


def install(name: str, *, python: str, again: bool) -> None:
    """Make the environment of a peer, unless it is there with the versions that are wanted."""
    folder, pins = ENVIRONMENTS / name, SCRIPTS / f"{name}.txt"
    mark = folder / "installed"
    if not again and mark.exists() and mark.read_text() == pins.read_text():
        print(f"{name}: is there")
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip: Sequence[str | Path] = (
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    )
    torch = [line for line in pins.read_text().split() if line.startswith("torch==")]
    if torch:  # with what it needs, which is another thing for processors than for CUDA
        subprocess.run([*pip, "--constraint", pins, *torch], check=True)
    subprocess.run([*pip, "--no-deps", "--requirement", pins], check=True)
    subprocess.run([folder / "bin" / "python", "-c", f"import {IMPORTS[name]}"], check=True, stdout=subprocess.DEVNULL)
    mark.write_text(pins.read_text())
    print(f"{name}: installed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(IMPORTS)}; all by default")
    parser.add_argument("--again", action="store_true", help="make them anew")
    parser.add_argument("--python", default=sys.executable, help="the Python to make the environments with")
    wishes = parser.parse_args()
    for unknown in set(wishes.names) - set(IMPORTS):
        parser.error(f"there is no peer {unknown!r}; there are {', '.join(IMPORTS)}")
    for name in wishes.names or IMPORTS:
        install(name, python=wishes.python, again=wishes.again)


if __name__ == "__main__":
    main()
