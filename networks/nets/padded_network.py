"""Padding that goes into a recorded graph: what ONNX and torch.export need to take images of any size."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PaddedNetwork(nn.Module):
    """Pad with zeros to multiples of ``divisor``, run ``network``, and crop back.

    The padding is always computed, never decided on: a recorded graph keeps the arithmetic of the sizes, and the
    network in it meets nothing but multiples of ``divisor``. A network that pads by itself in the same way (as
    :class:`networks.nets.dual_task_vnet.DualTaskVNet`) gives the same values with and without it.

    Args:
        network: gives (B, K, H, W[, D]) for images (B, C, H, W[, D]).
        divisor: what the sides must be multiples of.

    Raises:
        ValueError: when ``divisor`` is less than one.
    """

    def __init__(self, network: nn.Module, divisor: int = 16) -> None:
        super().__init__()
        if divisor < 1:
            raise ValueError(f"divisor must be at least 1, got {divisor}.")
        self.network = network
        self.divisor = divisor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give (B, K, H, W[, D]) for images (B, C, H, W[, D]) of any size."""
        padding: list[int] = []
        before: list[int] = []
        for axis in range(image.dim() - 1, 1, -1):
            missing = -image.shape[axis] % self.divisor
            padding.extend([missing // 2, missing - missing // 2])
            before.insert(0, missing // 2)
        result: torch.Tensor = self.network(F.pad(image, padding))
        for axis, start in enumerate(before, start=2):
            result = result.narrow(axis, start, image.shape[axis])
        return result
