"""Level set to probability: the smooth Heaviside function that ties a signed distance map to a mask."""

from __future__ import annotations

import math

import torch
from torch import nn


class SmoothHeaviside(nn.Module):
    """``sigmoid(-k z)``: 1 inside (z < 0), 0.5 on the contour, 0 outside, differentiable everywhere.

    The gradient with respect to ``z`` is ``-k p (1 - p)``: at most ``k / 4``, and zero once ``|k z|`` is large. With
    the published ``k = 1500`` only ``|z|`` below about 0.005 still learns; :meth:`steepness_for` gives a ``k`` that
    fits the unit of ``z``. Half precision is computed, and returned, in float32: ``1500 z`` leaves the range of
    float16 at z = 44.

    Args:
        k: steepness, in one over the unit of ``z``.

    Raises:
        ValueError: when ``k`` is not positive and finite.

    References:
        Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency, AAAI 2021. The paper
        prints ``sigmoid(k z)``; with negative values inside the sign here is the right one.
    """

    def __init__(self, k: float = 1500.0) -> None:
        super().__init__()
        if not (math.isfinite(k) and k > 0):
            raise ValueError(f"k must be positive and finite, got {k}.")
        self.k = float(k)

    @staticmethod
    def steepness_for(transition_voxels: float, voxel_unit: float, probability: float = 0.95) -> float:
        """Give the ``k`` with which a point ``transition_voxels`` inside the contour gets ``probability``.

        ``k = ln(probability / (1 - probability)) / (transition_voxels * voxel_unit)``, that is
        ``ln 19 = 2.944`` over the transition's width for 0.95.

        Args:
            transition_voxels: half width of the transition, in voxels.
            voxel_unit: how much ``z`` changes over one voxel: the spacing for a map in mm, the spacing over
                ``max_distance`` for a normalised one, 1 over the inner maximum in voxels for mode ``dtc``.
            probability: what a point that far inside gets, between 0.5 and 1.

        Raises:
            ValueError: for a value out of its range.
        """
        if not (transition_voxels > 0 and voxel_unit > 0):
            raise ValueError(
                f"transition_voxels and voxel_unit must be positive, got {transition_voxels} and {voxel_unit}."
            )
        if not 0.5 < probability < 1:
            raise ValueError(f"probability must lie between 0.5 and 1, got {probability}.")
        return math.log(probability / (1 - probability)) / (transition_voxels * voxel_unit)

    def forward(self, level_set: torch.Tensor) -> torch.Tensor:
        """Map signed distances of any shape to probabilities; float64 stays float64, all else gives float32."""
        if level_set.dtype != torch.float64:
            level_set = level_set.float()
        return torch.sigmoid(-self.k * level_set)

    def extra_repr(self) -> str:
        """Show ``k`` in the module's representation."""
        return f"k={self.k:g}"
