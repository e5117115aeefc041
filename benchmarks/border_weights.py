"""Border weights near the objects against one full distance transform per object: time, memory, growth.

    python -m benchmarks.border_weights [--rounds 3] [--sample 30] [--out FILE]

The slow way is the definition: for every object the distance transform of the whole image, of which the two
smallest are kept. Both ways run in turns in one process, and each ratio is that of the two medians. Of the
2048x2048 case the slow way runs on a sample of the objects and is scaled to all of them, because each object
costs the same there. Memory is the peak of what numpy allocates, beyond the id image, in a run of its own.
"""

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe_machine
from numpy.typing import NDArray
from scipy import ndimage

from segue.targets.border_weights import BorderWeights, border_term

Ids = NDArray[np.int32]
GROWTH = (512, 1024, 2048, 4096)
"""Sides of the images of the growth series: 150 objects for each 512x512 pixels."""


def cells(side: int, count: int) -> Ids:
    """`count` round cells on a jittered square grid, of radii that vary twofold; many touch or overlap."""
    rng = np.random.default_rng(0)
    rows = int(np.ceil(np.sqrt(count)))
    pitch = side / rows
    ids = np.zeros((side, side), np.int32)
    for number in range(1, count + 1):
        place = np.array(divmod(number - 1, rows))
        centre = (place + 0.5 + rng.uniform(-0.2, 0.2, 2)) * pitch
        radius = pitch * rng.uniform(0.3, 0.6)
        low = np.maximum(np.floor(centre - radius).astype(int), 0)
        high = np.minimum(np.ceil(centre + radius).astype(int) + 1, side)
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
        window = ids[low[0] : high[0], low[1] : high[1]]
        window[inside & (window == 0)] = number
    return ids


def full_transforms(ids: Ids, config: BorderWeights, numbers: range) -> NDArray[np.float32]:
    """The definition, for the objects `numbers`: a distance transform of the whole image for each."""
    nearest = np.full(ids.shape, np.inf, np.float32)
    second = np.full(ids.shape, np.inf, np.float32)
    for number in numbers:
        distance = ndimage.distance_transform_edt(ids != number).astype(np.float32)
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    term: NDArray[np.float32] = np.exp(-((nearest + second) ** 2) / np.float32(2 * config.sigma**2))
    return np.float32(config.w0) * term


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_megabytes(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def compare(side: int, count: int, *, rounds: int, sample: int) -> dict[str, Any]:
    """Both ways in turns on one image."""
    ids, config = cells(side, count), BorderWeights()
    measured = min(sample, count)
    some = range(1, measured + 1)
    border_term(ids, config)  # the first call loads code
    fast, slow = [], []
    for _ in range(rounds):
        fast.append(seconds(lambda: border_term(ids, config)))
        slow.append(seconds(lambda: full_transforms(ids, config, some)) * count / measured)
        fast.append(seconds(lambda: border_term(ids, config)))
    result: dict[str, Any] = {
        "side": side,
        "objects": count,
        "objects_of_the_slow_way": measured,
        "seconds": statistics.median(fast),
        "seconds_full_transforms": statistics.median(slow),
        "times_faster": statistics.median(slow) / statistics.median(fast),
        "peak_mb": peak_megabytes(lambda: border_term(ids, config)),
        "peak_mb_full_transforms": peak_megabytes(lambda: full_transforms(ids, config, range(1, 3))),
    }
    if measured == count:
        difference = np.abs(border_term(ids, config) - full_transforms(ids, config, some)).max()
        result["largest_difference"] = float(difference)
    return result


def grow(side: int, *, rounds: int) -> dict[str, Any]:
    """The fast way alone, at equal density of objects."""
    count = 150 * (side // 512) ** 2
    ids, config = cells(side, count), BorderWeights()
    median = statistics.median(seconds(lambda: border_term(ids, config)) for _ in range(rounds))
    peak = peak_megabytes(lambda: border_term(ids, config))
    return {
        "side": side,
        "objects": count,
        "seconds": median,
        "microseconds_per_pixel": median * 1e6 / side**2,
        "peak_mb": peak,
        "peak_bytes_per_pixel": peak * 1e6 / side**2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of both ways")
    parser.add_argument("--sample", type=int, default=30, help="objects of the slow way at 2048x2048")
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    arguments = parser.parse_args()
    result = {
        "benchmark": "border_weights",
        "machine": describe_machine(),
        "comparison": [
            compare(512, 150, rounds=arguments.rounds, sample=150),
            compare(2048, 1500, rounds=arguments.rounds, sample=arguments.sample),
        ],
        "growth": [grow(side, rounds=arguments.rounds) for side in GROWTH],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
