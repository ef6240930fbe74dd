"""Monte-Carlo dropout: the mean of many passes in which dropout goes on after training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from networks.layers.seeded_dropout import drawing_from, with_seeded_dropout


class DropoutAverage(nn.Module):
    """Mean of a network's outputs over ``samples`` passes with dropout on and all else as in evaluation.

    What a network detects (``detect`` and ``presence`` of :class:`networks.nets.SlicePredictor`) is averaged likewise.

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

    @property
    def axis(self) -> int:
        """The axis of the slices in the network's images (B, C, H, W, D), of a network that has one."""
        network: Any = self.network
        return int(network.axis)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average the network's output for ``x`` (B, C, H, W[, D])."""
        (mean,) = self._mean(lambda: (self.network(x),), x.device)
        return mean

    def detect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Average what the network's ``detect`` gives for images (B, C, H, W[, D]): probabilities (B, K + 1, H, W[, D])
        and presence (B, P[, D]).
        """
        network: Any = self.network
        probabilities, presence = self._mean(lambda: network.detect(x), x.device)
        return probabilities, presence

    def presence(self, x: torch.Tensor) -> torch.Tensor:
        """Average what the network's ``presence`` gives for images (B, C, H, W[, D]): (B, P[, D])."""
        network: Any = self.network
        (mean,) = self._mean(lambda: (network.presence(x),), x.device)
        return mean

    def _mean(self, once: Callable[[], tuple[torch.Tensor, ...]], device: torch.device) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator(device=device).manual_seed(self.seed)
        with drawing_from(generator, self.dropouts):
            totals = once()
            for _ in range(self.samples - 1):
                totals = tuple(total + more for total, more in zip(totals, once(), strict=True))
        return tuple(total / self.samples for total in totals)
