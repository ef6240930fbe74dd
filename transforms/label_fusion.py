"""STAPLE and its hybrid with data parameters on the patterns of many raters, with the choice of voxels and priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.pattern_votes import vote_shares
from transforms.rater_model import MAX_ITERATIONS, TOLERANCE, RaterModel, estimate_raters, mean_fractions
from transforms.rater_patterns import RaterPatterns
from transforms.trusted_raters import STRENGTH, trust_pseudo_counts, trusted_shares

__all__ = ["staple_fusion"]


def staple_fusion(
    patterns: RaterPatterns,
    *,
    restricted: bool = False,
    prior: Sequence[float] | None = None,
    parameters: ArrayLike | None = None,
    strength: float = STRENGTH,
    initial: float | None = None,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> RaterModel:
    """Estimate the true label of every pattern, and the raters.

    Args:
        patterns: of the raters' decisions.
        restricted: estimate from those voxels alone about which the raters disagree. The others keep the label on which
            all agree, with probability 1. Then a wide background on which all agree does no longer push every
            specificity towards 1, by which a few raters' foreground outweighs the others' background; prior,
            sensitivities and specificities are those of the contested region, and smaller. Where all raters agree
            everywhere there is nothing to restrict to, and all voxels are taken.
        prior: probability of each label 0, 1, ... before any rater is asked, scaled to sum 1 over the labels that
            occur; by default the mean fractions of the raters, over the voxels estimated from, and for the hybrid
            what gives each label its trusted volume.
        parameters: ``(R,)``, data parameters, for the hybrid of :mod:`transforms.trusted_raters`; None for STAPLE.
        strength: of the parameters, 0 or more.
        initial: first guess of every sensitivity and specificity, such as 0.99999; by default the first guess is the
            raters' soft average, as in ITK.
        max_iterations: stop after so many.
        tolerance: stop when no entry of a confusion matrix changes by more.

    Returns:
        The model, whose ``posterior`` has a row for each of ``patterns``.

    Raises:
        ValueError: for options that make no sense, and for parameters or a prior that do not fit the raters.
    """
    chosen = ~patterns.unanimous if restricted else np.ones(len(patterns.counts), bool)
    if not chosen.any():
        chosen[:] = True
    decisions, counts, labels = patterns.decisions[chosen], patterns.counts[chosen], patterns.labels
    fractions = mean_fractions(decisions, counts, labels)
    start = fractions if prior is None else _given_prior(prior, labels)
    added = volumes = None
    if parameters is not None:
        if np.shape(parameters) != (decisions.shape[1],):
            raise ValueError(f"there are {decisions.shape[1]} raters, but parameters of shape {np.shape(parameters)}.")
        trusted = counts @ vote_shares(decisions, labels, trusted_shares(parameters))
        if len(labels) > 1:
            added = trust_pseudo_counts(parameters, trusted, strength)
        volumes = trusted if prior is None else None
    model = estimate_raters(
        decisions,
        counts,
        labels,
        prior=start,
        volumes=volumes,
        pseudo_counts=added,
        initial=initial,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    # The one label of a pattern on which all agree has all the votes.
    posterior = vote_shares(patterns.decisions, labels)
    posterior[chosen] = model.posterior
    return replace(model, posterior=posterior)


def _given_prior(prior: Sequence[float], labels: Sequence[int]) -> NDArray[np.float64]:
    given = np.asarray(prior, np.float64)
    if given.ndim != 1 or not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"prior must hold one number of 0 or more per label, got {prior!r}.")
    if labels[-1] >= len(given):
        raise ValueError(f"prior is for the labels 0 to {len(given) - 1}, but a rater gives {labels[-1]}.")
    present = given[list(labels)]
    if present.sum() <= 0:
        raise ValueError(f"prior gives no probability to any label that occurs: {prior!r} for {tuple(labels)}.")
    return np.asarray(present / present.sum())
