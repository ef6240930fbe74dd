"""Areas under curves: how well the probabilities of a class tell its pixels from the others, whatever the threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["compute_average_precision", "compute_roc_auc", "compute_roc_curve"]


def compute_roc_auc(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Area under the receiver operating characteristic.

    It is the probability that a pixel of the class gets a higher value than another pixel, ties counting half (Hanley
    and McNeil, Radiology 143, 1982). Only the order of the values matters.

    Args:
        probabilities: of the class, any shape.
        truth: 0 or 1, same shape.

    Returns:
        0 to 1; NaN when all pixels are of the class or none is, for then there is no pair to compare.

    Raises:
        ValueError: when the shapes differ or a value is NaN.
    """
    found, false_alarms = _curve(probabilities, truth)
    positives, negatives = int(found[-1]), int(false_alarms[-1])
    if not positives or not negatives:
        return math.nan
    # Whole numbers: trapezia between the thresholds, doubled.
    heights = found[1:] + found[:-1]
    area = float(np.dot(heights.astype(float), np.diff(false_alarms).astype(float)))
    return area / (2.0 * positives * negatives)


def compute_roc_curve(
    probabilities: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Corners of the receiver operating characteristic, whose area :func:`compute_roc_auc` gives.

    Args:
        probabilities: of the class, any shape.
        truth: 0 or 1, same shape.

    Returns:
        False positive rates and true positive rates, (N,) each, from (0, 0) to (1, 1); points on the straight line
        between their neighbours are left out. None when all pixels are of the class or none is.

    Raises:
        ValueError: when the shapes differ or a value is NaN.
    """
    found, false_alarms = _curve(probabilities, truth)
    positives, negatives = int(found[-1]), int(false_alarms[-1])
    if not positives or not negatives:
        return None
    up, right = np.diff(found), np.diff(false_alarms)
    turns = up[1:] * right[:-1] != up[:-1] * right[1:]
    corners = np.concatenate([[True], turns, [True]])
    return false_alarms[corners] / negatives, found[corners] / positives


def compute_average_precision(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Average precision, the area under the curve of precision against recall, as a sum of steps.

    Each threshold adds its precision times what it adds to the recall; pixels of equal value pass together. Trapezia
    between the points would be too favourable (Davis and Goadrich, ICML 2006). Pixels drawn at random give the share of
    the class.

    Args:
        probabilities: of the class, any shape.
        truth: 0 or 1, same shape.

    Returns:
        0 to 1; NaN when all pixels are of the class or none is: there is nothing to find, or nothing to mistake.

    Raises:
        ValueError: when the shapes differ or a value is NaN.
    """
    found, false_alarms = _curve(probabilities, truth)
    positives, negatives = int(found[-1]), int(false_alarms[-1])
    if not positives or not negatives:
        return math.nan
    precision = found[1:] / (found[1:] + false_alarms[1:])
    return float(np.dot(precision, np.diff(found)) / positives)


def _curve(probabilities: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and false positives at every threshold from above the highest value down to the lowest."""
    values, right = np.asarray(probabilities).ravel(), np.asarray(truth).ravel() > 0
    if np.shape(probabilities) != np.shape(truth):
        raise ValueError(f"probabilities {np.shape(probabilities)} and truth {np.shape(truth)} differ in shape.")
    if np.isnan(values).any():
        raise ValueError("a probability is NaN.")
    order = np.argsort(values, kind="stable")[::-1]
    sorted_values: NDArray[Any] = values[order]
    last = np.append(np.flatnonzero(np.diff(sorted_values)), values.size - 1) if values.size else np.zeros(0, int)
    found = np.cumsum(right[order], dtype=np.int64)[last]
    start = np.zeros(1, np.int64)
    return np.concatenate([start, found]), np.concatenate([start, last + 1 - found])
