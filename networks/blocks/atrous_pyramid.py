"""Atrous spatial pyramid pooling: dilated convolutions side by side, and the mean over the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn
from torch.nn import functional as F

from networks.blocks.inverted_residual import Norm, conv_norm_act
from networks.layers.recomputation import RecomputedBlock


class PooledBranch(nn.Module):
    """The mean over the image through a 1x1 convolution, norm and ReLU, at every place.

    In training, batch norm needs more than one value; of a batch of one there is one, and its running statistics are
    taken instead.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels that come in.
        out_channels: channels that go out.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.convolution = Conv[Conv.CONV, spatial_dims](in_channels, out_channels, 1, bias=False)
        # Whatever the norm elsewhere: a norm over the one value of an instance's channel would leave nothing of it.
        self.norm = nn.BatchNorm2d(out_channels) if spatial_dims == 2 else nn.BatchNorm3d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, out_channels, H, W[, D]) for (B, in_channels, H, W[, D])."""
        y = self.convolution(self.pool(x))
        if self.training and y.shape[0] == 1:
            norm = self.norm
            y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
        else:
            y = self.norm(y)
        # A list added to a list: TorchScript cannot unpack one into another.
        return torch.relu(y).expand([-1, -1] + list(x.shape[2:]))


class AtrousPyramid(RecomputedBlock):
    """A 1x1 convolution, 3x3 ones of several dilations and a pooled branch, concatenated and mixed; dropout at the end.

    Reference: Chen et al., *Rethinking atrous convolution for semantic image segmentation*, 2017.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels that come in.
        out_channels: channels of each branch and of the result.
        rates: dilations.
        norm: MONAI norm specification.
        dropout: probability of dropping a single value, in training.
        checkpointing: keep only the input for the backward pass, which computes the rest again.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        rates: Sequence[int],
        norm: Norm,
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(checkpointing)
        branches: list[nn.Module] = [conv_norm_act(spatial_dims, in_channels, out_channels, 1, norm, "relu")]
        branches += [
            conv_norm_act(spatial_dims, in_channels, out_channels, 3, norm, "relu", dilation=rate) for rate in rates
        ]
        branches.append(PooledBranch(spatial_dims, in_channels, out_channels))
        self.branches = nn.ModuleList(branches)
        self.mix = conv_norm_act(spatial_dims, len(branches) * out_channels, out_channels, 1, norm, "relu")
        self.dropout = nn.Dropout(dropout)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, out_channels, H, W[, D]) for (B, in_channels, H, W[, D])."""
        found: list[torch.Tensor] = []
        for branch in self.branches:  # TorchScript has no comprehension over modules
            found.append(branch(x))
        y: torch.Tensor = self.dropout(self.mix(torch.cat(found, dim=1)))
        return y
