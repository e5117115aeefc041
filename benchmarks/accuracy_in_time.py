"""How good is which tool after how many minutes of training on this machine?

    python -m benchmarks.accuracy_in_time [--data NAME ...] [--tool NAME ...] [--minutes M ...] [--list] [--again]

One trial is one data set, one tool and one number of minutes, trained from nothing with the schedule fitted to the time
(see benchmarks/trials.py for what is counted and how it is scored). Trials that are in the results already are
skipped, so that a long run can be stopped at any moment and made in pieces; the data are found beside the project
(../shared/data) or by --data-root. At the end the table is printed and the picture drawn from all results there are.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.curves import draw_curves
from benchmarks.data_sets import DATA_ROOT, DATA_SETS, cut
from benchmarks.machine import cores_of
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
        "| Data | Tool | Minutes | Ran on | Steps | Scores on the held-out images | An image |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda one: (one["data"], one["minutes"], one["tool"])):
        names = [name for name in SHOWN[DATA_SETS[row["data"]].kind] if name in row["metrics"]]
        names += [name for name in row["metrics"] if name.startswith("dice/") and name != "dice/background"]
        scores = ", ".join(
            f"{name} {row['metrics'][name]['mean']:.3f}" for name in names if row["metrics"][name]["mean"] is not None
        )
        tool = " ".join([row["tool"], row["options"]]).strip()
        cells = (
            row["data"],
            tool,
            f"{row['minutes']:g}",
            cores_of(row["machine"]),
            f"{row['steps']:,}",
            scores,
            f"{row['seconds_an_image']:.3f} s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that this benchmark shares with `objects`."""
    parser.add_argument("--minutes", type=float, nargs="+", default=list(MINUTES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", default="", help="further options of 'segue train', such as \"--no-validation\"")
    parser.add_argument("--list", action="store_true", help="say what was done and what is missing, and do nothing")
    parser.add_argument("--again", action="store_true", help="make trials again that are in the results")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help="the folder of the data sets")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="a folder for links and intermediate files")
    parser.add_argument("--out", type=Path, default=OUT, help="the results, as JSON")


def run(trials: list[Trial], wishes: argparse.Namespace) -> Results:
    """Make all trials that are missing, the shortest first."""
    results = Results(wishes.out)
    for trial in sorted(trials, key=lambda one: one.minutes):
        name = f"{trial.data.name}, {trial.tool}, {trial.minutes:g} minutes"
        done = results.find(trial) is not None
        if wishes.list or (done and not wishes.again):
            print(f"{name}: {'done' if done else 'missing'}")
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
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS), metavar="NAME",
                        help=", ".join(DATA_SETS))  # fmt: skip
    tools = sorted({tool for data in DATA_SETS.values() for tool in data.tools})
    parser.add_argument("--tool", nargs="+", choices=tools, default=tools, metavar="NAME", help=", ".join(tools))
    parser.add_argument("--picture", type=Path, default=PICTURE, help="the picture of all results")
    parser.add_argument("--forget", nargs="+", choices=DATA_SETS, default=[], help="remove all results of a data set")
    add_options(parser)
    wishes = parser.parse_args()
    for name in wishes.forget:
        Results(wishes.out).forget(name)
    trials = [
        Trial(
            data=DATA_SETS[data],
            tool=tool,
            minutes=minutes,
            seed=wishes.seed,
            options=wishes.options if tool == "segue" else "",
        )
        for data in wishes.data
        for tool in DATA_SETS[data].tools
        if tool in wishes.tool
        for minutes in wishes.minutes
    ]
    results = run(trials, wishes)
    if results.rows and not wishes.list:
        print(table(results.rows))
        draw_curves(results.rows, wishes.picture)
        print(json.dumps({"picture": str(wishes.picture), "results": str(wishes.out)}))


if __name__ == "__main__":
    main()
