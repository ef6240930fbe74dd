"""Soft Dice loss made smooth where it is small."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.losses.mask import dice_losses
from networks.losses.mask_head import class_labels


class LogCoshDiceLoss(_Loss):
    """``log cosh D`` of each class's soft Dice loss D (see :class:`MaskLoss`); then the mean over classes.

    It is about ``D^2 / 2`` for small D, so that its gradient, ``tanh D`` times that of D, fades out near the end.

    Reference: Jadon, *A survey of loss functions for semantic segmentation*, CIBCB 2020.

    Args:
        smooth: added to the numerator and to the denominator of Dice.
        squared: whether the denominator of Dice sums squares; the published form does not.
    """

    def __init__(self, smooth: float = 1e-5, squared: bool = True) -> None:
        super().__init__()
        self.smooth = smooth
        self.squared = squared

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits (B, K, H, W[, D]) with labels (B, 1, H, W[, D]) where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes do not belong together, or a label is none of the classes.
        """
        dice = dice_losses(input, class_labels(input, target, mask), mask, self.smooth, self.squared)
        # cosh x is 1 + 2 sinh^2(x / 2): in float32, log(cosh(x)) itself is zero for every x below 3e-4.
        return torch.log1p(2.0 * torch.sinh(0.5 * dice).square()).mean()
