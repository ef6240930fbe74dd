"""Tasks added up with weights that are learnt: the noise of each task."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from networks.losses.task_losses import in_order

FACTORS = {"classification": 1.0, "regression": 0.5}


class UncertaintyWeightedSum(nn.Module):
    """``sum_t f_t exp(-s_t) L_t + s_t / 2`` with learnt ``s_t = log sigma_t^2``; ``f`` is 1/2 for regression, else 1.

    A task with little noise gets a large weight. For losses that do not change, the optimum is ``s = log L`` for
    regression and ``s = log 2L`` for classification, where every task's weighted loss is 1/2. The sum may be negative.

    Let an optimiser group of its own train ``log_variances``, without weight decay and with a learning rate far above
    the network's: at 1e-4 they hardly leave their start within a training.

    Reference: Kendall, Gal and Cipolla, *Multi-task learning using uncertainty to weigh losses*, CVPR 2018.

    Args:
        kinds: ``classification`` (cross entropy, Dice) or ``regression`` (squared error) of each task, by name.
        initial: ``s`` of all tasks at the start.
        limits: beyond them ``s`` has no further effect, though its gradient still pulls it back.

    Raises:
        ValueError: when there is no task, a kind is another, or ``initial`` is not within the limits.
    """

    factors: torch.Tensor

    def __init__(
        self, kinds: Mapping[str, str], initial: float = 0.0, limits: tuple[float, float] = (-20.0, 20.0)
    ) -> None:
        super().__init__()
        if not kinds or not set(kinds.values()) <= set(FACTORS):
            raise ValueError(f"kinds must be {' or '.join(FACTORS)} for at least one task, got {dict(kinds)}.")
        if not limits[0] <= initial <= limits[1]:
            raise ValueError(f"initial must lie within {limits[0]} and {limits[1]}, got {initial}.")
        self.kinds = dict(kinds)
        self.limits = (float(limits[0]), float(limits[1]))
        self.log_variances = nn.Parameter(torch.full((len(kinds),), float(initial)))
        self.register_buffer("factors", torch.tensor([FACTORS[kind] for kind in kinds.values()]), persistent=False)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Add up scalars.

        Raises:
            ValueError: when the tasks are others.
        """
        values = in_order(losses, self.kinds)
        s = self._within_limits()
        return (self.factors * torch.exp(-s) * values + 0.5 * s).sum()

    def weights(self) -> dict[str, float]:
        """Give what is multiplied with each task now."""
        with torch.no_grad():
            return self._named(self.factors * torch.exp(-self._within_limits()))

    def sigmas(self) -> dict[str, float]:
        """Give the noise, ``exp(s / 2)``, of each task."""
        with torch.no_grad():
            return self._named(torch.exp(0.5 * self._within_limits()))

    def end_epoch(self) -> None:
        """Do nothing: the weights are learnt at each iteration."""

    def _within_limits(self) -> torch.Tensor:
        s = self.log_variances
        # A plain clamp has no gradient beyond the limits: what once got there would never come back.
        return s + (s.clamp(*self.limits) - s).detach()

    def _named(self, values: torch.Tensor) -> dict[str, float]:
        return dict(zip(self.kinds, values.tolist(), strict=True))
