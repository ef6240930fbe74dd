"""How sure an area under the ROC curve is when the slices that it is measured on come from few volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["clustered_auc_interval"]

# Beyond this many cases, the numbers of all pairs of cases take more memory and time than the interval is worth.
MOST_CASES = 2000
# Resampled at a time, in numbers (32 MB).
_BLOCK = 4_000_000


def clustered_auc_interval(
    values: Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the area under the ROC curve over whole cases.

    Slices of one volume resemble each other: what is drawn anew, with replacement, are the volumes. Each draw counts a
    volume as often as it was drawn, so that its area is a sum over pairs of volumes, of which each pair is compared but
    once.

    Args:
        values: of each case, (N_i,).
        truth: likewise: 1 there, 0 not there, negative unknown.
        level: the share of resampled areas between the two ends.
        resamples: how often the cases are drawn anew.
        seed: of the draw; the same seed gives the same interval.

    Returns:
        The lower and the upper end; None for fewer than 2 or more than ``MOST_CASES`` cases, or when no draw has an
        area. Draws without one of the two sorts are left out.

    Raises:
        ValueError: when ``level`` is not between 0 and 1, or ``resamples`` is below 1.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"a share between 0 and 1 and at least one resample are needed, got {level} and {resamples}.")
    cases = len(values)
    if not 2 <= cases <= MOST_CASES:
        return None
    won, positives, negatives = _pairs(values, truth)
    random = np.random.default_rng(seed)
    areas = []
    for start in range(0, resamples, max(_BLOCK // cases, 1)):
        draws = min(max(_BLOCK // cases, 1), resamples - start)
        times = random.multinomial(cases, np.full(cases, 1 / cases), size=draws).astype(float)
        number = (times @ positives) * (times @ negatives)
        areas.append((((times @ won) * times).sum(axis=1)[number > 0]) / number[number > 0])
    known = np.concatenate(areas)
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _pairs(
    values: Sequence[ArrayLike], truth: Sequence[ArrayLike]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pairs won of the positives of case u over the negatives of case v, ties counting half, (V, V); how many positives
    and negatives each case has, (V,).
    """
    told = [
        (np.asarray(one, float).ravel(), np.asarray(other).ravel()) for one, other in zip(values, truth, strict=True)
    ]
    high = np.concatenate([one[other > 0] for one, other in told])
    case_of_high = np.repeat(np.arange(len(told)), [int((other > 0).sum()) for _, other in told])
    won = np.zeros((len(told), len(told)))
    for index, (one, other) in enumerate(told):
        low = np.sort(one[other == 0])
        below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
        won[:, index] = np.bincount(case_of_high, weights=below / 2, minlength=len(told))
    positives = np.bincount(case_of_high, minlength=len(told)).astype(float)
    return won, positives, np.array([(other == 0).sum() for _, other in told], float)
