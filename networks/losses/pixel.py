"""What the losses have in common that are a mean over voxels."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.losses.field_of_view import within_field
from networks.losses.mask_head import class_labels, class_logits

REDUCTIONS = ("mean", "none")


class PixelLoss(_Loss):
    """A loss of a mask head that is a (weighted) mean over voxels: derived classes say what a voxel's loss is.

    Args:
        reduction: ``mean``, or ``none`` for the map of the voxels' losses.

    Raises:
        ValueError: for another ``reduction``.
    """

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction}.")
        super().__init__(reduction=reduction)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits with labels.

        Args:
            input: logits (B, K, H, W[, D]) of the classes 1..K; the background's is 0.
            target: labels (B, 1, H, W[, D]), integers 0..K in any dtype.
            mask: field of view (B, 1, H, W[, D]); voxels where it is not positive do not count.

        Returns:
            A scalar, or with ``reduction="none"`` the map (B, 1, H, W[, D]), zero outside the field of view. In
            float32; in float64 if the logits are. The mean over no voxel at all is zero.

        Raises:
            ValueError: when the shapes do not belong together, or a label is none of the classes.
        """
        labels = class_labels(input, target, mask)
        losses, shares = self.voxels(class_logits(input), labels)
        losses = within_field(losses[:, None], mask)
        if self.reduction == "none":
            return losses
        total = within_field(shares[:, None], mask).sum()
        # Where nothing counts, zero over zero would be NaN.
        return losses.sum() / torch.where(total > 0, total, 1.0)

    def voxels(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each voxel's loss and its share in the denominator of the mean, both (B, H, W[, D]).

        Args:
            logits: (B, K + 1, H, W[, D]), the background's first.
            labels: (B, H, W[, D]) of 0 to K.
        """
        raise NotImplementedError


def require_weights(name: str, weights: torch.Tensor | None) -> None:
    """Refuse numbers, one per class, that are negative, not finite, or all zero.

    Raises:
        ValueError: telling the name and the numbers.
    """
    if weights is None:
        return
    fine = weights.dim() == 1 and bool(torch.isfinite(weights).all()) and bool((weights >= 0).all())
    if not (fine and bool((weights > 0).any())):
        raise ValueError(f"{name} must be one number per class, none negative and not all 0, got {weights.tolist()}.")


def of_each_class(name: str, weights: torch.Tensor, classes: int) -> torch.Tensor:
    """Give the weights back when there is one for each of the classes, the background's among them.

    Raises:
        ValueError: telling how many there are, and how many there should be.
    """
    if weights.numel() != classes:
        raise ValueError(f"{name} must have {classes} numbers, the background's first, got {weights.numel()}.")
    return weights
