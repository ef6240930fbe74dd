"""A loss and its gradient, as functions of the probability that a voxel's own class gets."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from networks.losses.catalogue import NamedLoss
from networks.losses.pixel import PixelLoss


def pixel_loss_curves(
    loss: nn.Module, p: torch.Tensor | Sequence[float], label: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the loss of one voxel of a one-class mask head, and its gradient, at each probability.

    The gradient is with regard to the logit ``x`` of the voxel's own class, ``p = sigmoid(x)``: what the network is
    trained with. Divided by ``p (1 - p)`` it is the one with regard to p.

    Args:
        loss: a mean over voxels (:class:`PixelLoss`); how it takes the mean does not matter.
        p: probabilities (N,) of the own class, each above 0 and below 1.
        label: 1 for a voxel of the foreground, 0 for one of the background.

    Returns:
        Loss (N,) and gradient (N,), in float64.

    Raises:
        ValueError: when the loss is no mean over voxels, a probability is out of range, or the label is another.
    """
    inner = loss.loss if isinstance(loss, NamedLoss) else loss
    if not isinstance(inner, PixelLoss):
        raise ValueError(f"{type(inner).__name__} is no mean over voxels: a voxel has no loss of its own.")
    own = torch.as_tensor(p, dtype=torch.float64).detach()
    if own.dim() != 1 or not bool(((own > 0) & (own < 1)).all()):
        raise ValueError("p must be a list of probabilities above 0 and below 1.")
    if label not in (0, 1):
        raise ValueError(f"label must be 0 or 1, got {label}.")
    per_pixel = copy.deepcopy(inner)
    per_pixel.reduction = "none"
    x = torch.logit(own).requires_grad_()
    input = (x if label else -x).view(1, 1, -1, 1)
    losses = per_pixel(input, torch.full_like(input, label, dtype=torch.long)).flatten()
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    return losses.detach(), gradient
