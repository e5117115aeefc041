"""Segue against the specialists for objects at equal time: StarDist, and Cellpose from nothing.

    python -m benchmarks.objects [--tool NAME ...] [--minutes M ...] [--list | --show] [--again]

The fluorescence images of dsb2018, one cut, one scoring code, a training from nothing for each number of minutes. The
trials are those of `accuracy_in_time` and stand in the same results, so that none is made twice; here they are shown
with all scores of objects and the seconds an image (from the array to the ids, after a first image).
"""

import argparse
from typing import Any

from benchmarks.accuracy_in_time import add_options, run, wanted
from benchmarks.curves import contestant
from benchmarks.data_sets import DATA_SETS
from benchmarks.machine import cores_of

DATA = DATA_SETS["dsb2018_fluorescence"]
SCORES = {
    "average_precision": "AP@0.5",
    "average_precision_50_95": "AP 0.5:0.95",
    "pq": "PQ",
    "mean_matched_iou": "matched IoU",
    "aggregated_jaccard": "AJI",
    "seg": "SEG",
    "det": "DET",
    "count_error": "count error",
    "splits": "splits",
    "merges": "merges",
}


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each trial, in Markdown."""
    lines = [
        f"| Minutes | Tool | Ran on | Training | Steps | {' | '.join(SCORES.values())} | An image |",
        "|---" * (len(SCORES) + 6) + "|",
    ]
    for row in sorted(rows, key=lambda one: (one["minutes"], one["tool"])):
        values = [row["metrics"][name]["mean"] for name in SCORES]
        cells = [f"{row['minutes']:g}", contestant(row), cores_of(row["machine"])]
        cells += [f"{row['seconds']:,.0f} s", f"{row['steps']:,}"]
        cells += ["-" if value is None else f"{value:.3f}" for value in values]
        cells.append(f"{row['seconds_an_image']:.3f} s")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", nargs="+", choices=DATA.tools, default=list(DATA.tools), metavar="NAME",
                        help=", ".join(DATA.tools))  # fmt: skip
    add_options(parser)
    wishes = parser.parse_args()
    results = run(wanted([DATA], wishes), wishes)
    rows = [row for row in results.rows if row["data"] == DATA.name]
    if rows:
        print(table(rows))


if __name__ == "__main__":
    main()
