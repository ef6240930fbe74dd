"""Class probabilities of a network that gives logits of all classes: what inference and an exported bundle run."""

from __future__ import annotations

import torch
from torch import nn


class SoftmaxPredictor(nn.Module):
    """Softmax over what a network gives.

    Args:
        network: gives logits (B, K + 1, H, W[, D]), background first, for images (B, C, H, W[, D]).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, K + 1, H, W[, D]), background first, for images (B, C, H, W[, D])."""
        return torch.softmax(self.network(x).float(), dim=1)
