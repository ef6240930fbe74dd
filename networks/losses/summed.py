"""Several losses of one head, added up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.loss import _Loss


class SummedLoss(_Loss):
    """``sum_i w_i L_i`` of losses of one head.

    Args:
        losses: each takes ``(input, target, mask)`` and gives a scalar.
        weights: one for each; None is 1 for all.

    Raises:
        ValueError: when there is no loss, the numbers of losses and weights differ, a weight is negative, or a loss
            gives a map.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.factors = [1.0] * len(losses) if weights is None else [float(weight) for weight in weights]
        if not losses or len(self.factors) != len(losses) or min(self.factors) < 0:
            raise ValueError(f"{len(losses)} losses want as many weights, none negative; got {self.factors}.")
        if any(getattr(loss, "reduction", "mean") == "none" for loss in losses):
            raise ValueError("a loss whose reduction is none cannot be one of a sum.")
        self.losses = nn.ModuleList(losses)

    def forward(self, input: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Add up the losses of one prediction; shapes and what is raised are those of the losses."""
        terms = [weight * loss(input, target, mask) for weight, loss in zip(self.factors, self.losses, strict=True)]
        return torch.stack(terms).sum()
