"""What all comparisons of trainings take and tell."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

METRICS = ("dice", "jaccard", "asd_mm", "hd95_mm", "asd_voxel", "hd95_voxel")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all comparisons of trainings take."""
    parser.add_argument("--data", type=Path, required=True, help="data set folder with test cases")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--overlay", action="append", default=[], help="as of the training command; quick, say")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="as of the training command")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--debug", action="store_true")


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
