"""Cross entropy of a mask head without a background channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from networks.losses.pixel import PixelLoss, of_each_class, require_weights


class CrossEntropyLoss(PixelLoss):
    """Cross entropy over K classes and the implicit background, with a weight per class.

    A voxel of class ``y`` has the loss ``-w_y log p_y``; the mean is torch's: the sum of the losses divided by the sum
    of the ``w_y``. The weights therefore set how much the classes count against each other, not the size of the loss.

    Args:
        weights: (K + 1,), the background's first; None weighs all alike.
        reduction: ``mean``, or ``none`` for the map of the voxels' losses.

    Raises:
        ValueError: when a weight is negative or all are zero, or for another ``reduction``.
    """

    weights: torch.Tensor | None

    def __init__(self, weights: Sequence[float] | torch.Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weights", None if weights is None else torch.as_tensor(weights, dtype=torch.float32))
        require_weights("weights", self.weights)

    def voxels(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses = F.cross_entropy(logits, labels, reduction="none")
        if self.weights is None:
            return losses, torch.ones_like(losses)
        shares = of_each_class("weights", self.weights, logits.shape[1]).to(losses.dtype)[labels]
        return shares * losses, shares
