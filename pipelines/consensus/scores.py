"""How good raters and consensus are where an expert's label is known."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Voxels at a time: numpy counts with indices of 8 bytes.
_CHUNK = 1 << 20


def count_labels(labels: NDArray[Any], length: int | None = None) -> NDArray[np.int64]:
    """Give the voxels of each label from 0, in memory that does not grow with the voxels.

    Args:
        labels: whole numbers from 0.
        length: of the result; up to the greatest label when not given.
    """
    flat = labels.ravel(order="K")
    counts = np.zeros(int(flat.max(initial=0)) + 1 if length is None else length, np.int64)
    for start in range(0, len(flat), _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=len(counts))
    return counts


def dice_per_label(labels: NDArray[Any], reference: NDArray[Any]) -> dict[int, float]:
    """Give the Dice of every foreground label that is in either map, by label; nothing when both are empty.

    Args:
        labels: whole numbers from 0.
        reference: of the same shape.
    """
    length = int(max(labels.max(initial=0), reference.max(initial=0))) + 1
    both = count_labels(labels, length) + count_labels(reference, length)
    shared = count_labels(labels[labels == reference], length)
    return {int(label): float(2 * shared[label] / both[label]) for label in np.flatnonzero(both) if label}


def mean_dice(scores: Mapping[int, float]) -> float | None:
    """Give the mean over the labels; None when there is none, as when both maps are empty."""
    return statistics.fmean(scores.values()) if scores else None


def summarise(scores: Iterable[float | None]) -> dict[str, float | int | None]:
    """Give number, mean, standard deviation (of a sample), least and greatest of what is not None."""
    known = [score for score in scores if score is not None and math.isfinite(score)]
    return {
        "cases": len(known),
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "min": min(known, default=None),
        "max": max(known, default=None),
    }


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Give rows as CSV; None becomes an empty cell, and numbers are written so that they read back the same."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if row.get(key) is None else row[key] for key in columns})
    return text.getvalue()
