"""How the weight of a loss grows through training: pure functions of the time."""

from __future__ import annotations

import math


def sigmoid_ramp(step: float, length: float) -> float:
    """Rise as ``exp(-5 (1 - t)^2)`` with ``t = step / length`` held in [0, 1]: from e^-5 = 0.0067 to 1.

    Reference: Laine and Aila, *Temporal ensembling for semi-supervised learning*, ICLR 2017.

    Args:
        step: the time, in any unit.
        length: when 1 is reached, in the same unit; zero or less gives 1 at once.
    """
    return math.exp(-5.0 * (1.0 - _fraction(step, length)) ** 2)


def linear_ramp(step: float, length: float) -> float:
    """Rise in proportion to the time, from 0 to 1 at ``length``."""
    return _fraction(step, length)


def cosine_ramp(step: float, length: float) -> float:
    """Rise along half a cosine, from 0 to 1 at ``length``, flat at both ends."""
    return 0.5 * (1.0 - math.cos(math.pi * _fraction(step, length)))


def published_ramp(iteration: float, iterations: float, steps: int = 40) -> float:
    """Rise as DTC's code does: :func:`sigmoid_ramp` in ``steps`` stairs over the whole training.

    With 6000 iterations and 40 steps that is one stair per 150 iterations; 1 is reached exactly at the end.

    Args:
        iteration: how many iterations have passed.
        iterations: how many there are in all.
        steps: number of stairs.
    """
    return sigmoid_ramp(math.floor(iteration * steps / iterations), steps)


def early_ramp(iteration: float, iterations: float, share: float) -> float:
    """Rise as :func:`sigmoid_ramp` within the first ``share`` of the training, and stay at 1 for the rest.

    Args:
        iteration: how many iterations have passed.
        iterations: how many there are in all.
        share: of the training, from 0 to 1.
    """
    return sigmoid_ramp(iteration, share * iterations)


def _fraction(step: float, length: float) -> float:
    return 1.0 if length <= 0 else min(max(step / length, 0.0), 1.0)
