"""STAPLE: the hidden true label and each rater's performance, by expectation-maximisation over decision patterns.

Warfield, Zou and Wells, "Simultaneous truth and performance level estimation (STAPLE)", IEEE TMI 23 (2004) 903, for two
classes; for more, each rater has a confusion matrix as in Dawid and Skene (1979). With T the true label of a voxel, d_r
what rater r says there, f the prior and theta_r[s, l] = P(d_r = l | T = s), each iteration is

    W(s)          = f(s) prod_r theta_r[s, d_r] / sum_t f(t) prod_r theta_r[t, d_r]
    theta_r[s, l] = (sum_{voxels with d_r = l} W(s) + a_r[s, l]) / (sum_{all voxels} W(s) + sum_k a_r[s, k])

in which the pseudo-counts a are 0 in STAPLE itself; others make it the maximum a posteriori under Dirichlet (for two
classes, Beta) priors with the exponents a. The prior f stays as it is, or follows the volumes that the truth is said to
have: then each W is that with the f for which sum W(s) is the volume of s. For two classes theta[1, 1] is the
sensitivity and theta[0, 0] the specificity. All voxels of one pattern of decisions share W, so the sums run over
patterns, weighted by their voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_ITERATIONS", "TOLERANCE", "RaterModel", "check_options", "estimate_raters", "mean_fractions"]

MAX_ITERATIONS = 1000
TOLERANCE = 1e-9
# Diagonal of the confusion matrices where nothing is known of a label.
_TRUSTED = 0.99999
# Stands for 0 where a logarithm is taken: finite, and beyond what any number of voxels can outweigh.
_TINY = 1e-300
# Of a prior that follows volumes: scalings in one iteration, and the share of all voxels that a label may be off.
_MOST_SCALINGS = 20
_VOLUME_TOLERANCE = 1e-9
# Numbers in the indicator matrix that is kept; more are made anew in each iteration, part by part.
_KEPT = 1 << 22

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RaterModel:
    """What the estimation found.

    Attributes:
        labels: the S labels that the axes below stand for: 0 and every label that a rater gives, ascending.
        posterior: ``(P, S)``, probability of each label in each pattern; a row's sum is 1.
        confusion: ``(R, S, S)``, ``[r, s, l]`` is the probability that rater r says l where the truth is s.
        prior: ``(S,)``, probability of each label before any rater is asked.
        mass: ``(S,)``, expected number of voxels of each true label, among those estimated from.
        iterations: how many were done; 0 where there was nothing to estimate.
        converged: whether no entry of ``confusion`` changed by more than the tolerance in the last one.
    """

    labels: tuple[int, ...]
    posterior: Array
    confusion: Array
    prior: Array
    mass: Array
    iterations: int
    converged: bool

    @property
    def sensitivity(self) -> Array:
        """``(R, S)``: how often a rater gives a label where it is the truth, ``theta_r[s, s]``."""
        return np.diagonal(self.confusion, axis1=1, axis2=2).copy()

    @property
    def specificity(self) -> Array:
        """``(R, S)``: how often a rater does not give a label where another one is the truth; 1 when none is."""
        other = self.mass[:, None] * (1 - np.eye(len(self.labels)))  # (true, label)
        wrong = (self.confusion * other).sum(axis=1)
        total = np.broadcast_to(other.sum(axis=0), wrong.shape)
        # For two classes this is theta[0, 0] whatever the masses, also where there is no background at all.
        if len(self.labels) == 2:
            return self.sensitivity[:, ::-1].copy()
        return 1 - np.divide(wrong, total, out=np.zeros_like(wrong), where=total > 0)


def check_options(initial: float | None, max_iterations: int, tolerance: float) -> None:
    """Refuse options that make no sense.

    Raises:
        ValueError: for an ``initial`` outside (0.5, 1), fewer than one iteration, or a negative tolerance.
    """
    if initial is not None and not 0.5 < initial < 1:
        raise ValueError(f"initial must be a probability above 0.5 and below 1, got {initial}.")
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be 1 or more, got {max_iterations}.")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be 0 or more and below 1, got {tolerance}.")


def mean_fractions(decisions: NDArray[np.integer[Any]], counts: NDArray[Any], labels: Sequence[int]) -> Array:
    """Give the share of all decisions that each label has, ``(S,)`` of sum 1: STAPLE's usual prior."""
    total = float(np.sum(counts, dtype=np.float64)) * decisions.shape[1]
    votes = [((decisions == label).sum(axis=1) * counts.astype(np.float64)).sum() for label in labels]
    return np.array(votes) / total


