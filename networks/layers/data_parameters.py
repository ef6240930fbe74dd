"""One learnable number per training instance: how far its label is to be trusted."""

from __future__ import annotations

import torch
from torch import nn


class DataParameters(nn.Module):
    """Keep one scalar for each training instance (or class).

    The gradient of a batch is sparse: only the instances in it are touched, so that an optimiser for sparse gradients
    (``torch.optim.SparseAdam``) leaves the momentum of the others alone.

    References:
        Saxena, Tuzel and DeCoste, *Data parameters: a new family of parameters for learning a differentiable
        curriculum*, NeurIPS 2019; Weihsbach et al., *DeepSTAPLE*, WBIR 2022.

    Args:
        count: number of instances.
        init: the value that all start with.

    Raises:
        ValueError: when ``count`` is less than one.
    """

    def __init__(self, count: int, init: float = 0.0) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}.")
        self.embedding = nn.Embedding(count, 1, sparse=True)
        nn.init.constant_(self.embedding.weight, init)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        """Give the parameters (B,) of the instances ``index`` (B,); any other shape goes likewise."""
        values: torch.Tensor = self.embedding(index).squeeze(-1)
        return values

    @property
    def values(self) -> torch.Tensor:
        """All parameters (N,), detached."""
        return self.embedding.weight.detach()[:, 0]

    @torch.no_grad()
    def clamp_(self, low: float, high: float) -> None:
        """Hold all parameters in [low, high]."""
        self.embedding.weight.clamp_(low, high)
