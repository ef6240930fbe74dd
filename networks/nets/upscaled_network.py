"""A network that sees its images larger than they are."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional as F


class UpscaledNetwork(nn.Module):
    """Enlarge images before a network and bring its logits back to their size.

    A network with an early stride has more voxels to tell a small structure by. As a part of the network it is the same
    in training, evaluation and exported bundles. (The published DeepSTAPLE code trains at a factor of 1.5 in 3D and
    evaluates at 2.)

    Args:
        network: from images (B, C, H, W[, D]) of any size to logits (B, K, H, W[, D]).
        factor: voxels along each axis for one; 1 changes nothing.

    Raises:
        ValueError: when the factor is not positive.
    """

    def __init__(self, network: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        if not factor > 0:
            raise ValueError(f"factor must be positive, got {factor}.")
        self.network = network
        self.factor = float(factor)
        self.size_divisor = 1
        # A recorded graph keeps the arithmetic of whole numbers alone; that of fractions becomes a constant in it.
        ratio = Fraction(factor).limit_denominator(1000)
        self.numerator, self.denominator = 2 * ratio.numerator, 2 * ratio.denominator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give logits (B, K, H, W[, D]) for images (B, C, H, W[, D])."""
        if self.factor == 1.0:
            same: torch.Tensor = self.network(x)
            return same
        mode = "bilinear" if x.dim() == 4 else "trilinear"
        size = x.shape[2:]
        larger = [max(1, (side * self.numerator + self.denominator // 2) // self.denominator) for side in size]
        enlarged = F.interpolate(x, size=larger, mode=mode, align_corners=False)
        return F.interpolate(self.network(enlarged), size=size, mode=mode, align_corners=False)
