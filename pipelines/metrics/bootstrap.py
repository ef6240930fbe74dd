"""How sure a mean over cases is, and whether two methods differ on the same cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PairedComparison", "bootstrap_interval", "compare_paired"]

Statistic = Callable[..., Any]

# Resamples are drawn in blocks of about this many numbers (64 MB), however many cases there are.
_BLOCK = 8_000_000


@dataclass(frozen=True)
class PairedComparison:
    """How ``first`` and ``second`` differ on the cases where both have a value.

    Attributes:
        difference: mean of ``first - second``.
        interval: percentile bootstrap interval of that mean; None with fewer than two pairs.
        p_bootstrap: two-sided; how often the resampled mean falls on the other side of zero, doubled. None as above.
        p_wilcoxon: two-sided signed-rank test; 1 when all pairs are equal. None as above.
        n: pairs used.
        left_out: pairs in which one value or both are undefined.
    """

    difference: float
    interval: tuple[float, float] | None
    p_bootstrap: float | None
    p_wilcoxon: float | None
    n: int
    left_out: int


def bootstrap_interval(
    values: ArrayLike, statistic: Statistic = np.mean, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a statistic over cases (Efron 1979).

    Args:
        values: one number per case; undefined ones (NaN) are left out.
        statistic: a numpy reduction that takes ``axis``, such as ``np.mean`` or ``np.median``.
        level: the share of resampled statistics between the two ends.
        resamples: how often the cases are drawn anew, with replacement.
        seed: of the draw; the same seed gives the same interval.

    Returns:
        The lower and the upper end; None when fewer than two cases have a value, for then nothing is known about their
        spread.

    Raises:
        ValueError: when ``level`` is not between 0 and 1, ``resamples`` is below 1, or ``values`` has more than one
            axis.
    """
    _check(level, resamples)
    defined = _one_axis(values)
    defined = defined[~np.isnan(defined)]
    if defined.size < 2:
        return None
    return _percentiles(_resampled(defined, statistic, resamples, seed), level)


def compare_paired(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> PairedComparison:
    """Compare two methods by their values on the same cases, in the same order.

    The bootstrap draws cases, so a pair stays a pair. With few cases both p values are coarse: five pairs cannot bring
    the signed-rank test below 0.0625.

    Args:
        first: one number per case; NaN where undefined.
        second: the other method's, of the same length.
        level: of the interval.
        resamples: bootstrap draws.
        seed: of the draws.

    Returns:
        The mean difference with its interval and two p values; ``difference`` is NaN when no pair is complete.

    Raises:
        ValueError: when the lengths differ, and as ``bootstrap_interval``.
    """
    _check(level, resamples)
    one, two = _one_axis(first), _one_axis(second)
    if one.shape != two.shape:
        raise ValueError(f"both methods need a value for each case, got {one.size} and {two.size} values.")
    gaps = one - two
    left_out = int(np.isnan(gaps).sum())
    gaps = gaps[~np.isnan(gaps)]
    if gaps.size < 2:
        difference = float(gaps[0]) if gaps.size else float("nan")
        return PairedComparison(difference, None, None, None, int(gaps.size), left_out)
    means = _resampled(gaps, np.mean, resamples, seed)
    # One is added to both counts, so that p is never 0: no finite number of draws can show that.
    tail = 1 + min(int(np.count_nonzero(means <= 0)), int(np.count_nonzero(means >= 0)))
    return PairedComparison(
        difference=float(gaps.mean()),
        interval=_percentiles(means, level),
        p_bootstrap=min(1.0, 2 * tail / (resamples + 1)),
        p_wilcoxon=_signed_rank(gaps),
        n=int(gaps.size),
        left_out=left_out,
    )


def _resampled(values: NDArray[np.float64], statistic: Statistic, resamples: int, seed: int) -> NDArray[np.float64]:
    """The statistic of each resample, shape ``(resamples,)``."""
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // values.size)
    blocks = [
        statistic(values[generator.integers(values.size, size=(min(rows, resamples - start), values.size))], axis=1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(blocks)


def _percentiles(statistics: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The two ends that leave out ``(1 - level) / 2`` each."""
    low, high = np.quantile(statistics, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _signed_rank(gaps: NDArray[np.float64]) -> float:
    """Wilcoxon's two-sided p; scipy leaves it undefined when there is no difference at all."""
    if not gaps.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(gaps).pvalue)


def _one_axis(values: ArrayLike) -> NDArray[np.float64]:
    """Give ``values`` as doubles with one axis, or refuse."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, one number per case, got shape {array.shape}.")
    return array


def _check(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}.")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}.")
