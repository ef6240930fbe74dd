"""A cascade of dilated convolutions, the sum of all its stages: a wide view at the deepest level of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv
from monai.networks.layers.utils import get_norm_layer
from torch import nn

from networks.blocks.attention_gate import Norm
from networks.layers.recomputation import RecomputedBlock


class DilatedCascade(RecomputedBlock):
    """Convolutions of 3 voxels one after another, each dilated, with norm and ReLU; what comes in and what comes out of
    every one of them is added up.

    With d the dilations, the receptive field grows by ``2 * sum(d)`` voxels of the level that the cascade works on.

    Reference: Zhou et al., *D-LinkNet: LinkNet with pretrained encoder and dilated convolution for high resolution
    satellite imagery road extraction*, CVPR workshops 2018.

    Args:
        spatial_dims: 2 or 3.
        channels: in and out.
        dilations: of each convolution.
        norm: MONAI norm specification, None for none.
        checkpointing: keep only the input for the backward pass, which computes the rest again.

    Raises:
        ValueError: when there is no dilation, or one is below one.
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        dilations: Sequence[int] = (1, 2, 4, 8),
        norm: Norm = "batch",
        checkpointing: bool = False,
    ) -> None:
        super().__init__(checkpointing)
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations must be at least one number from 1 on, got {tuple(dilations)}.")
        self.stages = nn.ModuleList()
        for dilation in dilations:
            layers: list[nn.Module] = [
                Conv[Conv.CONV, spatial_dims](channels, channels, 3, padding=dilation, dilation=dilation)
            ]
            if norm is not None:
                layers.append(get_norm_layer(norm, spatial_dims, channels))

            self.stages.append(nn.Sequential(*layers, nn.ReLU()))

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, channels, H, W[, D]) for features of the same shape."""
        total = x
        for stage in self.stages:
            x = stage(x)
            total = total + x
        return total
