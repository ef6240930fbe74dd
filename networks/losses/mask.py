"""The supervised loss of a mask head without a background channel."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities


class MaskLoss(_Loss):
    """Soft Dice loss with squared denominators, pooled over the whole batch, optionally with cross-entropy.

    For each class ``1 - (2 sum(p g) + e) / (sum(p^2) + sum(g^2) + e)``, the sums running over all samples and voxels,
    as in the published DTC; then the mean over classes. The pooled sums make the loss defined for batches in which
    some, not all, patches hold the class. The background is implicit (see
    :func:`networks.layers.class_probabilities.foreground_probabilities`).

    Reference: Milletari et al., *V-Net*, 3DV 2016; Luo et al., AAAI 2021.

    Args:
        dice_weight: factor of the Dice term.
        cross_entropy_weight: factor of the mean voxel-wise cross-entropy over K + 1 classes; the paper has none.
        smooth: the e above.

    Raises:
        ValueError: when a weight is negative or both are zero.
    """

    def __init__(self, dice_weight: float = 1.0, cross_entropy_weight: float = 0.0, smooth: float = 1e-5) -> None:
        super().__init__()
        if min(dice_weight, cross_entropy_weight) < 0 or dice_weight + cross_entropy_weight == 0:
            raise ValueError(f"Weights must not be negative, and not both zero: {dice_weight}, {cross_entropy_weight}.")
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.smooth = smooth

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare logits with labels.

        Args:
            input: logits (B, K, H, W[, D]).
            target: labels (B, 1, H, W[, D]), integers 0..K in any dtype.

        Raises:
            ValueError: when the shapes do not belong together.
        """
        if target.shape[1] != 1 or input.shape[2:] != target.shape[2:] or input.shape[0] != target.shape[0]:
            raise ValueError(
                f"Logits {tuple(input.shape)} want labels (B, 1, ...) of the same size, got {tuple(target.shape)}."
            )
        # Sums over millions of voxels and squares of small probabilities do not fit half precision.
        logits = input.float()
        labels = target.long()
        loss = logits.new_zeros(())
        if self.dice_weight > 0:
            one_hot = torch.cat([(labels == index).float() for index in range(1, logits.shape[1] + 1)], dim=1)
            loss = loss + self.dice_weight * self._dice(foreground_probabilities(logits), one_hot)
        if self.cross_entropy_weight > 0:
            with_background = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
            loss = loss + self.cross_entropy_weight * F.cross_entropy(with_background, labels[:, 0])
        return loss

    def _dice(self, p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        # MONAI's DiceLoss takes sum(p g) from the difference of three norms: 1e-4 off at a million voxels in float32.
        overlap, predicted, present = (_sum_per_class(product) for product in (p * g, p * p, g))
        return (1.0 - (2.0 * overlap + self.smooth) / (predicted + present + self.smooth)).mean()


def _sum_per_class(x: torch.Tensor) -> torch.Tensor:
    """(B, K, ...) to (K,). Each sample's sum runs along contiguous memory, which PyTorch adds up in pairs: precise."""
    return x.flatten(2).sum(dim=2).sum(dim=0)
