"""Several methods, each trained with several seeds, side by side: means, how they vary, and paired tests."""

from __future__ import annotations

import itertools
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.console import progress
from pipelines.metrics.paired_tests import holm, paired_test
from pipelines.runs.lesion_scores import cell, lesion_lines, lesion_scores
from pipelines.runs.trainings import Scores, read_record, read_scores
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

COMPARISON_FILE, WEIGHTS_FILE, SCORES_FOLDER = "comparison.json", "task_weights.png", "scores"
# The columns of the printed table, where they were measured; the file holds all that were.
COLUMNS = ("dice", "cldice", "roc_auc", "pr_auc", "recall", "precision", "betti0_error", "hd95_voxel")
# What is tested, printed and kept.
TESTED = COLUMNS[:6]
HOW = (
    "Paired by case, the seeds of a method averaged: two-sided Wilcoxon signed-rank test; p_holm is corrected for all "
    "pairs of methods of one class and metric. Means and standard deviations are over the seeds, of means over cases."
)

Runs = Mapping[str, Sequence[Path]]


def score_runs(runs: Sequence[Path], words: Sequence[str]) -> None:
    """Measure each run anew on the test cases, into its folder ``scores``; what has been measured since is kept.

    Args:
        runs: finished run folders.
        words: of ``evaluate``, but ``--bundle`` and ``--output``.

    Raises:
        InputError: when an evaluation ends with a fault; what it said lies beside the run.
    """
    for run in progress(runs, "measuring"):
        summary, record = run / SCORES_FOLDER / "summary.json", run / "run.json"
        if summary.is_file() and summary.stat().st_mtime >= record.stat().st_mtime:
            continue
        log_file = run.with_suffix(".scores.log")
        command = [sys.executable, "-m", "pipelines.evaluate", "--bundle", str(run), *words]
        with log_file.open("w") as log:
            done = subprocess.run(
                [*command, "--output", str(run / SCORES_FOLDER), "--overwrite"], stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise InputError(log_file, f"the evaluation ended with status {done.returncode}")


def compare_methods(runs: Runs, seeds: Sequence[int], output: Path) -> list[str]:
    """Write ``comparison.json`` and ``task_weights.png``, and give the lines of the printed table.

    Args:
        runs: finished run folders of each method, one per seed.
        seeds: the seeds, in the same order.
        output: folder for the files.
    """
    from pipelines.figures.task_weights import write_task_weights

    content = comparison(runs, seeds)
    write_json_atomic(output / COMPARISON_FILE, content)
    logs = {name: [folder / "metrics.csv" for folder in folders] for name, folders in runs.items()}
    drawn = write_task_weights(output / WEIGHTS_FILE, logs)
    lines = [*table_lines(content), "", *pair_lines(content), ""]
    if drawn:
        lines.append(f"weights of the tasks through training: {output / WEIGHTS_FILE}")
    return [*lines, f"comparison: {output / COMPARISON_FILE}"]


def comparison(runs: Runs, seeds: Sequence[int]) -> dict[str, Any]:
    """Give the content of ``comparison.json``; None stands for what is not defined."""
    scores = {name: [_scores(folder) for folder in folders] for name, folders in runs.items()}
    # A network that segments nothing has no classes.
    first = next((found[0] for found in scores.values() if found[0]), {})
    return {
        "seeds": list(seeds),
        "cases": list(next(iter(first.values()), {})),
        "how": HOW,
        "methods": {
            name: {
                "runs": [folder.name for folder in folders],
                "classes": {
                    label: {
                        metric: _over_seeds(scores[name], label, metric) for metric in _metrics(scores[name], label)
                    }
                    for label in scores[name][0]
                },
                **_cost(folders),
                **lesion_scores([_measured(folder) for folder in folders], [read_record(one) for one in folders]),
            }
            for name, folders in runs.items()
        },
        "tests": [test for label in first for metric in TESTED for test in _tests(scores, label, metric)],
    }


def table_lines(content: Mapping[str, Any]) -> list[str]:
    """Give the table of ``comparison.json``'s content, in Markdown."""
    methods = content["methods"]
    told = ", ".join(map(str, content["seeds"]))
    lines = [f"{len(content['cases'])} test cases, seeds {told}: mean ± sd over the seeds"]
    by_class = {name: method for name, method in methods.items() if method["classes"]}
    for label in next((method["classes"] for method in by_class.values()), {}):
        found = {metric for method in by_class.values() for metric in method["classes"][label]}
        columns = [metric for metric in COLUMNS if metric in found]
        heading = " | ".join(column.replace("_", " ") for column in columns)
        lines += ["", f"| {label} | {heading} | minutes | peak MiB |", "|---" * (len(columns) + 3) + "|"]
        for name, method in by_class.items():
            cells = [cell(method["classes"][label].get(metric)) for metric in columns]
            cost = f"{method['minutes']:.1f} | {method['peak_host_mib']:.0f}"
            lines.append(f"| {name} | {' | '.join(cells)} | {cost} |")
    return [*lines, *lesion_lines(methods)]


def pair_lines(content: Mapping[str, Any], metric: str = "dice") -> list[str]:
    """Give a line for each pair of methods."""
    return [
        f"{test['first']} over {test['second']}, {test['class']}: {metric} {test['mean_difference']:+.4f} (higher on "
        f"{test['higher']} of {test['cases']} cases, Wilcoxon p = {test['p']:.3g}, Holm's {test['p_holm']:.3g})"
        for test in content["tests"]
        if test["metric"] == metric and test["p"] is not None
    ]


def _measured(run: Path) -> Path:
    """Give the folder of a run's scores: those measured anew, if there are any."""
    measured = run / SCORES_FOLDER
    return measured if (measured / "summary.json").is_file() else run


def _scores(run: Path) -> Scores:
    return read_scores(_measured(run))


def _metrics(scores: Sequence[Scores], label: str) -> list[str]:
    return list(dict.fromkeys(metric for one in scores for case in one[label].values() for metric in case))


def _over_seeds(scores: Sequence[Scores], label: str, metric: str) -> dict[str, Any]:
    """Mean over the cases for each seed, then mean and standard deviation of those."""
    values = [[case[metric] for case in one[label].values() if metric in case] for one in scores]
    means = [statistics.fmean(one) if one else None for one in values]
    known = [mean for mean in means if mean is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "per_seed": means,
        "undefined": sum(len(one[label]) for one in scores) - sum(map(len, values)),
    }


def _tests(scores: Mapping[str, Sequence[Scores]], label: str, metric: str) -> list[dict[str, Any]]:
    """Test every pair of methods, the later one against the earlier."""
    values = {name: _per_case(found, label, metric) for name, found in scores.items() if found[0]}
    if not any(values.values()):
        return []
    pairs = list(itertools.combinations(values, 2))
    found = []
    for earlier, later in pairs:
        cases = [case for case in values[later] if case in values[earlier]]
        found.append(paired_test([values[later][case] for case in cases], [values[earlier][case] for case in cases]))
    corrected = holm([test.p for test in found])
    return [
        {
            "class": label,
            "metric": metric,
            "first": later,
            "second": earlier,
            "mean_difference": _defined(test.mean_difference),
            "higher": test.better,
            "cases": test.cases,
            "p": _defined(test.p),
            "p_holm": _defined(p),
        }
        for (earlier, later), test, p in zip(pairs, found, corrected, strict=True)
    ]


def _per_case(scores: Sequence[Scores], label: str, metric: str) -> dict[str, float]:
    """The mean over the seeds of each case that has a value with all of them."""
    return {
        case: statistics.fmean(one[label][case][metric] for one in scores)
        for case in scores[0][label]
        if all(metric in one[label].get(case, {}) for one in scores)
    }


def _cost(folders: Sequence[Path]) -> dict[str, float]:
    records = [read_record(folder) for folder in folders]
    return {
        "minutes": statistics.fmean(record["wall_seconds"] for record in records) / 60,
        "peak_host_mib": max(record["peak_host_mib"] for record in records),
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
