"""Peak memory of `segue predict` on images of 2048^2 to 8192^2 pixels, through memory and through files.

    python -m benchmarks.large [--sizes 2048 4096 8192] [--max-memory 64MB] [--out FILE]

A network of width 4 takes little time and little memory for itself, so that what grows with the image shows. Every
measurement runs in a process of its own; memory is its peak (VmHWM, Linux), and that peak beyond what the process
held when it had loaded the model and predicted 128 x 128 pixels.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from benchmarks.machine import describe_machine, memory

from segue.memory import keep_freed_memory
from segue.model.file import ModelHeader
from segue.model.unet import UNet, initialize, isotropic_config
from segue.normalize import Normalization
from segue.pipeline.exporting import Exports
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.predict.infer import PredictConfig
from segue.simulate import CellsConfig, simulate_cells
from segue.trained import Model
from segue.units import parse_size

WAYS = ("memory", "files")
EXPORTS = Exports(table=("csv",), outlines=("geojson",))
KINDS = {
    "classes": OutputConfig(kind="classes"),
    "probabilities": OutputConfig(kind="probabilities"),
    "objects": OutputConfig(kind="objects"),
    "outlines": OutputConfig(kind="objects", exports=EXPORTS),
}
"""What is asked for; "outlines" are objects with their table and their outlines."""
AMPLE = 1 << 50


def untrained() -> Model:
    """A network of width 4 for objects; what it says means nothing."""
    config = isotropic_config(
        spatial_axes=2, depth=2, width=4, padding="same", normalization="batch", channels=1, outputs=3
    )
    network = UNet(config)
    initialize(network, generator=torch.Generator().manual_seed(0))
    header = ModelHeader(
        segue=version("segue"),
        network=config,
        classes=("background", "cell"),
        kind="objects",
        auxiliary=("distance",),
        normalization=Normalization(),
        decoding={"smoothing": 4.0, "smallest_object": 50},  # so that there are about as many objects as cells
    )
    return Model(header, network.eval())


def measure(folder: Path, size: int, kind: str, way: str, limit: int) -> dict[str, Any]:
    """Predict one image once, in this process."""
    keep_freed_memory()  # as `segue predict` does
    model = Model.load(folder / "a.segue")
    # The tile is given, so that the limit only decides which way is taken.
    config = PredictConfig(tile=512, memory=AMPLE if way == "memory" else limit, precision="fp32")
    output = KINDS[kind]
    predict_files(model, [folder / "128.tif"], folder / "out", output=output, config=config)
    before = memory("VmRSS")
    started, worked = time.perf_counter(), time.process_time()
    (outcome,) = predict_files(model, [folder / f"{size}.tif"], folder / "out", output=output, config=config)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    if outcome.error:
        raise outcome.error
    peak = memory("VmHWM")
    return {
        "size": size,
        "kind": kind,
        "way": way,
        "objects": outcome.objects,
        "peak_megabytes": round(peak / 1e6),
        "for_the_image_megabytes": round((peak - before) / 1e6),
        "seconds": round(seconds, 1),
        "processor_seconds": round(worked, 1),
    }


def write_images(folder: Path, sizes: list[int]) -> None:
    """Repeated simulated cells as a tiled, compressed TIFF of each size."""
    cells, _ = simulate_cells((1024, 1024), seed=0, config=CellsConfig(diameter=30))
    cell = cells.pixels[0].clip(0, 65535).astype(np.uint16)
    for size in (128, *sizes):
        times = -(-size // len(cell))
        values = np.tile(cell, (times, times))[:size, :size]
        tifffile.imwrite(folder / f"{size}.tif", values, compression="zlib", tile=(256, 256))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096, 8192])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--max-memory", type=parse_size, default=parse_size("64MB"))
    parser.add_argument("--out", type=Path, help="keep the result as JSON in this file")
    parser.add_argument("--one", nargs=4, metavar=("FOLDER", "SIZE", "KIND", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, size, kind, way = arguments.one
        print(json.dumps(measure(Path(folder), int(size), kind, way, arguments.max_memory)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        untrained().save(folder / "a.segue")
        write_images(folder, arguments.sizes)
        for kind in arguments.kinds:
            for size in arguments.sizes:
                for way in WAYS:
                    command = [sys.executable, "-m", "benchmarks.large", "--max-memory", str(arguments.max_memory)]
                    command += ["--one", name, str(size), kind, way]
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                    rows.append(json.loads(done.stdout))
                    print(rows[-1], file=sys.stderr)
    result = json.dumps({"benchmark": "large", "machine": describe_machine(), "results": rows}, indent=2)
    print(result)
    if arguments.out:
        arguments.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
