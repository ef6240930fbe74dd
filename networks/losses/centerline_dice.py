"""Dice along the centre lines of vessels: breaks count, thickness does not."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities
from networks.layers.soft_skeleton import soft_skeleton
from networks.losses.field_of_view import within_field
from networks.losses.mask_head import class_labels, in_full_precision, one_hot_foreground


class CenterlineDiceLoss(_Loss):
    """``1 - 2 P S / (P + S)`` of the soft skeletons ``s`` of prediction p and label g, per sample and class.

    ``P = (sum(s_p g) + e) / (sum(s_p) + e)`` is the share of the predicted centre line that lies in the label, ``S =
    (sum(s_g p) + e) / (sum(s_g) + e)`` that of the label's centre line that is predicted. A class that is neither in
    the label nor predicted has the loss zero. The loss does not see how thick a vessel is: use it beside a Dice loss.

    The soft skeleton peels one voxel off a side at a time. A structure of radius above ``iterations`` voxels
    has no soft skeleton, and counts for nothing.

    Reference: Shit et al., *clDice: a novel topology-preserving loss function for tubular structure segmentation*,
    CVPR 2021.

    Args:
        iterations: radius of the thickest vessel, voxels.
        smooth: the e above.

    Raises:
        ValueError: when ``iterations`` is negative or ``smooth`` is not positive.
    """

    def __init__(self, iterations: int = 3, smooth: float = 1.0) -> None:
        super().__init__()
        if iterations < 0 or not smooth > 0:
            raise ValueError(f"iterations must not be negative and smooth be positive, got {iterations} and {smooth}.")
        self.iterations = int(iterations)
        self.smooth = smooth

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits (B, K, H, W[, D]) with labels (B, 1, H, W[, D]) where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes do not belong together, or a label is none of the classes.
        """
        labels = class_labels(input, target, mask)
        logits = in_full_precision(input)
        p = within_field(foreground_probabilities(logits), mask)
        g = within_field(one_hot_foreground(labels, logits.shape[1], logits.dtype), mask)
        precision = self._share(soft_skeleton(p, self.iterations), g)
        sensitivity = self._share(soft_skeleton(g, self.iterations), p)
        return (1.0 - 2.0 * precision * sensitivity / (precision + sensitivity)).mean()

    def _share(self, skeleton: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        """(B, K, ...) twice to (B, K): the share of the skeleton that lies in the mask."""
        return ((skeleton * of).flatten(2).sum(2) + self.smooth) / (skeleton.flatten(2).sum(2) + self.smooth)
