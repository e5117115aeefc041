"""How good is which tool after how many minutes of training on this machine?

    python -m benchmarks.accuracy_in_time [--data NAME ...] [--tool NAME ...] [--minutes M ...] [--list | --show]
        [--again] [--options=...]

One trial is one data set, one tool and one number of minutes, trained from nothing with the schedule fitted to the time
(see benchmarks/trials.py for what is counted and how it is scored). Trials that were made with as many cores of such a
processor are skipped, so that a long run can be stopped at any moment and made in pieces; those of other machines stand
beside them. The data are found beside the project (../shared/data) or by --data-root. At the end the table is printed
and the picture drawn from all results there are; --show does that alone.

"Training" in the table is what the training really took. "An image" is the time of a prediction from the array to the
answer, after a first image; of data sets in which nnU-Net takes part files and first image are counted, for Segue too.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.curves import contestant, draw_curves
from benchmarks.data_sets import DATA_ROOT, DATA_SETS, DataSet, cut
from benchmarks.machine import cores_of, describe_machine
from benchmarks.peers import ROOT, interpreter
from benchmarks.trials import SCRATCH, Results, Trial, TrialFailedError, run_trial

MINUTES = (5.0, 10.0, 20.0, 60.0)
OUT = ROOT / "benchmarks" / "results" / "accuracy_in_time.json"
PICTURE = ROOT / "docs" / "images" / "accuracy_in_time.png"
SHOWN = {
    "membranes": ("v_rand", "v_info", "pixel_error"),
    "classes": ("dice",),
    "objects": ("average_precision", "average_precision_50_95", "mean_matched_iou", "count_error"),
}
"""Scores in the table, by kind; of classes also the Dice of each class."""


def table(rows: list[dict[str, Any]]) -> str:
    """All trials as a table in Markdown."""
    lines = [
        "| Data | Tool | Minutes | Ran on | Training | Steps | Scores on the held-out images | An image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda one: (one["data"], one["minutes"], one["tool"])):
        names = [name for name in SHOWN[DATA_SETS[row["data"]].kind] if name in row["metrics"]]
        names += [name for name in row["metrics"] if name.startswith("dice/") and name != "dice/background"]
        scores = ", ".join(
            f"{name} {row['metrics'][name]['mean']:.3f}" for name in names if row["metrics"][name]["mean"] is not None
        )
        cells = (
            row["data"],
            contestant(row),
            f"{row['minutes']:g}",
            cores_of(row["machine"]),
            f"{row['seconds']:,.0f} s",
            f"{row['steps']:,}",
            scores,
            an_image(row),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def an_image(row: dict[str, Any]) -> str:
    """How long a prediction took; with files, where it can be said of all tools of the data set."""
    with_files = row["seconds_an_image"] if row["tool"] == "nnunet" else row.get("seconds_an_image_with_files")
    if "nnunet" in DATA_SETS[row["data"]].tools and with_files is not None:
        return f"{with_files:.3f} s with files"
    return f"{row['seconds_an_image']:.3f} s"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that this benchmark shares with `objects`."""
    parser.add_argument("--minutes", type=float, nargs="+", default=list(MINUTES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", default="", help="more options of 'segue train': --options=--no-validation")
    parser.add_argument("--list", action="store_true", help="say what was done on this machine and what is missing")
    parser.add_argument("--show", action="store_true", help="show what was done on all machines, and try nothing")
    parser.add_argument("--again", action="store_true", help="make trials again that were made on this machine")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help="the folder of the data sets")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="a folder for links and intermediate files")
    parser.add_argument("--out", type=Path, default=OUT, help="the results, as JSON")


def wanted(data: Iterable[DataSet], wishes: argparse.Namespace) -> list[Trial]:
    """A trial for each data set, tool and number of minutes that was asked for."""
    return [
        Trial(
            data=one,
            tool=tool,
            minutes=minutes,
            seed=wishes.seed,
            options=wishes.options if tool == "segue" else "",
        )
        for one in data
        for tool in one.tools
        if tool in wishes.tool
        for minutes in wishes.minutes
    ]


def run(trials: list[Trial], wishes: argparse.Namespace) -> Results:
    """Make all trials that are missing on this machine, the shortest first."""
    results = Results(wishes.out)
    if wishes.show:
        return results
    print(f"on {cores_of(describe_machine())}:")
    for trial in sorted(trials, key=lambda one: one.minutes):
        name = f"{trial.data.name}, {trial.tool}, {trial.minutes:g} minutes"
        done = results.find(trial) is not None
        if wishes.list or (done and not wishes.again):
            elsewhere = "".join(f"; made on {machine}" for machine in results.elsewhere(trial))
            print(f"{name}: {'done' if done else 'missing'}{elsewhere}")
            continue
        interpreter(trial.tool)
        sides = cut(trial.data, root=wishes.data_root, scratch=wishes.scratch)
        results.check(trial.data, sides)
        print(f"{name}: training", flush=True)
        try:
            row = run_trial(trial, sides=sides, scratch=wishes.scratch)
        except TrialFailedError as error:  # the others may go well, and a long run should not end at night
            print(f"{name}: FAILED: {error}", flush=True)
            continue
        results.add(trial, row, sides)
        score = row["metrics"][trial.data.score]["mean"]
        print(f"{name}: {row['steps']} steps, {trial.data.score} {score:.4f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = [name for name, one in DATA_SETS.items() if one.usual]
    others = [name for name in DATA_SETS if name not in usual]
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=usual, metavar="NAME",
                        help=f"{', '.join(usual)}; if it is named also {', '.join(others)}")  # fmt: skip
    tools = sorted({tool for data in DATA_SETS.values() for tool in data.tools})
    parser.add_argument("--tool", nargs="+", choices=tools, default=tools, metavar="NAME", help=", ".join(tools))
    parser.add_argument("--picture", type=Path, default=PICTURE, help="the picture of all results")
    parser.add_argument("--forget", nargs="+", choices=DATA_SETS, default=[], help="remove all results of a data set")
    add_options(parser)
    wishes = parser.parse_args()
    for name in wishes.forget:
        Results(wishes.out).forget(name)
    results = run(wanted([DATA_SETS[name] for name in wishes.data], wishes), wishes)
    if results.rows and not wishes.list:
        print(table(results.rows))
        draw_curves(results.rows, wishes.picture)
        print(json.dumps({"picture": str(wishes.picture), "results": str(wishes.out)}))


if __name__ == "__main__":
    main()
