"""Test-time augmentation by mirroring."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import nn


class FlipAverage(nn.Module):
    """Mean of a network's outputs over all combinations of mirrored axes, each output mirrored back.

    What a network detects (``detect`` and ``presence`` of :class:`networks.nets.SlicePredictor`) is averaged likewise;
    where its slices were mirrored, their order is turned back.

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

    def detect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Average what the network's ``detect`` gives for images (B, C, H, W[, D]): probabilities (B, K + 1, H, W[, D])
        and presence (B, P[, D]).
        """
        network: Any = self.network
        probabilities, presence = network.detect(x)
        for flip in self.flips[1:]:
            mirrored, found = network.detect(x.flip(flip))
            probabilities = probabilities + mirrored.flip(flip)
            presence = presence + self._in_order(found, flip)
        return probabilities / len(self.flips), presence / len(self.flips)

    def presence(self, x: torch.Tensor) -> torch.Tensor:
        """Average what the network's ``presence`` gives for images (B, C, H, W[, D]): (B, P[, D])."""
        network: Any = self.network
        total: torch.Tensor = network.presence(x)
        for flip in self.flips[1:]:
            total = total + self._in_order(network.presence(x.flip(flip)), flip)
        return total / len(self.flips)

    def _in_order(self, presence: torch.Tensor, flip: Sequence[int]) -> torch.Tensor:
        """Turn presence (B, P, D) back where the axis of the slices is among the mirrored ones."""
        network: Any = self.network
        if presence.dim() < 3 or network.axis not in flip:
            return presence
        return presence.flip([2])