def estimate_raters(
    decisions: NDArray[np.integer[Any]],
    counts: NDArray[Any],
    labels: Sequence[int],
    *,
    prior: Array | None = None,
    volumes: Array | None = None,
    pseudo_counts: Array | None = None,
    initial: float | None = None,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> RaterModel:
    """Estimate the truth and the raters' confusion matrices from patterns of decisions.

    Works in logarithms and counts in float64, so neither many raters nor many voxels (above 2^24, where float32 counts
    stop) lose precision. Where there is nothing to tell raters apart, the result is defined:

    - one rater alone is the truth, with a diagonal confusion matrix and no iteration;
    - a label without any probability mass keeps its initial row of the confusion matrix, 0.99999 on the diagonal by
      default (a full structure leaves the specificity unknown, an empty one the sensitivity);
    - a rater who never gives a label that others give has the sensitivity 0 for it in the end, and then counts for
      nothing there.

    Args:
        decisions: ``(P, R)``, distinct patterns.
        counts: ``(P,)``, voxels of each pattern.
        labels: S labels, ascending, among which all decisions are.
        prior: ``(S,)``, of sum 1; the mean fractions of the decisions by default. It stays fixed without ``volumes``.
        volumes: ``(S,)``, expected voxels of each label that the prior is made to give, of the same sum as ``counts``;
            a label of none is not the truth anywhere.
        pseudo_counts: ``(R, S, S)``, in voxels; none by default.
        initial: first guess of the diagonals of all confusion matrices, such as 0.99999 of Warfield's paper; the rest
            of a row is shared evenly. By default the first guess of W is the raters' soft average, as in ITK.
        max_iterations: stop after so many.
        tolerance: stop when no entry of a confusion matrix changes by more.

    Returns:
        The model; ``posterior`` is what its ``confusion`` gives.

    Raises:
        ValueError: for options that ``check_options`` refuses.
    """
    check_options(initial, max_iterations, tolerance)
    raters, classes = decisions.shape[1], len(labels)
    weight = counts.astype(np.float64)
    codes = np.searchsorted(np.asarray(labels), decisions)  # (P, R), column of each decision
    prior = mean_fractions(decisions, counts, labels) if prior is None else prior
    if raters == 1 or classes == 1:
        posterior = np.eye(classes)[codes[:, 0]]
        same = np.repeat(np.eye(classes)[None], raters, axis=0)
        return RaterModel(tuple(labels), posterior, same, prior, weight @ posterior, 0, True)
    added = np.zeros((raters, classes, classes)) if pseudo_counts is None else pseudo_counts
    start = _TRUSTED if initial is None else initial
    confusion = np.full((raters, classes, classes), (1 - start) / (classes - 1))
    confusion[:, range(classes), range(classes)] = start
    indicators = _Indicators(codes, classes)
    first = None if initial is None else confusion
    posterior, counted, prior = _expect(indicators, weight, prior, first, volumes)
    change, iterations = np.inf, 0
    while iterations < max_iterations and change > tolerance:
        update = _maximise(counted, added, confusion)
        posterior, counted, prior = _expect(indicators, weight, prior, update, volumes)
        change = float(np.abs(update - confusion).max())
        confusion = update
        iterations += 1
    return RaterModel(
        tuple(labels), posterior, confusion, prior, weight @ posterior, iterations, bool(change <= tolerance)
    )


class _Indicators:
    """``(P, R*S)`` matrix that is 1 where rater r says label l, in parts of bounded size."""

    def __init__(self, codes: NDArray[np.intp], classes: int) -> None:
        self.codes, self.classes = codes, classes
        self.rows = max(1, _KEPT // (codes.shape[1] * classes))
        self.kept = [self._make(0)] if len(codes) <= self.rows else None

    def parts(self) -> Iterator[tuple[slice, Array]]:
        for number, start in enumerate(range(0, len(self.codes), self.rows)):
            part = self.kept[number] if self.kept is not None else self._make(start)
            yield slice(start, start + self.rows), part

    def _make(self, start: int) -> Array:
        codes = self.codes[start : start + self.rows]
        matrix = np.zeros((*codes.shape, self.classes))
        np.put_along_axis(matrix, codes[:, :, None], 1.0, axis=2)
        return matrix.reshape(len(codes), -1)


def _expect(
    indicators: _Indicators, weight: Array, prior: Array, confusion: Array | None, volumes: Array | None
) -> tuple[Array, Array, Array]:
    """Give W ``(P, S)``, the expected voxels ``(R, S, S)`` of each truth and decision, and the prior.

    Without confusion matrices W is the soft average.
    """
    raters, classes = indicators.codes.shape[1], indicators.classes
    posterior = np.empty((len(weight), classes))
    counted = np.zeros((raters * classes, classes))
    if confusion is not None:
        # log theta as (R*l, s): a pattern's indicators pick the row of each rater's decision.
        logs = np.log(np.maximum(confusion, _TINY)).transpose(0, 2, 1).reshape(-1, classes)
        for rows, matrix in indicators.parts():
            np.matmul(matrix, logs, out=posterior[rows])
        if volumes is not None:
            prior = _prior_for(posterior, weight, volumes, prior)
        posterior = _normalised(posterior, prior)
    for rows, matrix in indicators.parts():
        if confusion is None:
            posterior[rows] = matrix.reshape(-1, raters, classes).mean(axis=1)
        counted += matrix.T @ (posterior[rows] * weight[rows, None])
    return posterior, counted.reshape(raters, classes, classes).transpose(0, 2, 1), prior


def _normalised(scores: Array, prior: Array) -> Array:
    """Give the probabilities ``(P, S)`` of log likelihoods under a prior."""
    with_prior = scores + np.log(np.maximum(prior, _TINY))
    with_prior -= with_prior.max(axis=1, keepdims=True)
    np.exp(with_prior, out=with_prior)
    with_prior /= with_prior.sum(axis=1, keepdims=True)
    return np.asarray(with_prior)


def _prior_for(scores: Array, weight: Array, volumes: Array, start: Array) -> Array:
    """Give the prior under which each label has its volume: Sinkhorn's scaling, with the rows' sums kept by Bayes."""
    prior = np.where(volumes > 0, np.maximum(start, _TINY), 0)
    for _ in range(_MOST_SCALINGS):
        mass = weight @ _normalised(scores, prior)
        if np.abs(mass - volumes).max() <= _VOLUME_TOLERANCE * weight.sum():
            break
        factors = np.divide(volumes, mass, out=np.ones_like(prior), where=(volumes > 0) & (mass > 0))
        prior = np.maximum(prior * factors, np.where(volumes > 0, _TINY, 0))
        prior /= prior.sum()
    return prior


def _maximise(counted: Array, added: Array, previous: Array) -> Array:
    """Give the confusion matrices; a row without any mass stays as it was."""
    expected = counted + added
    total = expected.sum(axis=2, keepdims=True)
    return np.divide(expected, total, out=previous.copy(), where=total > 0)
