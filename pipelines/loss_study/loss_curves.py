"""A loss and its gradient as functions of the probability that a pixel's own class has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from networks.losses.curves import pixel_loss_curves

LEAST = 1e-3


@dataclass(frozen=True)
class LossCurve:
    """The curves of one loss of two classes, each (N,).

    Attributes:
        p: the probability of the pixel's own class.
        foreground: the loss of a foreground pixel.
        background: that of a background pixel.
        foreground_gradient: the derivative of ``foreground`` with respect to the logit of the own class.
        background_gradient: likewise, of ``background``.
    """

    p: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    foreground_gradient: np.ndarray
    background_gradient: np.ndarray


def loss_curve(loss: nn.Module, points: int = 199) -> LossCurve | None:
    """Compute the curves of a loss of two classes by automatic differentiation.

    Args:
        loss: of logits (B, 1, ...) and labels (B, 1, ...).
        points: how many probabilities from 0.001 to 0.999.

    Returns:
        None when the loss is not made of the pixels' own.
    """
    p = torch.linspace(LEAST, 1.0 - LEAST, points, dtype=torch.float64)
    try:
        foreground, background = (pixel_loss_curves(loss, p, label) for label in (1, 0))
    except ValueError:
        return None
    parts = (p, foreground[0], background[0], foreground[1], background[1])
    return LossCurve(*(part.numpy() for part in parts))
