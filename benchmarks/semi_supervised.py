"""What unlabelled scans bring: the same training by each method and seed, and one table of the test cases.

    python -m benchmarks.semi_supervised --data DIR --output DIR --labeled 16 [--seeds 0 1 2] [--jobs 2]

Each training is ``concord train_dtc`` in a process of its own, in a folder of its own below ``--output``; one that is
finished there is not repeated, so that an interrupted comparison goes on. ``--jobs`` trainings run side by side, each
with its share of the cores. Below the table stands, per case and averaged over the seeds, what each method gains over
the supervised training. Test cases are for the table alone: choose settings on cases of the training set.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.trainings import METRICS, add_training_arguments, metric_cell
from pipelines.console import run_command, say
from pipelines.runs.trainings import Training, read_record, read_scores, run_all, settings_words

METHODS = ("supervised", "mean_teacher", "dtc")


def train_words(method: str, seed: int, args: argparse.Namespace) -> list[str]:
    """The words of ``train_dtc`` that decide what is trained."""
    words = ["--data", str(args.data), "--bundle", args.bundle, "--method", method, "--seed", str(seed)]
    return words + settings_words(args) + ([] if args.labeled is None else ["--labeled", str(args.labeled)])


def method_row(method: str, name: str, seeds: Sequence[int], folders: Sequence[Path]) -> str:
    """One line of the table: mean over the seeds of the means over the cases, and how they vary."""
    scores = [read_scores(folder)[name] for folder in folders]
    records = [read_record(folder) for folder in folders]
    cells = [metric_cell(scores, metric) for metric in METRICS]
    dices = [[100 * case["dice"] for case in one.values() if "dice" in case] for one in scores]
    between_cases = statistics.mean(statistics.stdev(one) if len(one) > 1 else 0.0 for one in dices)
    minutes = statistics.mean(record["wall_seconds"] for record in records) / 60
    memory = max(record["peak_host_mib"] for record in records)
    told = ", ".join(map(str, seeds))
    return f"| {method} | {name} | {told} | {' | '.join(cells)} | {between_cases:.2f} | {minutes:.1f} | {memory:.0f} |"


def gain_line(method: str, name: str, folders: Mapping[str, Sequence[Path]]) -> str:
    """What ``method`` gains over the supervised training in Dice, case by case, the seeds averaged."""
    from scipy.stats import wilcoxon

    per_case = []
    for one in ("supervised", method):
        scores = [read_scores(folder)[name] for folder in folders[one]]
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
    folders = {method: [args.output / f"{method}_{seed}" for seed in args.seeds] for method in args.methods}
    # Seed by seed, so that what is there when someone stops it is a comparison.
    planned = [
        Training("pipelines.train_dtc", train_words(method, seed, args), folders[method][place])
        for place, seed in enumerate(args.seeds)
        for method in args.methods
    ]
    run_all(planned, args.jobs)
    names = list(read_scores(planned[0].folder))
    say("")
    say("| method | class | seeds | Dice % | Jaccard % | ASD mm | HD95 mm | ASD voxel | HD95 voxel "
        "| sd of Dice over cases | minutes | peak MiB |")  # fmt: skip
    say("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in names:
        for method, runs in folders.items():
            say(method_row(method, name, args.seeds, runs))
    for name in names:
        for method in args.methods:
            if method != "supervised" and "supervised" in folders:
                say(gain_line(method, name, folders))
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    parser.add_argument("--bundle", default="left_atrium_dtc")
    parser.add_argument("--labeled", type=int, help="as of train_dtc")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
