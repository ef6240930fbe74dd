"""Data parameters as priors of STAPLE's rater model: between STAPLE and the weighted vote, and as large as the raters.

STAPLE judges raters by how they agree, so it is led astray where most of them are wrong in the same way, and the
consensus that it makes of labels that do not lie on each other is larger than they are; a vote's is smaller. The vote
by data parameters judges raters by what a network could learn from them, and does not look at how they agree. The
hybrid lets the parameters say what to expect of each rater, and how large the truth is, and the agreement correct the
first. For R raters with parameters s_r, S labels, n_r(s) voxels of label s in rater r, and a strength g of 0 or more,

    w_r   = exp(s_r / 2) / sum_q exp(s_q / 2)     share of the vote
    N_s   = sum_r w_r n_r(s)                      trusted volume
    m_r   = 1 / (1 + (S - 1) exp(-c R w_r))       expected sensitivity and specificity, c = log 9
    a_r[s, s] = g N_s m_r                         pseudo-counts of the right decision
    a_r[s, l] = g N_s (1 - m_r) / (S - 1)         and of each wrong one
    f(s)  so that the expected voxels of each label, sum of W(s), are N_s

Learnt parameters tell raters apart with noise, hence the half: it costs little where they are right and wins where they
are not. A rater of average share is so expected to be right in 9 cases of 10 (for two labels), and each rater's log
odds grow in proportion to the share: m_r, and with it the weight of the decision, increases with s_r. Where a label
lies is what displaced raters are wrong about; how large it is they know, hence the prior. With g = 0 and a prior of
one's own this is STAPLE; with an even one, and g so large that the confusion matrices become the expected ones, the
vote by these shares.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.pattern_votes import softmax_weights

__all__ = ["STRENGTH", "check_strength", "trust_pseudo_counts", "trusted_shares"]

# Of 0.1, 0.3, 1, 3, 10 and 100 the one that is good whatever the raters' quality: see benchmarks.consensus.
STRENGTH = 1.0
_LOG_ODDS = math.log(9)

Array = NDArray[np.float64]


def check_strength(strength: float) -> None:
    """Refuse a strength that is none.

    Raises:
        ValueError: when it is negative or not finite.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be 0 or more and finite, got {strength}.")


def trusted_shares(parameters: ArrayLike) -> Array:
    """Give w above, ``(R,)`` of sum 1.

    Raises:
        ValueError: for parameters that are not finite.
    """
    return softmax_weights(np.asarray(parameters, np.float64) / 2)


def trust_pseudo_counts(parameters: ArrayLike, voxels: ArrayLike, strength: float = STRENGTH) -> Array:
    """Give the pseudo-counts of all confusion matrices.

    Args:
        parameters: ``(R,)``, data parameters.
        voxels: ``(S,)``, trusted volume of each label, at least two labels.
        strength: g above.

    Returns:
        ``(R, S, S)``: rater, truth, decision.

    Raises:
        ValueError: for a bad strength or parameters that are not finite.
    """
    check_strength(strength)
    sizes = np.asarray(voxels, np.float64)
    classes = len(sizes)
    weights = trusted_shares(parameters)
    wrong = np.exp(-_LOG_ODDS * len(weights) * weights)
    expected = 1 / (1 + (classes - 1) * wrong)  # (R,)
    shares = np.repeat(((1 - expected) / (classes - 1))[:, None, None], classes, axis=1).repeat(classes, axis=2)
    shares[:, range(classes), range(classes)] = expected[:, None]
    return np.asarray(strength * sizes[None, :, None] * shares)
