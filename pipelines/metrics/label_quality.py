"""How well learnt parameters tell good labels from bad ones, where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class LabelQuality:
    """What is known of a set of parameters.

    Attributes:
        mean: of all parameters.
        sd: their standard deviation (over N).
        spearman: rank correlation with the labels' true Dice; None when fewer than 2 are known or all are equal.
        pearson: linear correlation, likewise.
        auc: probability that a sound label has a higher parameter than a disturbed one, ties counting half; None when
            there are not labels of both kinds.
    """

    mean: float
    sd: float
    spearman: float | None = None
    pearson: float | None = None
    auc: float | None = None


def label_quality(
    parameters: ArrayLike, true_dice: Sequence[float | None], disturbed: Sequence[bool | None]
) -> LabelQuality:
    """Describe ``parameters`` (N,), of which a higher one means more trust.

    Args:
        parameters: one per label.
        true_dice: of each label against the expert's; None where it is not known.
        disturbed: whether each label was spoilt on purpose; None where it is not known.

    Raises:
        ValueError: when the lengths differ or there is no parameter.
    """
    values = np.asarray(parameters, float)
    if not len(values) == len(true_dice) == len(disturbed) or not len(values):
        raise ValueError(f"lengths differ or are 0: {len(values)}, {len(true_dice)}, {len(disturbed)}.")
    known = np.array([dice is not None for dice in true_dice])
    dice = np.array([value for value in true_dice if value is not None], float)
    told = np.array([flag is not None for flag in disturbed])
    spoilt = np.array([bool(flag) for flag in disturbed])
    return LabelQuality(
        float(values.mean()),
        float(values.std()),
        compute_spearman(values[known], dice),
        compute_pearson(values[known], dice),
        compute_auc(values[told & ~spoilt], values[told & spoilt]),
    )


def compute_pearson(x: ArrayLike, y: ArrayLike) -> float | None:
    """Give the linear correlation of two series of one length; None when it is not defined."""
    from scipy.stats import pearsonr

    first, second = np.asarray(x, float), np.asarray(y, float)
    if _is_constant(first) or _is_constant(second):
        return None
    return float(pearsonr(first, second).statistic)


def compute_spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Give the rank correlation of two series of one length, equal values sharing their mean rank; None when it is
    not defined.
    """
    from scipy.stats import spearmanr

    first, second = np.asarray(x, float), np.asarray(y, float)
    if _is_constant(first) or _is_constant(second):
        return None
    return float(spearmanr(first, second).statistic)


def compute_auc(positives: ArrayLike, negatives: ArrayLike) -> float | None:
    """Give the area under the ROC curve of scores that should be higher for ``positives``; None when one is empty.

    It is the Mann-Whitney statistic over the number of pairs, so ties count half.
    """
    from scipy.stats import rankdata

    high, low = np.asarray(positives, float), np.asarray(negatives, float)
    if not len(high) or not len(low):
        return None
    ranks = rankdata(np.concatenate([high, low]))
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def _is_constant(values: NDArray[np.float64]) -> bool:
    """Whether a correlation with ``values`` has no meaning, rounding errors in a constant being no variation."""
    if len(values) < 2:
        return True
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))
