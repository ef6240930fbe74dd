"""The records of all cases as one summary and two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.consensus.scores import summarise, table_text
from transforms.io.atomic import write_json_atomic, write_text_atomic

RATER_COLUMNS = (
    *("case_id", "method", "rater", "label", "sensitivity", "specificity", "weight", "parameter", "voxels"),
    "true_dice",
)
CaseRecords = Mapping[str, Mapping[str, Any]]


def summarise_records(records: Sequence[CaseRecords], methods: Sequence[str]) -> dict[str, Any]:
    """Give scores per method and of the single raters; what no expert's label is known for is None.

    Args:
        records: of each case, by method (see ``build_case``).
        methods: in the order to tell them.

    Returns:
        ``methods`` (per method ``cases``, ``not_converged``, ``mean_dice``, and ``dice`` by label), ``raters``
        (``mean_dice`` over all raters of all cases, ``best_dice`` over the best rater of each case) and ``cases``.
    """
    told = {method: _of_method([case[method] for case in records]) for method in methods}
    first = [case[methods[0]] for case in records]
    dice = [[score for score in record["mean_dice_of_raters"] or [] if score is not None] for record in first]
    return {
        "methods": told,
        "raters": {
            "mean_dice": summarise(score for case in dice for score in case),
            "best_dice": summarise(max(case, default=None) for case in dice),
        },
        "cases": [
            {
                "case_id": record["case_id"],
                "contested_voxels": record["contested_voxels"],
                "dice": {method: case[method]["mean_dice"] for method in methods},
            }
            for record, case in zip(first, records, strict=True)
        ],
    }


def _of_method(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    labels = sorted({label for record in records for label in record["dice"] or {}}, key=int)
    return {
        "cases": len(records),
        "not_converged": sum(record["converged"] is False for record in records),
        "mean_dice": summarise(record["mean_dice"] for record in records),
        "dice": {label: summarise((record["dice"] or {}).get(label) for record in records) for label in labels},
    }


def score_rows(records: Sequence[CaseRecords]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Give the columns and rows of the scores: one row per case and method."""
    every = [record for case in records for record in case.values()]
    labels = sorted({label for record in every for label in record["dice"] or {}}, key=int)
    columns = (
        "case_id",
        "method",
        "mean_dice",
        *(f"dice_{label}" for label in labels),
        "contested_voxels",
        "iterations",
    )
    rows = [{**record, **{f"dice_{label}": (record["dice"] or {}).get(label) for label in labels}} for record in every]
    return columns, rows


def write_tables(folder: Path, records: Sequence[CaseRecords], summary: Mapping[str, Any], stem: str = "") -> None:
    """Write ``raters.csv``, ``scores.csv`` and, last, ``summary.json``; ``stem`` comes before each name."""
    rows = [row for case in records for record in case.values() for row in record["raters"]]
    write_text_atomic(folder / f"{stem}raters.csv", table_text(RATER_COLUMNS, rows))
    write_text_atomic(folder / f"{stem}scores.csv", table_text(*score_rows(records)))
    write_json_atomic(folder / f"{stem}summary.json", summary)
