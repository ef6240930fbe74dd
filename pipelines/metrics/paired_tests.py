"""Is one method better than another on the same cases? Signed ranks, and a correction for asking several times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairedTest:
    """What two methods differ by, case by case.

    Attributes:
        cases: how many cases have a value by both methods.
        mean_difference: of the first method's values minus the second's; NaN without a case.
        better: cases in which the first method's value is higher.
        p: two-sided, of Wilcoxon's signed-rank test; 1 when nothing differs, NaN without a case.
    """

    cases: int
    mean_difference: float
    better: int
    p: float


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compare two methods by Wilcoxon's signed-rank test; cases without a difference are left out of the ranks.

    With few cases p cannot be small, whatever the methods do: with n cases that differ it is at least ``2 / 2^n``.

    Args:
        first: one value per case.
        second: the same cases by the other method; cases with a NaN in either are left out.

    Raises:
        ValueError: when there are not as many values of either.

    References:
        Wilcoxon, *Individual comparisons by ranking methods*, Biometrics Bulletin 1945.
    """
    from scipy.stats import wilcoxon

    if len(first) != len(second):
        raise ValueError(f"paired values must be as many of either, got {len(first)} and {len(second)}.")
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return PairedTest(0, math.nan, 0, math.nan)
    p = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return PairedTest(len(differences), float(differences.mean()), int((differences > 0).sum()), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several tests so that the chance of any false finding stays what it is for one.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below one before it, or above 1.

    Args:
        p_values: of the tests; NaN for one that could not be made, which does not count.

    References:
        Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 1979.
    """
    known = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(known, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(known) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
