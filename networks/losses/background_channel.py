"""Losses of a mask head whose first channel is the background, and labels that say nothing."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from networks.losses.mask_head import in_full_precision, require_one_label

# What labels hold where nobody knows: a border that an augmentation filled, a part that was not annotated.
IGNORE_INDEX = 255


class BackgroundChannelLoss(_Loss):
    """Give any loss of a mask head a network with a background channel, and labels with voxels to be ignored.

    The losses of this package take K logits, the background's being zero. A softmax does not change when a number is
    taken off all logits, so ``l_k - l_0`` are such logits, and the value and the gradients are those of the softmax
    over all K + 1.

    Args:
        loss: takes ``(input, target, mask)``.
        ignore_index: a label that counts for nothing; None if there is none.
    """

    def __init__(self, loss: nn.Module, ignore_index: int | None = IGNORE_INDEX) -> None:
        super().__init__()
        self.loss = loss
        self.ignore_index = ignore_index

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the loss of logits (B, K + 1, H, W[, D]) and labels (B, 1, H, W[, D]) where the mask, if any, is
        positive; what is raised is its own.
        """
        counting = counted(input, target, mask, self.ignore_index)
        return self.loss(without_background(input), target, counting)


def without_background(input: torch.Tensor) -> torch.Tensor:
    """Turn logits (B, K + 1, H, W[, D]) into (B, K, H, W[, D]) in float32 (or 64) whose background's would be zero.

    Raises:
        ValueError: when there is no class beside the background.
    """
    if input.dim() < 3 or input.shape[1] < 2:
        raise ValueError(f"logits must be (B, K + 1, ...), the background's first, got {tuple(input.shape)}.")
    logits = in_full_precision(input)
    return logits[:, 1:] - logits[:, :1]


def counted(
    input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None, ignore_index: int | None
) -> torch.Tensor | None:
    """Give the mask (B, 1, H, W[, D]) of the voxels that count: in the field of view, and not to be ignored.

    Raises:
        ValueError: when the shapes do not belong together.
    """
    require_one_label(input, target, mask)
    if ignore_index is None:
        return mask
    known = target != ignore_index
    return known if mask is None else known & (mask > 0)
