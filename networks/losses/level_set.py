"""The supervised loss of a signed distance head."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss


class LevelSetLoss(_Loss):
    """Mean squared error between a predicted level set and a signed distance map, over all classes and voxels.

    Reference: Luo et al., AAAI 2021 (the level-set term, weighted there with 0.3).
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare (B, K, H, W[, D]) with the same shape, both in the unit of the target, in float32.

        Raises:
            ValueError: when the shapes differ.
        """
        if input.shape != target.shape:
            raise ValueError(
                f"Level set {tuple(input.shape)} and distance map {tuple(target.shape)} must have one shape."
            )
        return F.mse_loss(input.float(), target.float())
