"""Soft Dice of the classes that the batch holds."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.losses.background_channel import IGNORE_INDEX, counted, without_background
from networks.losses.field_of_view import within_field
from networks.losses.mask_head import class_labels, class_logits, sum_per_class

ABSENT = ("skip", "perfect")


class ForegroundDiceLoss(_Loss):
    """``1 - mean over classes of (2 sum(p g) + e) / (sum(p) + sum(g) + e)``, the sums pooled over the whole batch.

    A class without any voxel in the batch has no Dice. By default the mean is over the others; the published retinal
    oedema system counts it as perfect (``absent="perfect"``), with ``smooth=0``. In neither does it have a gradient.
    A batch without any class at all has the loss 0.

    Args:
        smooth: the e above; not negative.
        absent: ``skip`` leaves absent classes out of the mean; ``perfect`` counts each as a Dice of one.
        ignore_index: a label that counts for nothing; None if there is none.
        include_background: count the background as a class.

    Raises:
        ValueError: for a negative ``smooth`` or another ``absent``.
    """

    def __init__(
        self,
        smooth: float = 1e-5,
        absent: str = "skip",
        ignore_index: int | None = IGNORE_INDEX,
        include_background: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= smooth < float("inf"):
            raise ValueError(f"smooth must not be negative, got {smooth}.")
        if absent not in ABSENT:
            raise ValueError(f"absent must be one of {', '.join(ABSENT)}, got {absent}.")
        self.smooth = float(smooth)
        self.absent = absent
        self.ignore_index = ignore_index
        self.include_background = include_background

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits (B, K + 1, H, W[, D]) with labels (B, 1, H, W[, D]) where the mask (B, 1, ...) is positive.

        Raises:
            ValueError: when the shapes do not belong together, or a label that counts is none of the classes.
        """
        counting = counted(input, target, mask, self.ignore_index)
        logits = without_background(input)
        labels = class_labels(logits, target, counting)
        dice, present = pooled_dice(class_logits(logits), labels, counting, self.smooth, self.include_background)
        losses = torch.where(present, 1.0 - dice, 0.0)
        return losses.mean() if self.absent == "perfect" else mean_of_present(losses, present)


def pooled_dice(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None, smooth: float, include_background: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the soft Dice of each class over a whole batch, and whether any voxel of the class counts, both (K,).

    Args:
        logits: (B, K + 1, H, W[, D]), the background's first.
        labels: (B, H, W[, D]) of 0 to K.
        mask: (B, 1, H, W[, D]) of the voxels that count, or None.
        smooth: added to numerator and denominator.
        include_background: give K + 1 numbers, the background's first.
    """
    first = 0 if include_background else 1
    classes = torch.arange(first, logits.shape[1], device=logits.device)
    g = labels[:, None] == classes.view(1, -1, *[1] * (labels.dim() - 1))
    g = within_field(g.to(logits.dtype), mask)
    p = within_field(torch.softmax(logits, dim=1)[:, first:], mask)
    overlap, predicted, volume = sum_per_class(p * g), sum_per_class(p), sum_per_class(g)
    present = volume > 0
    # A class neither present nor predicted would be zero over zero without smoothing, and NaN times zero is NaN.
    return (2.0 * overlap + smooth) / torch.where(present, predicted + volume + smooth, 1.0), present


def mean_of_present(values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Give the mean of the values (K,) of the classes that are present; 0, with a gradient of zeros, if none is."""
    return torch.where(present, values, 0.0).sum() / present.sum().clamp(min=1)
