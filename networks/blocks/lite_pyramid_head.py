"""The Lite R-ASPP head: a gate from the mean over the image, and a finer feature map beside it."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn
from torch.nn import functional as F

from networks.blocks.inverted_residual import Norm, conv_norm_act

HEADS = ("standard", "inverted")
INTERMEDIATE_CHANNELS = 128


class LitePyramidHead(nn.Module):
    """Logits from a deep, coarse feature map and a shallow, fine one.

    The deep map is gated by a factor per channel, from its mean over the image, and brought to the grid of the
    shallow one; the logits are the sum of a 1x1 convolution of either. ``inverted`` is what DeepSTAPLE's code has in
    3D: the shallow map is gated and brought to the grid of the deep one.

    Reference: Howard et al., *Searching for MobileNetV3*, ICCV 2019, section 6.4.

    Args:
        spatial_dims: 2 or 3.
        shallow_channels: channels of the shallow map.
        deep_channels: channels of the deep map.
        out_channels: classes.
        norm: MONAI norm specification.
        kind: ``"standard"`` or ``"inverted"``.

    Raises:
        ValueError: for another ``kind``.
    """

    def __init__(
        self,
        spatial_dims: int,
        shallow_channels: int,
        deep_channels: int,
        out_channels: int,
        norm: Norm,
        kind: str = "standard",
    ) -> None:
        super().__init__()
        if kind not in HEADS:
            raise ValueError(f"head must be {' or '.join(HEADS)}, got {kind}.")
        self.inverted = kind == "inverted"
        gated, other = (shallow_channels, deep_channels) if self.inverted else (deep_channels, shallow_channels)
        convolution = Conv[Conv.CONV, spatial_dims]
        self.features = conv_norm_act(spatial_dims, gated, INTERMEDIATE_CHANNELS, 1, norm, "relu")
        self.gate = nn.Sequential(
            Pool[Pool.ADAPTIVEAVG, spatial_dims](1),
            convolution(gated, INTERMEDIATE_CHANNELS, 1, bias=False),
            nn.Sigmoid(),
        )
        self.gated_logits = convolution(INTERMEDIATE_CHANNELS, out_channels, 1)
        self.other_logits = convolution(other, out_channels, 1)
        self.interpolation = "bilinear" if spatial_dims == 2 else "trilinear"

    def forward(self, shallow: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """Give logits (B, out_channels, ...) on the grid of ``shallow`` (of ``deep`` where inverted)."""
        gated, other = (shallow, deep) if self.inverted else (deep, shallow)
        y = self.features(gated) * self.gate(gated)
        y = F.interpolate(y, size=other.shape[2:], mode=self.interpolation, align_corners=False)
        return self.gated_logits(y) + self.other_logits(other)
