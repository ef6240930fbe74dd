"""Recall along the centre lines of vessels, at the price of a look at the label alone."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities
from networks.layers.skeleton import binary_skeleton
from networks.losses.field_of_view import within_field
from networks.losses.mask_head import class_labels, in_full_precision, one_hot_foreground, sum_per_class


class SkeletonRecallLoss(_Loss):
    """``1 - (sum(p t) + e) / (sum(t) + e)`` of the tube t around the label's skeleton, pooled over the batch; the mean
    over classes.

    The skeleton of the whole foreground is thickened by ``radius`` voxels, cut to the label and shared out among the
    classes. It is computed on the CPU, from the label alone, and has no gradient. The loss sees nothing outside the
    tube, so it must stand beside another one: the paper adds it to Dice and cross entropy.

    Reference: Kirchhoff et al., *Skeleton recall loss for connectivity conserving and resource efficient segmentation
    of thin tubular structures*, ECCV 2024.

    Args:
        radius: of the tube, voxels, counted along the axes; 0 is the bare skeleton.
        smooth: the e above.

    Raises:
        ValueError: when ``radius`` is negative or ``smooth`` is not positive.
    """

    def __init__(self, radius: int = 2, smooth: float = 1.0) -> None:
        super().__init__()
        if radius < 0 or not smooth > 0:
            raise ValueError(f"radius must not be negative and smooth be positive, got {radius} and {smooth}.")
        self.radius = int(radius)
        self.smooth = smooth

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits (B, K, H, W[, D]) with labels (B, 1, H, W[, D]) where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes do not belong together, or a label is none of the classes.
        """
        labels = class_labels(input, target, mask)
        logits = in_full_precision(input)
        tube = one_hot_foreground(skeleton_tube(labels, self.radius), logits.shape[1], logits.dtype)
        tube = within_field(tube, mask)
        found = sum_per_class(foreground_probabilities(logits) * tube)
        return (1.0 - (found + self.smooth) / (sum_per_class(tube) + self.smooth)).mean()


def skeleton_tube(labels: torch.Tensor, radius: int) -> torch.Tensor:
    """Give the labels within ``radius`` voxels of the skeleton of the foreground; zero elsewhere.

    Args:
        labels: (B, H, W[, D]), whole numbers.
        radius: voxels, counted along the axes.
    """
    from scipy.ndimage import binary_dilation

    tubes = []
    for foreground in (labels > 0).cpu().numpy():
        skeleton = binary_skeleton(foreground)
        tubes.append(binary_dilation(skeleton, iterations=radius) if radius else skeleton)
    return torch.where(torch.from_numpy(np.stack(tubes)).to(labels.device), labels, 0)
