"""Time and memory of `decode_objects` on simulated blobs, from 1024^2 pixels to 4096^2 with 10,000 objects.

    python benchmarks/decoding.py [--sizes 1024 2048 4096] [--spacing 41] [--out FILE]

Three scenes: cells apart from each other, cells of which every one touches its neighbours (all of the
foreground is one component, the worst case for the watershed), and the same cells without a distance map.
Every measurement runs in a process of its own, so that the peak memory is that of one decoding; the memory of
the input is subtracted.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.objects.decode import DecodeConfig, decode_objects

SCENES = {"apart": 0.35, "touching": 0.75, "touching, no distance": 0.75}
"""Radius of the cells as a share of their spacing."""


def simulate(size: int, spacing: float, scene: str) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, int]:
    """Foreground, distance and number of cells on a jittered grid, computed row by row to stay small."""
    random = np.random.default_rng(0)
    per_axis = int(size / spacing)
    step = size / per_axis
    jitter = random.uniform(-0.15, 0.15, (2, per_axis, per_axis)) * step
    centre_y = (np.arange(per_axis)[:, None] + 0.5) * step + jitter[0]
    centre_x = (np.arange(per_axis)[None, :] + 0.5) * step + jitter[1]
    radius = SCENES[scene] * step
    nearest = np.full((size, size), np.inf, np.float32)
    reach = int(radius + 2)
    for y, x in zip(centre_y.ravel(), centre_x.ravel(), strict=True):
        top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
        window = nearest[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
        np.minimum(window, np.hypot(rows + top - y, columns + left - x), out=window)
    distance = (1 - nearest / radius).clip(0, 1)
    if scene.endswith("no distance"):
        return (0.4 + 0.6 * distance).astype(np.float32) * (distance > 0), None, per_axis**2
    return (1 / (1 + np.exp(np.minimum(nearest - radius, 50)))).astype(np.float32), distance, per_axis**2


def measure(size: int, spacing: float, scene: str) -> dict[str, Any]:
    """Decode one scene once, in this process."""
    foreground, distance, cells = simulate(size, spacing, scene)
    warm = slice(0, 128)
    seed_threshold, threshold = (0.7, 0.45) if distance is None else (0.5, 0.5)
    config = DecodeConfig(foreground_threshold=threshold, seed_threshold=seed_threshold, smallest_object=16)
    decode_objects(foreground[warm, warm], None if distance is None else distance[warm, warm], config=config)
    start = time.perf_counter()
    objects = decode_objects(foreground, distance, config=config)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    decode_objects(foreground, distance, config=config)
    peak = tracemalloc.get_traced_memory()[1]
    return {
        "scene": scene,
        "size": size,
        "cells": cells,
        "objects": int(objects.max()),
        "seconds": round(seconds, 3),
        "nanoseconds_per_pixel": round(seconds / size**2 * 1e9, 1),
        "extra_memory_bytes_per_pixel": round(peak / size**2, 1),
    }


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-image")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--spacing", type=float, default=40.96, help="pixels from cell to cell")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "SCENE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(int(arguments.one[0]), arguments.spacing, arguments.one[1])))
        return
    rows = []
    for size in arguments.sizes:
        for scene in SCENES:
            command = [
                sys.executable,
                __file__,
                "--spacing",
                str(arguments.spacing),
                "--one",
                str(size),
                scene,
            ]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(rows[-1], file=sys.stderr)
    result = json.dumps({"benchmark": "decoding", "machine": machine(), "results": rows}, indent=2)
    print(result)
    if arguments.out:
        arguments.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
