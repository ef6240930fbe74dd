"""Powers below one, whose slope at zero is infinite, made finite there."""

from __future__ import annotations

import torch


def finite_power(x: torch.Tensor, gamma: float, width: float) -> torch.Tensor:
    """Give ``x^gamma``; for a ``gamma`` below one, a parabola through the origin where x is below ``width``.

    The parabola has the value and the slope of the power at ``width``; it rises all the way, and its slope at zero is
    ``(2 - gamma) width^(gamma - 1)``, its steepest.

    Args:
        x: of any shape; what rounding has put below zero counts as zero.
        gamma: positive.
        width: positive.
    """
    x = x.clamp(min=0.0)
    if gamma == 1:
        return x
    if gamma > 1:
        return x.pow(gamma)
    share = x.clamp(max=width) / width
    parabola = width**gamma * share * ((2.0 - gamma) - (1.0 - gamma) * share)
    # Both branches have a gradient: that of the power must be finite where it is not chosen, too.
    return torch.where(x < width, parabola, x.clamp(min=width).pow(gamma))
