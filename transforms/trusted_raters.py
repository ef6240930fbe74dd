"""Data parameters as priors of STAPLE's rater model: between STAPLE and the weighted vote.

STAPLE judges raters by how they agree, so it is led astray where most of them are wrong in the same way; the vote by
data parameters judges them by what a network could learn from them, and does not look at how they agree. The hybrid
lets the parameters say what to expect of each rater and the agreement correct it. For R raters with parameters s_r and
a strength g of 0 or more,

    w_r   = exp(s_r) / sum_q exp(s_q)             share of the vote
    u     = sum_r |w_r - 1/R| / (2 - 2/R)         how unequal the shares are: 0 all equal, 1 one has all
    m_r   = 1 / (1 + (S - 1) exp(-c R w_r))       expected sensitivity and specificity, S labels, c = log 9
    a_r[s, s] = g u N_s m_r                       pseudo-counts of the right decision, N_s mean voxels of label s
    a_r[s, l] = g u N_s (1 - m_r) / (S - 1)       and of each wrong one
    f(s)  = F(s)^(1 / (1 + g u)) / sum_t ...      prior; F(s) are the mean fractions

A rater of average share is so expected to be right in 9 cases of 10 (for two labels), and each rater's log odds grow in
proportion to the share: m_r, and with it the weight of the decision, increases with s_r. With g u = 0 - no strength, or
all parameters equal - this is STAPLE. As g grows the confusion matrices become the expected ones and the prior even, so
that the score of label s tends to c R times its share of the vote: the decision is that of the weighted vote. With
g u = 1 the prior weighs as much as the image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.pattern_votes import softmax_weights

__all__ = ["STRENGTH", "check_strength", "tempered_prior", "trust_pseudo_counts", "unequalness"]

# Of 0.3, 1, 3, 10 and 100 the one that is good whatever the raters' quality: see benchmarks.consensus.
STRENGTH = 3.0
_LOG_ODDS = math.log(9)

Array = NDArray[np.float64]


def check_strength(strength: float) -> None:
    """Refuse a strength that is none.

    Raises:
        ValueError: when it is negative or not finite.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be 0 or more and finite, got {strength}.")


def unequalness(parameters: ArrayLike) -> float:
    """Give how far the raters' shares are from equal: 0 for equal parameters, towards 1 when one rater has all."""
    weights = softmax_weights(parameters)
    raters = len(weights)
    # Equal parameters give weights that differ from 1/R by rounding alone, which must not count.
    if raters == 1 or np.ptp(np.asarray(parameters, np.float64)) == 0:
        return 0.0
    return float(np.abs(weights - 1 / raters).sum() / (2 - 2 / raters))


def trust_pseudo_counts(parameters: ArrayLike, voxels: ArrayLike, strength: float = STRENGTH) -> Array:
    """Give the pseudo-counts of all confusion matrices.

    Args:
        parameters: ``(R,)``, data parameters.
        voxels: ``(S,)``, mean voxels of each label, at least two labels.
        strength: g above.

    Returns:
        ``(R, S, S)``: rater, truth, decision. All 0 when the parameters are equal.

    Raises:
        ValueError: for a bad strength or parameters that are not finite.
    """
    check_strength(strength)
    sizes = np.asarray(voxels, np.float64)
    classes = len(sizes)
    weights = softmax_weights(parameters)
    wrong = np.exp(-_LOG_ODDS * len(weights) * weights)
    expected = 1 / (1 + (classes - 1) * wrong)  # (R,)
    shares = np.repeat(((1 - expected) / (classes - 1))[:, None, None], classes, axis=1).repeat(classes, axis=2)
    shares[:, range(classes), range(classes)] = expected[:, None]
    return np.asarray(strength * unequalness(parameters) * sizes[None, :, None] * shares)


def tempered_prior(parameters: ArrayLike, fractions: ArrayLike, strength: float = STRENGTH) -> Array:
    """Give the prior of the labels: their fractions, drawn towards even as the raters' priors gain weight.

    Args:
        parameters: ``(R,)``, data parameters.
        fractions: ``(S,)``, of sum 1; a label of fraction 0 keeps 0.
        strength: g above.

    Raises:
        ValueError: for a bad strength or parameters that are not finite.
    """
    check_strength(strength)
    power = 1 / (1 + strength * unequalness(parameters))
    given = np.asarray(fractions, np.float64)
    if power == 1:
        return given
    raised = np.power(given, power, out=np.zeros_like(given), where=given > 0)
    return np.asarray(raised / raised.sum())
