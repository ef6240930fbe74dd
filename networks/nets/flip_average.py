"""Test-time augmentation by mirroring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import nn


class FlipAverage(nn.Module):
    """Mean of a network's outputs over all combinations of mirrored axes, each output mirrored back.

    Args:
        network: gives one tensor (B, C, H, W[, D]) on the grid of its input.
        axes: spatial axes to mirror, counted from zero; n axes cost 2^n forward passes.
    """

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.flips = [
            [axis + 2 for axis in chosen]
            for count in range(len(axes) + 1)
            for chosen in combinations(sorted(axes), count)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average the network's output over the mirrored copies of ``x`` (B, C, H, W[, D])."""
        total = self.network(x)
        for flip in self.flips[1:]:
            total = total + self.network(x.flip(flip)).flip(flip)
        return total / len(self.flips)
