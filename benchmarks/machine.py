"""What a benchmark ran on: the lines that every kept result begins with."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

INTERESTING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")
"""Instruction sets that decide how fast convolutions are."""


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory and versions, as plain JSON values. No host name and no user name."""
    processor = _first_values(Path("/proc/cpuinfo"))
    memory = _first_values(Path("/proc/meminfo")).get("MemTotal", "")
    flags = processor.get("flags", "").split()
    return {
        "processor": processor.get("model name", platform.processor() or platform.machine()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(int(memory.split()[0]) / 2**20, 1) if memory else None,
        "flags": [flag for flag in INTERESTING_FLAGS if flag in flags],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("segue", "numpy", "scipy", "scikit-image", "torch")},
    }


def cores_of(machine: dict[str, Any]) -> str:
    """What `describe_machine` says of cores and processor, such as "2 cores of Intel Xeon"."""
    processor = machine["processor"].replace("(R)", "").removesuffix(" Processor")
    return f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''} of {processor}"


def commit() -> str | None:
    """The commit of the project, as git shortens it; None outside of git. Changes that are in none are not told."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def memory(what: str) -> int:
    """Bytes of memory of this process, on Linux: "VmRSS" now, "VmHWM" at its peak.

    The peak of `resource.getrusage` is of no use here: a new process begins with that of its parent.
    """
    return int(_first_values(Path("/proc/self/status"))[what].split()[0]) * 1024


def _first_values(path: Path) -> dict[str, str]:
    """The "name : value" lines of a file of Linux's; of equal names the first. Empty on other systems."""
    values: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            values.setdefault(name.strip(), value.strip())
    return values


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
