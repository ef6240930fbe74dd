"""Trainings that are compared: each a command in a process and folder of its own, done once."""

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

from pipelines.console import say
from pipelines.runs.record import is_finished
from transforms.io.input_error import InputError

# One thread computes and draws in turn: a worker beside it would take another training's core.
ONE_PROCESS = ["--set", "workers=0"]
METRICS = ("dice", "jaccard", "asd_mm", "hd95_mm", "asd_voxel", "hd95_voxel")


class Training(NamedTuple):
    """One of the trainings that are compared: the module of its command, its words, and its run folder."""

    module: str
    words: list[str]
    folder: Path


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all comparisons of trainings take."""
    parser.add_argument("--data", type=Path, required=True, help="data set folder with test cases")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--overlay", action="append", default=[], help="as of the training command; quick, say")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="as of the training command")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--debug", action="store_true")


def settings_words(args: argparse.Namespace) -> list[str]:
    """Give ``--overlay`` and ``--set`` as words of a command."""
    overlays = [word for name in args.overlay for word in ("--overlay", name)]
    return overlays + [word for setting in args.set for word in ("--set", setting)]


def run_all(trainings: Sequence[Training], jobs: int) -> None:
    """Run those that are not finished, ``jobs`` side by side, each with its share of the cores.

    Raises:
        InputError: when ``jobs`` is none, a finished folder is of other settings, or a training ends with a fault; what
            it said lies beside its folder.
    """
    if jobs < 1:
        raise InputError("--jobs", f"must be 1 or more, got {jobs}")
    for training in trainings:
        _refuse_other_settings(training)
        training.folder.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda training: _run(training, threads), trainings))


def _words(training: Training) -> list[str]:
    return [*training.words, "--output", str(training.folder), "--overwrite"]


def _refuse_other_settings(training: Training) -> None:
    """Keep a finished run of other settings out of the table."""
    if not is_finished(training.folder):
        return
    before = read_record(training.folder)["command"][1:]
    if before not in (_words(training), _words(training) + ONE_PROCESS):
        raise InputError(training.folder, f"was trained with other settings: {' '.join(before)}; choose another folder")


def _run(training: Training, threads: int) -> None:
    if is_finished(training.folder):
        say(f"{training.folder.name}: finished before")
        return
    command = [sys.executable, "-m", training.module, *_words(training)]
    command += ONE_PROCESS if threads == 1 else []
    say(f"{training.folder.name}: started")
    log_file = training.folder.with_suffix(".log")
    with log_file.open("w") as log:
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=log, stderr=log)
    if done.returncode:
        raise InputError(log_file, f"the training ended with status {done.returncode}")
    say(f"{training.folder.name}: done")


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run's record."""
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def read_scores(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Class -> case -> metric -> value of a finished training; cases without the metric have none."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for case in json.loads((folder / "summary.json").read_text())["cases"]:
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
