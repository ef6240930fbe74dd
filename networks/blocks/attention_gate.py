"""The additive attention gate: a coarser feature map says where a finer one counts."""

from __future__ import annotations

import math
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from monai.networks.layers.utils import get_norm_layer
from torch import nn

Norm = str | tuple[str, dict[str, Any]] | None


class AttentionGate(nn.Module):
    """Multiply a skip connection by a factor per voxel, in [0, 1], that it and a gating signal decide together.

    ``skip * sigmoid(norm(w(relu(norm(u(skip)) + norm(v(signal))))))`` with 1x1 convolutions ``u``, ``v`` to half as
    many channels and ``w`` to one. Skip and signal are of one grid: the signal has been brought to it before.

    Reference: Oktay et al., *Attention U-Net: learning where to look for the pancreas*, MIDL 2018.

    Args:
        spatial_dims: 2 or 3.
        skip_channels: channels of the skip connection.
        signal_channels: channels of the gating signal.
        norm: MONAI norm specification, None for none. There are fewer channels here than in a network around it, and
            one before the sigmoid: a group norm has as many groups as divide them.
    """

    def __init__(self, spatial_dims: int, skip_channels: int, signal_channels: int, norm: Norm = "batch") -> None:
        super().__init__()
        width = max(1, skip_channels // 2)
        self.of_skip = _pointwise(spatial_dims, skip_channels, width, norm)
        self.of_signal = _pointwise(spatial_dims, signal_channels, width, norm)
        self.activation = nn.ReLU(inplace=True)
        self.factor = nn.Sequential(_pointwise(spatial_dims, width, 1, norm), nn.Sigmoid())

    def forward(self, skip: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        """Give the gated ``skip`` (B, C, H, W[, D]); ``signal`` is (B, C', H, W[, D])."""
        return skip * self.factor(self.activation(self.of_skip(skip) + self.of_signal(signal)))


class Ungated(nn.Module):
    """What stands in the place of a gate where there is none: the skip connection as it is."""

    def forward(self, skip: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        """Give ``skip``."""
        return skip


def _pointwise(spatial_dims: int, in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = [Conv[Conv.CONV, spatial_dims](in_channels, out_channels, 1, bias=norm is None)]
    if norm is not None:
        layers.append(get_norm_layer(_fitting(norm, out_channels), spatial_dims, out_channels))
    return nn.Sequential(*layers)


def _fitting(norm: str | tuple[str, dict[str, Any]], channels: int) -> str | tuple[str, dict[str, Any]]:
    """Give the norm with no more groups than the channels can be shared among."""
    if isinstance(norm, tuple) and norm[0].lower() == "group":
        return norm[0], {**norm[1], "num_groups": math.gcd(norm[1]["num_groups"], channels)}
    return norm
