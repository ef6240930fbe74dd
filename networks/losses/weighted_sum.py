"""Tasks added up with fixed weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from networks.losses.task_losses import in_order


class WeightedSum(nn.Module):
    """``sum_t w_t L_t`` with weights that do not change.

    Args:
        weights: of each task, by name; not negative, and not all 0.

    Raises:
        ValueError: when there is no task, a weight is negative, or none is positive.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        if not weights or min(weights.values()) < 0 or max(weights.values()) <= 0:
            raise ValueError(f"weights must name at least one task, none negative and not all 0, got {dict(weights)}.")
        self.factors = {name: float(weight) for name, weight in weights.items()}

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Add up scalars.

        Raises:
            ValueError: when the tasks are not those of the weights.
        """
        values = in_order(losses, self.factors)
        return (values * values.new_tensor(list(self.factors.values()))).sum()

    def weights(self) -> dict[str, float]:
        """Give what is multiplied with each task."""
        return dict(self.factors)

    def end_epoch(self) -> None:
        """Do nothing: the weights are fixed."""
