"""The picture of scores against minutes of training: one panel a data set, one line a tool and what it ran on."""

from pathlib import Path
from typing import Any

from benchmarks.data_sets import DATA_SETS
from benchmarks.machine import cores_of

from segue.io.files import whole_file

COLOURS = {"segue": "#0072b2", "nnunet": "#d55e00", "stardist": "#009e73", "cellpose": "#cc79a7"}
"""Told apart by people who see colours differently (Okabe and Ito)."""
MARKS = {"segue": "o", "nnunet": "s", "stardist": "^", "cellpose": "D"}
NAMES = {"segue": "Segue", "nnunet": "nnU-Net", "stardist": "StarDist", "cellpose": "Cellpose"}
STYLES = ("-", "--", ":", "-.")
"""Of the lines, one a processor."""
OPTIMIZERS = {"muon": "Muon", "adamw": "AdamW", "sgd": "SGD"}
TITLES = {
    "isbi2012": "ISBI 2012: V_rand",
    "isbi2012_thirds": "ISBI 2012, 8 sections: V_rand",
    "msd_hippocampus": "MSD hippocampus (3D): Dice",
    "drive": "DRIVE: Dice",
    "axondeepseg_sem": "AxonDeepSeg SEM: Dice",
    "dsb2018_fluorescence": "DSB 2018 fluorescence: AP at IoU 0.5",
}


def contestant(row: dict[str, Any]) -> str:
    """Who made a row, such as "Segue, Muon --no-validation"."""
    optimizer = [OPTIMIZERS[row["optimizer"]]] if "optimizer" in row else []
    return " ".join([", ".join([NAMES[row["tool"]], *optimizer]), row["options"]]).strip()


def _line(row: dict[str, Any]) -> tuple[str, str]:
    """What the trials of one line have in common."""
    return contestant(row), cores_of(row["machine"])


def draw_curves(rows: list[dict[str, Any]], target: Path) -> None:
    """Score against minutes for every data set and tool that was tried, with 95 % intervals over images."""
    from matplotlib.figure import Figure

    shown = [name for name in DATA_SETS if any(row["data"] == name for row in rows)]
    machines = sorted({row["machine"]["processor"] for row in rows}, reverse=True)
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * lines), layout="constrained")
    for place, data in enumerate(shown, 1):
        axes = figure.add_subplot(lines, columns, place)
        own = [row for row in rows if row["data"] == data]
        for line in sorted({_line(row) for row in own}):
            name, machine = line
            points = sorted((row for row in own if _line(row) == line), key=lambda row: row["minutes"])
            tool, muon = points[0]["tool"], points[0].get("optimizer") == "muon"
            scores = [row["metrics"][DATA_SETS[data].score] for row in points]
            middle = [score["mean"] for score in scores]
            low = [m - (m if score["low"] is None else score["low"]) for m, score in zip(middle, scores, strict=True)]
            high = [
                (m if score["high"] is None else score["high"]) - m for m, score in zip(middle, scores, strict=True)
            ]
            axes.errorbar(
                [row["minutes"] for row in points],
                middle,
                yerr=(low, high),
                color=COLOURS[tool],
                marker="P" if muon else MARKS[tool],
                capsize=3,
                linestyle=STYLES[machines.index(points[0]["machine"]["processor"]) % len(STYLES)],
                markerfacecolor="white" if machine.startswith("1 ") else COLOURS[tool],
                label=f"{name}, {machine}",
            )
        minutes = sorted({row["minutes"] for row in own})
        axes.set_xscale("log")
        axes.set_xticks(minutes, [f"{one:g}" for one in minutes])
        axes.minorticks_off()
        axes.set_xlabel("minutes of training")
        axes.set_title(TITLES[data], fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
