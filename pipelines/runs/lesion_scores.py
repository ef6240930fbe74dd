"""What methods that segment and detect lesions are compared by: Dice over volumes, areas under ROC curves, and cost."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY_FILE = "summary.json"
MEAN = "mean"
SCORES = ("volume_dice", "slice_auc", "volume_auc")
# Where they were measured: name, heading, format.
COSTS = (
    ("parameters", "parameters", "{:,.0f}"),
    ("seconds_per_volume", "s a volume", "{:.2f}"),
    ("peak_mib", "peak MiB", "{:.0f}"),
)

Summary = Mapping[str, Any]


def lesion_scores(measured: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give what is told of the runs of one method, one per seed; None stands for what is not defined.

    Args:
        measured: folders with the ``summary.json`` of each run.
        records: content of their ``run.json``.

    Returns:
        ``volume_dice``, ``slice_auc`` and ``volume_auc``: by kind of lesion, and ``mean`` over the kinds, the mean,
        standard deviation and values of the seeds. ``parameters``, ``seconds_per_volume`` and ``peak_mib`` (of the
        evaluation) alike. Empty when no run was measured by volumes.
    """
    summaries = [_read(folder / SUMMARY_FILE) for folder in measured]
    if not any("volume_dice" in summary or "detection" in summary for summary in summaries):
        return {}
    found: dict[str, Any] = {
        "volume_dice": _by_kind(summaries, _volume_dice),
        "slice_auc": _by_kind(summaries, lambda summary: _areas(summary, "slices")),
        "volume_auc": _by_kind(summaries, lambda summary: _areas(summary, "volumes")),
    }
    resources = [summary.get("resources", {}) for summary in summaries]
    found["parameters"] = over_seeds([record.get("parameters") for record in records])
    found["seconds_per_volume"] = over_seeds([one.get("seconds_per_volume") for one in resources])
    found["peak_mib"] = over_seeds([one.get("peak_gpu_mib") or one.get("peak_host_mib") for one in resources])
    return found


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Give the mean and standard deviation of the values that are there, and all of them."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "per_seed": list(values),
    }


def lesion_lines(methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Give tables in Markdown of methods as :func:`lesion_scores` has them; nothing where none was measured so."""
    told = {name: method for name, method in methods.items() if "volume_dice" in method}
    kinds = list(dict.fromkeys(kind for method in told.values() for score in SCORES for kind in method[score]))
    if not told:
        return []
    costs = [cost for cost in COSTS if any(method[cost[0]]["mean"] is not None for method in told.values())]
    heading = " | ".join([*kinds, *(heading for _, heading, _ in costs)])
    lines = ["", f"| Dice over volumes | {heading} |", "|---" * (1 + len(kinds) + len(costs)) + "|"]
    for name, method in told.items():
        cells = [cell(method["volume_dice"].get(kind)) for kind in kinds]
        cells += [_cost(method[key], form) for key, _, form in costs]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for score, title in (("slice_auc", "AUC of slices"), ("volume_auc", "AUC of volumes")):
        rows = {name: method[score] for name, method in told.items() if method[score]}
        if rows:
            lines += ["", f"| {title} | {' | '.join(kinds)} |", "|---" * (1 + len(kinds)) + "|"]
            lines += [f"| {name} | {' | '.join(cell(row.get(kind)) for kind in kinds)} |" for name, row in rows.items()]
    return lines


def cell(value: Mapping[str, Any] | None) -> str:
    """Write a mean and its standard deviation over the seeds."""
    if value is None or value["mean"] is None:
        return "undefined"
    return f"{value['mean']:.4f}" + ("" if value["sd"] is None else f" ± {value['sd']:.4f}")


def _cost(value: Mapping[str, Any], form: str) -> str:
    if value["mean"] is None:
        return "unknown"
    spread = f" ± {form.format(value['sd'])}" if value["sd"] else ""
    return form.format(value["mean"]) + spread


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _by_kind(summaries: Sequence[Summary], read: Callable[[Summary], dict[str, float | None]]) -> dict[str, Any]:
    each = [read(summary) for summary in summaries]
    kinds = dict.fromkeys(kind for one in each for kind in one)
    return {kind: over_seeds([one.get(kind) for one in each]) for kind in kinds}


def _volume_dice(summary: Summary) -> dict[str, float | None]:
    told = summary.get("volume_dice")
    if not told:
        return {}
    return {**{kind: found["dice"] for kind, found in told["classes"].items()}, MEAN: told["dice"]}


def _areas(summary: Summary, level: str) -> dict[str, float | None]:
    told = summary.get("detection")
    if not told:
        return {}
    level_told = told[level]
    return {**{kind: found["auc"] for kind, found in level_told["kinds"].items()}, MEAN: level_told["mean"]["auc"]}
