"""Time and memory of decoding on simulated cells, whole and block by block, up to 8192^2 pixels with 40,000 cells.

    python -m benchmarks.decoding [--sizes 1024 2048 4096 8192] [--spacing 41] [--out FILE]

Three scenes: cells apart from each other, cells of which every one touches its neighbours (all of the
foreground is one component, the worst case for the watershed), and the same cells without a distance map.
Two ways: `decode_objects` on arrays in memory, and `decode_in_blocks` from files into a file. Every measurement runs
in a process of its own, on one thread: processor seconds are what the clock shows when nothing else runs. Memory is
the peak (VmHWM) beyond what was taken before, so without the maps where they are in memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe_machine, memory

from segue.io.scratch import BlockArray, Scratch
from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.tiled import decode_in_blocks

SCENES = {"apart": 0.35, "touching": 0.75, "touching, no distance": 0.75}
"""Radius of the cells as a share of their spacing."""
WAYS = ("whole", "blocks")
BAND = 256


def simulate(
    size: int, spacing: float, scene: str, new: Callable[..., BlockArray]
) -> tuple[BlockArray, BlockArray | None, int]:
    """Foreground, distance and number of cells on a jittered grid, computed in bands of rows to stay small."""
    random = np.random.default_rng(0)
    per_axis = int(size / spacing)
    step = size / per_axis
    jitter = random.uniform(-0.15, 0.15, (2, per_axis, per_axis)) * step
    centre_y = ((np.arange(per_axis)[:, None] + 0.5) * step + jitter[0]).ravel()
    centre_x = ((np.arange(per_axis)[None, :] + 0.5) * step + jitter[1]).ravel()
    radius = SCENES[scene] * step
    reach = int(radius + 2)
    known = not scene.endswith("no distance")
    foreground = new((size, size), np.float32)
    distance = new((size, size), np.float32) if known else None
    for top in range(0, size, BAND):
        nearest = np.full((min(BAND, size - top), size), np.inf, np.float32)
        near = (centre_y > top - reach - 1) & (centre_y < top + len(nearest) + reach + 1)
        for y, x in zip(centre_y[near], centre_x[near], strict=True):
            low, left = max(int(y) - reach - top, 0), max(int(x) - reach, 0)
            window = nearest[low : max(int(y) + reach + 1 - top, 0), left : int(x) + reach + 1]
            rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
            np.minimum(window, np.hypot(rows + low + top - y, columns + left - x), out=window)
        to_border = (1 - nearest / radius).clip(0, 1)
        band = (slice(top, top + len(nearest)), slice(0, size))
        if distance is None:
            foreground[band] = (0.4 + 0.6 * to_border) * (to_border > 0)
        else:
            foreground[band] = 1 / (1 + np.exp(np.minimum(nearest - radius, 50)))
            distance[band] = to_border
    return foreground, distance, per_axis**2


def measure(size: int, spacing: float, scene: str, way: str) -> dict[str, Any]:
    """Decode one scene once, in this process."""
    threshold = 0.45 if scene.endswith("no distance") else 0.5
    config = DecodeConfig(foreground_threshold=threshold, smallest_object=16)
    blob = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    decode_objects(blob, blob, config=config)  # imports what it needs
    with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
        new = np.zeros if way == "whole" else scratch.array
        foreground, distance, cells = simulate(size, spacing, scene, new)
        before = memory("VmRSS")
        start, worked = time.perf_counter(), time.process_time()
        if way == "whole":
            objects: Any = decode_objects(foreground, distance, config=config)  # type: ignore[arg-type]
            number = int(objects.max())
        else:
            objects = scratch.array((size, size), np.uint32)
            number = decode_in_blocks(foreground, distance, config=config, out=objects, new_array=scratch.array)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        extra = memory("VmHWM") - before
        checksum = 0
        for top in range(0, size, BAND):
            checksum = zlib.crc32(np.ascontiguousarray(objects[slice(top, top + BAND), slice(0, size)]).data, checksum)
    return {
        "scene": scene,
        "way": way,
        "size": size,
        "cells": cells,
        "objects": number,
        "checksum": checksum,
        "seconds": round(seconds, 2),
        "processor_seconds": round(worked, 2),
        "nanoseconds_per_pixel": round(worked / size**2 * 1e9, 1),
        "extra_memory_megabytes": round(extra / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--spacing", type=float, default=40.96, help="pixels from cell to cell")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    parser.add_argument("--one", nargs=3, metavar=("SIZE", "SCENE", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(int(arguments.one[0]), arguments.spacing, *arguments.one[1:])))
        return
    rows = []
    for size in arguments.sizes:
        for scene in SCENES:
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.decoding", "--spacing", str(arguments.spacing)]
                command += ["--one", str(size), scene, way]
                rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                print(rows[-1], file=sys.stderr)
            if rows[-1]["checksum"] != rows[-2]["checksum"]:
                raise SystemExit(f"{scene}, {size}: blocks and whole differ")
    result = json.dumps({"benchmark": "decoding", "machine": describe_machine(), "results": rows}, indent=2)
    print(result)
    if arguments.out:
        arguments.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
