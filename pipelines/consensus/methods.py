"""The ways from many raters' decisions to one label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.label_fusion import staple_fusion
from transforms.pattern_votes import decide, softmax_weights, vote_shares
from transforms.rater_model import MAX_ITERATIONS, TOLERANCE
from transforms.rater_patterns import RaterPatterns
from transforms.trusted_raters import STRENGTH

# What takes data parameters, and what does without.
PARAMETER_METHODS = ("data-parameters", "hybrid")
METHODS = ("staple", "data-parameters", "hybrid", "majority", "average")


@dataclass(frozen=True)
class ConsensusOptions:
    """How STAPLE and the hybrid are computed; the votes have nothing to choose.

    Args:
        restricted: estimate from contested voxels alone; None is so for the hybrid and not for STAPLE.
        prior: probability of each label 0, 1, ...; None is the raters' mean fractions.
        strength: of data parameters in the hybrid.
        max_iterations: stop after so many.
        tolerance: stop when nothing changes by more.
    """

    restricted: bool | None = None
    prior: tuple[float, ...] | None = None
    strength: float = STRENGTH
    max_iterations: int = MAX_ITERATIONS
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Consensus:
    """What a method makes of the raters of one image.

    Args:
        labels: the S labels that the axes below stand for.
        shares: ``(P, S)``, probability or share of the vote of each label in each pattern.
        decided: ``(P,)``, the label of each pattern.
        weights: ``(R,)``, share of the vote of each rater; None for STAPLE, which has none.
        sensitivity: ``(R, S)``, as STAPLE estimates it; for the votes, against the consensus, NaN without such voxels.
        specificity: ``(R, S)``, likewise.
        iterations: None for the votes.
        converged: None for the votes.
    """

    labels: tuple[int, ...]
    shares: NDArray[np.float64]
    decided: NDArray[np.integer[Any]]
    weights: NDArray[np.float64] | None
    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]
    iterations: int | None = None
    converged: bool | None = None


def make_consensus(
    method: str, patterns: RaterPatterns, parameters: Sequence[float] | None, options: ConsensusOptions
) -> Consensus:
    """Fuse the raters of one image.

    Args:
        method: one of ``METHODS``. ``majority`` and ``average`` are one vote; they differ in what is written of it.
        patterns: of the raters' decisions.
        parameters: one per rater; needed by ``PARAMETER_METHODS`` alone.
        options: see there.

    Raises:
        ValueError: for a method that is none, missing parameters, and a prior that does not fit the labels.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if method in PARAMETER_METHODS and parameters is None:
        raise ValueError(f"method {method} needs data parameters.")
    labels = patterns.labels
    weights = softmax_weights(parameters) if method in PARAMETER_METHODS and parameters is not None else None
    if method in ("staple", "hybrid"):
        model = staple_fusion(
            patterns,
            restricted=method == "hybrid" if options.restricted is None else options.restricted,
            prior=options.prior,
            parameters=parameters if method == "hybrid" else None,
            strength=options.strength,
            max_iterations=options.max_iterations,
            tolerance=options.tolerance,
        )
        decided = decide(model.posterior, labels)
        told = (model.sensitivity, model.specificity, model.iterations, model.converged)
        return Consensus(labels, model.posterior, decided, weights, *told)
    shares = vote_shares(patterns.decisions, labels, weights)
    decided = decide(shares, labels)
    even = np.full(patterns.decisions.shape[1], 1 / patterns.decisions.shape[1])
    agreement = _agreement(patterns, decided)
    return Consensus(labels, shares, decided, even if weights is None else weights, *agreement)


def _agreement(
    patterns: RaterPatterns, decided: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity and specificity ``(R, S)`` of each rater against the consensus."""
    found = []
    for label in patterns.labels:
        truth, said = decided == label, patterns.decisions == label
        inside, outside = patterns.counts * truth, patterns.counts * ~truth
        found.append((_share(inside @ said, inside.sum()), _share(outside @ ~said, outside.sum())))
    sensitivity, specificity = zip(*found, strict=True)
    return np.stack(sensitivity, axis=1), np.stack(specificity, axis=1)


def _share(part: NDArray[Any], whole: int) -> NDArray[np.float64]:
    return np.asarray(part / whole if whole else np.full(part.shape, np.nan))
