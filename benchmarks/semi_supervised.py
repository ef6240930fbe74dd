"""What unlabelled scans bring: the same training by each method and seed, and one table of the test cases.

    python -m benchmarks.semi_supervised --data DIR --output DIR --labeled 16 [--seeds 0 1 2] [--jobs 2]

Each training is ``concord train_dtc`` in a process of its own, in a folder of its own below ``--output``; one that is
finished there is not repeated, so that an interrupted comparison goes on. ``--jobs`` trainings run side by side, each
with its share of the cores. Below the table stands, per case and averaged over the seeds, what each method gains over
the supervised training. Test cases are for the table alone: choose settings on cases of the training set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.console import run_command, say
from pipelines.runs.record import is_finished
from transforms.io.input_error import InputError

METHODS = ("supervised", "mean_teacher", "dtc")
# One thread computes and draws in turn: a worker beside it would take another training's core.
ONE_PROCESS = ["--set", "workers=0"]
METRICS = ("dice", "jaccard", "asd_mm", "hd95_mm", "asd_voxel", "hd95_voxel")


class Training(NamedTuple):
    """One of the trainings that are compared."""

    method: str
    seed: int
    folder: Path


def train_command(training: Training, args: argparse.Namespace) -> list[str]:
    """The arguments of ``train_dtc`` that decide what is trained."""
    command = ["--data", str(args.data), "--output", str(training.folder), "--bundle", args.bundle]
    command += ["--method", training.method, "--seed", str(training.seed), "--overwrite"]
    command += [word for name in args.overlay for word in ("--overlay", name)]
    command += [word for setting in args.set for word in ("--set", setting)]
    return command + ([] if args.labeled is None else ["--labeled", str(args.labeled)])


def refuse_other_settings(training: Training, args: argparse.Namespace) -> None:
    """Keep a finished run of other settings out of the table.

    Raises:
        InputError: when the run's recorded command is another than the one that would be given now.
    """
    if not is_finished(training.folder):
        return
    before = read_record(training)["command"][1:]
    wanted = train_command(training, args)
    if before not in (wanted, wanted + ONE_PROCESS):
        raise InputError(training.folder, f"was trained with other settings: {' '.join(before)}; choose another folder")


def train(training: Training, args: argparse.Namespace) -> None:
    """Run one training to its end, unless it has been.

    Raises:
        InputError: when the training ends with a fault; what it said lies beside its folder.
    """
    if is_finished(training.folder):
        say(f"{training.folder.name}: finished before")
        return
    threads = max(1, len(os.sched_getaffinity(0)) // args.jobs)
    command = [sys.executable, "-m", "pipelines.train_dtc", *train_command(training, args)]
    command += ONE_PROCESS if threads == 1 else []
    say(f"{training.folder.name}: started")
    with training.folder.with_suffix(".log").open("w") as log:
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=log, stderr=log)
    if done.returncode:
        raise InputError(training.folder.with_suffix(".log"), f"the training ended with status {done.returncode}")
    say(f"{training.folder.name}: done")


def read_record(training: Training) -> dict[str, Any]:
    return dict(json.loads((training.folder / "run.json").read_text(encoding="utf-8")))


def read_scores(training: Training) -> dict[str, dict[str, dict[str, float]]]:
    """Class -> case -> metric -> value of a finished training; cases without the metric have none."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for case in json.loads((training.folder / "summary.json").read_text())["cases"]:
        for name, values in case["classes"].items():
            found = {metric: values[metric] for metric in METRICS if isinstance(values.get(metric), float)}
            scores.setdefault(name, {})[case["case_id"]] = found
    return scores


def metric_cell(scores: Sequence[dict[str, dict[str, float]]], metric: str) -> str:
    """Mean and standard deviation over the seeds of the means over the cases; says where cases have no value."""
    factor = 100.0 if metric in ("dice", "jaccard") else 1.0
    values = [[factor * case[metric] for case in one.values() if metric in case] for one in scores]
    if not all(values):
        return "undefined"
    means = [statistics.mean(one) for one in values]
    spread = f" ± {statistics.stdev(means):.2f}" if len(means) > 1 else ""
    fewest, cases = min(map(len, values)), len(scores[0])
    left_out = "" if fewest == cases else f" (of {fewest} of {cases} cases)"
    return f"{statistics.mean(means):.2f}{spread}{left_out}"


def method_row(method: str, name: str, trainings: Sequence[Training]) -> str:
    """One line of the table: mean over the seeds of the means over the cases, and how they vary."""
    scores = [read_scores(training)[name] for training in trainings]
    records = [read_record(training) for training in trainings]
    cells = [metric_cell(scores, metric) for metric in METRICS]
    dices = [[100 * case["dice"] for case in one.values() if "dice" in case] for one in scores]
    between_cases = statistics.mean(statistics.stdev(one) if len(one) > 1 else 0.0 for one in dices)
    minutes = statistics.mean(record["wall_seconds"] for record in records) / 60
    memory = max(record["peak_host_mib"] for record in records)
    seeds = ", ".join(str(training.seed) for training in trainings)
    return f"| {method} | {name} | {seeds} | {' | '.join(cells)} | {between_cases:.2f} | {minutes:.1f} | {memory:.0f} |"


def gain_line(method: str, name: str, trainings: dict[str, list[Training]]) -> str:
    """What ``method`` gains over the supervised training in Dice, case by case, the seeds averaged."""
    from scipy.stats import wilcoxon

    per_case = []
    for one in ("supervised", method):
        scores = [read_scores(training)[name] for training in trainings[one]]
        # Where neither mask has the class there is no Dice.
        cases = [case for case in scores[0] if all("dice" in score[case] for score in scores)]
        per_case.append({case: np.mean([score[case]["dice"] for score in scores]) for case in cases})
    gains = np.array([100 * (per_case[1][case] - per_case[0][case]) for case in per_case[0] if case in per_case[1]])
    better = int((gains > 0).sum())
    p = float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0
    return (
        f"{method} over supervised, {name}: Dice {gains.mean():+.2f} points (better on {better} of {len(gains)} cases, "
        f"Wilcoxon p = {p:.3g})"
    )


def compare(args: argparse.Namespace) -> int:
    if args.jobs < 1:
        raise InputError("--jobs", f"must be 1 or more, got {args.jobs}")
    args.output.mkdir(parents=True, exist_ok=True)
    # Seed by seed, so that what is there when someone stops it is a comparison.
    planned = [
        Training(method, seed, args.output / f"{method}_{seed}") for seed in args.seeds for method in args.methods
    ]
    for training in planned:
        refuse_other_settings(training, args)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda training: train(training, args), planned))
    trainings = {method: [one for one in planned if one.method == method] for method in args.methods}
    names = list(read_scores(planned[0]))
    say("")
    say("| method | class | seeds | Dice % | Jaccard % | ASD mm | HD95 mm | ASD voxel | HD95 voxel "
        "| sd of Dice over cases | minutes | peak MiB |")  # fmt: skip
    say("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in names:
        for method, runs in trainings.items():
            say(method_row(method, name, runs))
    for name in names:
        for method in args.methods:
            if method != "supervised" and "supervised" in trainings:
                say(gain_line(method, name, trainings))
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set folder with test cases")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--bundle", default="left_atrium_dtc")
    parser.add_argument("--overlay", action="append", default=[], help="as of train_dtc; quick, say")
    parser.add_argument("--labeled", type=int, help="as of train_dtc")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="as of train_dtc")
    parser.add_argument("--debug", action="store_true")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
