"""Votes among raters, pattern by pattern: shares, decisions with a rule for ties, and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["TIE", "decide", "entropy_bits", "softmax_weights", "vote_shares"]

# Shares that differ by less are equal: sums of the same weights in another order differ by rounding alone.
TIE = 1e-12


def softmax_weights(parameters: ArrayLike) -> NDArray[np.float64]:
    """Give each rater's share of the vote from its data parameter: ``exp(s_r) / sum_q exp(s_q)``.

    This is the consensus of DeepSTAPLE (Weihsbach et al., WBIR 2022): the softmax over the raters of one image of
    their raw parameters.

    Args:
        parameters: ``(R,)``, one finite number per rater.

    Returns:
        ``(R,)`` float64, positive, of sum 1; equal parameters give equal weights.

    Raises:
        ValueError: when there is no parameter, or one is not finite.
    """
    given = np.asarray(parameters, np.float64)
    if given.ndim != 1 or given.size == 0 or not np.isfinite(given).all():
        raise ValueError(f"parameters must be one finite number per rater, got {parameters!r}.")
    powers = np.exp(given - given.max())
    return np.asarray(powers / powers.sum())


def vote_shares(
    decisions: NDArray[np.integer[Any]], labels: Sequence[int], weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Give the share of the vote that each label has in each pattern; with equal weights it is the soft average.

    Args:
        decisions: ``(P, R)``.
        labels: S labels to count; what a rater says that is not among them counts for none.
        weights: ``(R,)``, of sum 1; all equal when not given.

    Returns:
        ``(P, S)`` float64.

    Raises:
        ValueError: when there is not one weight per rater.
    """
    raters = decisions.shape[1]
    each = np.full(raters, 1.0) if weights is None else np.asarray(weights, np.float64)
    if each.shape != (raters,):
        raise ValueError(f"there are {raters} raters, but {each.size} weights.")
    shares = np.zeros((len(decisions), len(labels)))
    for column, label in enumerate(labels):
        for rater in range(raters):
            shares[:, column] += each[rater] * (decisions[:, rater] == label)
    # Whole votes are counted first and divided once, so that equal counts give equal shares.
    return shares / raters if weights is None else shares


def decide(shares: NDArray[np.float64], labels: Sequence[int]) -> NDArray[np.integer[Any]]:
    """Give the label of the largest share; of equal shares (within 1e-12) the smallest label wins.

    So half of the votes are not enough for foreground against background, as in the rule "more than 0.5".

    Args:
        shares: ``(P, S)``.
        labels: S labels in ascending order.

    Returns:
        ``(P,)`` of the smallest unsigned dtype that holds the labels.
    """
    first = (shares >= shares.max(axis=1, keepdims=True) - TIE).argmax(axis=1)
    return np.asarray(labels, np.min_scalar_type(max(labels)))[first]


def entropy_bits(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the entropy of each pattern's shares, ``-sum_s p_s log2 p_s``, as its uncertainty.

    Args:
        shares: ``(P, S)``, each row of sum 1.

    Returns:
        ``(P,)`` float32 in bits: 0 when one label has all, 1 when two share it evenly.
    """
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.abs((shares * logs).sum(axis=1)).astype(np.float32)
