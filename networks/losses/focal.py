"""Focal loss: voxels that the network is sure of count less."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from networks.losses.pixel import PixelLoss, of_each_class, require_weights


class FocalLoss(PixelLoss):
    """``-alpha_y (1 - p_y)^gamma log p_y`` of the probability of a voxel's own class; the mean is over all voxels.

    The gradient is the true one, through ``(1 - p_y)^gamma`` too; with regard to the logit of the own class it is
    ``alpha_y (1 - p)^gamma (gamma p log p - (1 - p))``. With ``gamma = 0`` and no ``alpha`` it is the cross entropy.
    Both factors are computed from the logits, so that loss and gradient are finite for every ``gamma``, below one too,
    where the power of a vanishing ``1 - p`` has no finite slope.

    Reference: Lin et al., *Focal loss for dense object detection*, ICCV 2017.

    Args:
        gamma: not negative; 0 to 5 are usual, and the paper's choice is 2.
        alpha: one number in [0, 1] for the foreground classes, 1 - alpha for the background (the paper's choice is
            0.25); or (K + 1,), the background's first; None weighs all alike.
        reduction: ``mean``, or ``none`` for the map of the voxels' losses.

    Raises:
        ValueError: when ``gamma`` is negative, ``alpha`` is out of range, or for another ``reduction``.
    """

    alpha: torch.Tensor | None

    def __init__(
        self, gamma: float = 2.0, alpha: float | Sequence[float] | torch.Tensor | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"gamma must not be negative, got {gamma}.")
        self.gamma = float(gamma)
        self.one_alpha = isinstance(alpha, int | float)
        if isinstance(alpha, int | float):
            if not 0 <= alpha <= 1:
                raise ValueError(f"alpha must be within 0 and 1, got {alpha}.")
            alpha = [1.0 - alpha, alpha]
        self.register_buffer("alpha", None if alpha is None else torch.as_tensor(alpha, dtype=torch.float32))
        require_weights("alpha", self.alpha)

    def voxels(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        losses = cross_entropy
        if self.gamma > 0:
            losses = (self.gamma * _log_of_the_others(logits, labels)).exp() * cross_entropy
        if self.alpha is not None:
            alpha = (
                torch.cat([self.alpha[:1], self.alpha[1:].expand(logits.shape[1] - 1)])
                if self.one_alpha
                else self.alpha
            )
            losses = losses * of_each_class("alpha", alpha, logits.shape[1]).to(losses.dtype)[labels]
        return losses, torch.ones_like(losses)


def _log_of_the_others(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``log(1 - p_y)`` (B, H, W[, D]), exact where ``p_y`` is one in the precision at hand."""
    own = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, labels[:, None], True)
    others = torch.logsumexp(logits.masked_fill(own, -torch.inf), dim=1)
    return others - torch.logsumexp(logits, dim=1)
