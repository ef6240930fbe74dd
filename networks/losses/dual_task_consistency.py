"""The loss that makes the two heads of one network agree; it needs no label."""

from __future__ import annotations

import torch
from torch.nn.modules.loss import _Loss

from networks.layers.class_probabilities import foreground_probabilities


class DualTaskConsistencyLoss(_Loss):
    """Mean squared difference between the mask probabilities and the level set taken back to a mask by ``sigmoid(-k
    z)``.

    The gradient goes into both heads. With the published ``k`` = 1500 it is non-zero only where ``|z|`` is below about
    0.005; a ``k`` tied to the unit of the level set (a few over one voxel's step) lets more voxels take part.

    Reference: Luo et al., *Semi-supervised medical image segmentation through dual-task consistency*, AAAI 2021.

    Args:
        k: steepness of the smooth Heaviside function, in the inverse unit of the level set.

    Raises:
        ValueError: when ``k`` is not positive.
    """

    def __init__(self, k: float = 1500.0) -> None:
        super().__init__()
        if not k > 0:
            raise ValueError(f"k must be positive, got {k}.")
        self.k = float(k)

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare the heads.

        Args:
            input: mask logits (B, K, H, W[, D]).
            target: level set (B, K, H, W[, D]), negative inside.

        Raises:
            ValueError: when the shapes differ.
        """
        if input.shape != target.shape:
            raise ValueError(
                f"Mask logits {tuple(input.shape)} and level set {tuple(target.shape)} must have one shape."
            )
        # In half precision k z overflows and the difference of two nearly equal probabilities vanishes.
        probabilities = foreground_probabilities(input.float())
        from_level_set = torch.sigmoid(-self.k * target.float())
        return (probabilities - from_level_set).square().mean()
