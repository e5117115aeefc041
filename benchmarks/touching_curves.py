"""The picture of `benchmarks.touching`: a row for what was learnt, a line for each shape, with and without weights."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from segue.io.files import whole_file

TARGETS = {"plan": "foreground and distance", "paper": "foreground alone"}
COLOURS = {"round": "#0072b2", "elongated": "#009e73", "branching": "#d55e00"}


def draw_touching(every: Sequence[dict[str, Any]], target: Path) -> None:
    """Merges, splits and AP over the part of the image that cells cover, a line a shape: means over the seeds."""
    from matplotlib.figure import Figure

    shown = [name for name in TARGETS if any(arm["target"] == name for arm in every)]
    panels = {"merge_rate": "merges by true cell", "split_rate": "splits by true cell", "average_precision": "AP@0.5"}
    figure = Figure(figsize=(12.5, 3.6 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(panels), squeeze=False, sharex=True, sharey="col")
    for row, name in zip(grid, shown, strict=True):
        for axes, (rate, title) in zip(row, panels.items(), strict=True):
            for shape, weighted in product(COLOURS, (True, False)):
                arms = [arm for arm in every if (arm["target"], arm["weighted"]) == (name, weighted)]
                lines = [[point for point in arm["curve"] if point["shape"] == shape] for arm in arms]
                if lines:
                    axes.plot(
                        [point["covered"] for point in lines[0]],
                        np.mean([[point[rate]["mean"] for point in line] for line in lines], axis=0),
                        color=COLOURS[shape],
                        marker="o" if weighted else "s",
                        markersize=4,
                        linestyle="-" if weighted else "--",
                        label=f"{shape}{'' if weighted else ', without weights'}",
                    )
            axes.set_title(f"{title}: {TARGETS[name]}", fontsize=10)
            axes.grid(alpha=0.3)
        row[0].legend(fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("part of the image that cells cover")
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
