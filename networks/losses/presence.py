"""Which kinds of lesion an image holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from networks.losses.mask_head import in_full_precision
from networks.losses.pixel import require_weights


class PresenceLoss(_Loss):
    """Binary cross entropy of each kind of lesion, the mean over what is known of the batch.

    A volume may be known to hold a lesion without anyone having said in which slices: such entries are negative (-1)
    and count for nothing. Where nothing is known the loss is 0.

    Args:
        pos_weight: (P,) or None; how often an image with the kind counts, one without it counting once.

    Raises:
        ValueError: when a weight is negative or all are zero.
    """

    pos_weight: torch.Tensor | None

    def __init__(self, pos_weight: Sequence[float] | torch.Tensor | None = None) -> None:
        super().__init__()
        weights = None if pos_weight is None else torch.as_tensor(pos_weight, dtype=torch.float32)
        self.register_buffer("pos_weight", weights)
        require_weights("pos_weight", self.pos_weight)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Compare logits with what is there.

        Args:
            input: logits (B, P).
            target: (B, P): 1 there, 0 not there, negative unknown; between 0 and 1 for a probability.
            mask: (B, P), positive where the target counts. A field of view of the image, (B, 1, H, W[, D]), changes
                nothing.

        Returns:
            A scalar, in float32; in float64 if the logits are.

        Raises:
            ValueError: when the shapes do not belong together, a target is above 1, or there are not as many weights as
                kinds.
        """
        if input.dim() != 2 or target.shape != input.shape:
            raise ValueError(f"Logits {tuple(input.shape)} want targets (B, P) alike, got {tuple(target.shape)}.")
        logits = in_full_precision(input)
        known = target >= 0
        if mask is not None and mask.dim() == 2:
            if mask.shape != input.shape:
                raise ValueError(f"Logits {tuple(input.shape)} want a mask alike, got {tuple(mask.shape)}.")
            known = known & (mask > 0)
        there = torch.where(known, target, 0).to(logits.dtype)
        if bool((there > 1).any()):
            raise ValueError(f"targets must be at most 1, got {float(there.max())}.")
        weights = None
        if self.pos_weight is not None:
            if self.pos_weight.numel() != logits.shape[1]:
                raise ValueError(f"pos_weight must have {logits.shape[1]} numbers, got {self.pos_weight.numel()}.")
            weights = self.pos_weight.to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, there, pos_weight=weights, reduction="none")
        return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)
