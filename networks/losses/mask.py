"""The supervised loss of a mask head without a background channel."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities
from networks.losses.field_of_view import field_mean, within_field
from networks.losses.mask_head import class_labels, class_logits, in_full_precision, one_hot_foreground, sum_per_class


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
        squared: False sums p and g themselves in the denominator, as the first soft Dice losses do.

    Raises:
        ValueError: when a weight is negative or both are zero.
    """

    def __init__(
        self,
        dice_weight: float = 1.0,
        cross_entropy_weight: float = 0.0,
        smooth: float = 1e-5,
        squared: bool = True,
    ) -> None:
        super().__init__()
        if min(dice_weight, cross_entropy_weight) < 0 or dice_weight + cross_entropy_weight == 0:
            raise ValueError(f"Weights must not be negative, and not both zero: {dice_weight}, {cross_entropy_weight}.")
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.smooth = smooth
        self.squared = squared

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits with labels.

        Args:
            input: logits (B, K, H, W[, D]).
            target: labels (B, 1, H, W[, D]), integers 0..K in any dtype.
            mask: field of view (B, 1, H, W[, D]); voxels where it is not positive do not count.

        Raises:
            ValueError: when the shapes do not belong together, or a label is none of the classes.
        """
        labels = class_labels(input, target, mask)
        loss = input.new_zeros((), dtype=in_full_precision(input).dtype)
        if self.dice_weight > 0:
            loss = loss + self.dice_weight * dice_losses(input, labels, mask, self.smooth, self.squared).mean()
        if self.cross_entropy_weight > 0:
            cross_entropy = F.cross_entropy(class_logits(input), labels, reduction="none")[:, None]
            loss = loss + self.cross_entropy_weight * field_mean(cross_entropy, mask)
        return loss


def dice_losses(
    input: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None, smooth: float, squared: bool
) -> torch.Tensor:
    """Give the soft Dice loss (K,) of each class, its sums pooled over the whole batch.

    Args:
        input: logits (B, K, H, W[, D]).
        labels: (B, H, W[, D]) of 0 to K.
        mask: field of view (B, 1, H, W[, D]), or None.
        smooth: added to numerator and denominator.
        squared: whether the denominator sums squares.
    """
    logits = in_full_precision(input)
    g = within_field(one_hot_foreground(labels, logits.shape[1], logits.dtype), mask)
    p = within_field(foreground_probabilities(logits), mask)
    # MONAI's DiceLoss takes sum(p g) from the difference of three norms: 1e-4 off at a million voxels in float32.
    overlap, predicted, present = (sum_per_class(product) for product in (p * g, p * p if squared else p, g))
    return 1.0 - (2.0 * overlap + smooth) / (predicted + present + smooth)
