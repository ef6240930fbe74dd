"""One probability map out of two heads: what inference and an exported bundle run."""

from __future__ import annotations

import torch
from torch import nn

from networks.layers.class_probabilities import foreground_probabilities, with_background

HEADS = ("mask", "level_set", "mean")


class DualTaskPredictor(nn.Module):
    """Class probabilities of a dual-task network, from the head that ``head`` names.

    ``head`` is an ordinary attribute, in TorchScript too: set it on a loaded module to choose another head.

    Args:
        network: gives a :class:`networks.nets.dual_task_vnet.DualTaskOutput`.
        k: steepness of the smooth Heaviside function that turns a level set into a probability, ``sigmoid(-k z)``.
        head: ``"mask"``, ``"level_set"`` or ``"mean"`` of the two.

    Raises:
        ValueError: for another ``head``.
    """

    def __init__(self, network: nn.Module, k: float, head: str = "mask") -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head}.")
        self.network = network
        self.k = float(k)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, K + 1, H, W[, D]), background first, for images (B, C, H, W[, D])."""
        output = self.network(x)
        if self.head == "mask":
            return with_background(foreground_probabilities(output.mask))
        level_set = torch.sigmoid(-self.k * output.sdf.float())
        if self.head == "level_set":
            return with_background(level_set)
        return with_background(0.5 * (foreground_probabilities(output.mask).float() + level_set))
