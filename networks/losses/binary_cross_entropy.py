"""Binary cross entropy that makes up for thin structures."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from networks.losses.pixel import PixelLoss


class BinaryCrossEntropyLoss(PixelLoss):
    """Binary cross entropy whose foreground voxels count ``pos_weight`` times; the mean is over all voxels.

    It differs from :class:`CrossEntropyLoss` with the weights ``[1, pos_weight]`` in its denominator alone, as torch's
    two losses do: here the loss grows with ``pos_weight``.

    Args:
        pos_weight: of the foreground; the published OCTA system has 8.
        reduction: ``mean``, or ``none`` for the map of the voxels' losses.

    Raises:
        ValueError: when ``pos_weight`` is not positive, or for another ``reduction``.
    """

    def __init__(self, pos_weight: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not 0 < pos_weight < float("inf"):
            raise ValueError(f"pos_weight must be positive, got {pos_weight}.")
        self.pos_weight = float(pos_weight)

    def voxels(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if logits.shape[1] != 2:
            raise ValueError(f"one class wants one logit, got {logits.shape[1] - 1}; CrossEntropyLoss takes several.")
        weight = torch.tensor(self.pos_weight, dtype=logits.dtype, device=logits.device)
        foreground = labels.to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits[:, 1], foreground, pos_weight=weight, reduction="none")
        return losses, torch.ones_like(losses)
