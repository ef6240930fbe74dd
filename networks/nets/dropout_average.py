"""Monte-Carlo dropout: the mean of many passes in which dropout goes on after training."""

from __future__ import annotations

import torch
from torch import nn

from networks.layers.seeded_dropout import drawing_from, with_seeded_dropout


class DropoutAverage(nn.Module):
    """Mean of a network's outputs over ``samples`` passes with dropout on and all else as in evaluation.

    Each call draws from the same seed: what comes of an image depends on nothing that was seen before it, and nothing
    that others draw is touched.

    Reference: Gal and Ghahramani, *Dropout as a Bayesian approximation: representing model uncertainty in deep
    learning*, ICML 2016.

    Args:
        network: gives one tensor. It is copied, so that it must have its weights already.
        samples: passes, at least 1.
        seed: of what is dropped.

    Raises:
        ValueError: when ``samples`` is below 1 or the network has no dropout.
    """

    def __init__(self, network: nn.Module, samples: int, seed: int = 0) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}.")
        copied, self.dropouts = with_seeded_dropout(network)
        if not self.dropouts:
            raise ValueError("The network has no dropout.")
        self.network = copied.eval()
        self.samples = samples
        self.seed = seed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average the network's output for ``x`` (B, C, H, W[, D])."""
        generator = torch.Generator(device=x.device).manual_seed(self.seed)
        with drawing_from(generator, self.dropouts):
            total: torch.Tensor = self.network(x)
            for _ in range(self.samples - 1):
                total = total + self.network(x)
        return total / self.samples
