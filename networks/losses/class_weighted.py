"""Cross entropy that rare classes count more in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.losses.background_channel import counted
from networks.losses.data_parameter import require_one_label
from networks.losses.pixel import require_weights


class ClassWeightedLoss(_Loss):
    """Cross entropy with a weight per class: what the network itself is trained with when the data parameters are
    learnt out of line.

    It is torch's weighted mean: the sum over voxels of ``w_y CE`` divided by the sum of ``w_y``.

    Args:
        weights: (K,), for instance of :func:`class_weights`; None weighs all alike. The published retinal oedema system
            has [1, 5, 10, 20].
        ignore_index: a label that counts for nothing; None if there is none.

    Raises:
        ValueError: when a weight is negative or not finite, or none is positive.
    """

    weights: torch.Tensor | None

    def __init__(self, weights: Sequence[float] | torch.Tensor | None = None, ignore_index: int | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.register_buffer("weights", None if weights is None else torch.as_tensor(weights, dtype=torch.float32))
        if weights is not None:
            require_weights("weights", self.weights)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Give the mean over the voxels of logits (B, K, H, W[, D]) and labels (B, 1, H, W[, D]) where the mask, if
        any, (B, 1, H, W[, D]) is positive. It is 0 where no voxel counts.

        Raises:
            ValueError: when the shapes do not belong together, or there are not as many weights as classes.
        """
        require_one_label(input, target)
        if self.weights is not None and len(self.weights) != input.shape[1]:
            raise ValueError(f"{input.shape[1]} classes need as many weights, got {len(self.weights)}.")
        labels = target[:, 0].long()
        counting = counted(input, target, mask, self.ignore_index)
        if counting is None:
            return F.cross_entropy(input.float(), labels, weight=self.weights)
        here = counting[:, 0] > 0
        labels = torch.where(here, labels, 0)
        shares = here.float() if self.weights is None else self.weights[labels] * here
        losses = torch.where(here, F.cross_entropy(input.float(), labels, weight=self.weights, reduction="none"), 0.0)
        total = shares.sum()
        # Where nothing counts, zero over zero would be NaN.
        return losses.sum() / torch.where(total > 0, total, 1.0)


def class_weights(counts: Sequence[int] | torch.Tensor, power: float = -0.35) -> torch.Tensor:
    """Give the weight of each class, ``n^power`` divided by the mean over the classes.

    Args:
        counts: voxels (K,) of each class in all training labels. A class without any gets the weight 0 and no part in
            the mean.
        power: the published -0.35; 0 weighs all classes alike.

    Raises:
        ValueError: when no class has a voxel.
    """
    numbers = torch.as_tensor(counts, dtype=torch.float64)
    present = numbers > 0
    if not bool(present.any()):
        raise ValueError("no class has a voxel.")
    raised = torch.where(present, numbers.clamp(min=1.0) ** power, 0.0)
    return (raised / raised[present].mean()).float()
