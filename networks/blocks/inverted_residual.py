"""Blocks of mobile networks: convolution with norm and activation, squeeze and excitation, inverted residuals."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers.factories import Act, Conv, Pool
from monai.networks.layers.utils import get_norm_layer
from torch import nn

from networks.layers.recomputation import RecomputedBlock

Norm = str | tuple[str, dict[str, Any]]


def conv_norm_act(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: Norm,
    act: str | None,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Give a convolution without bias, its norm, and its activation where there is one.

    With ``stride`` 1 the sides stay; with 2 they are halved, rounded up.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel_size: odd, the same along all axes.
        norm: MONAI norm specification.
        act: name of one of MONAI's activations; None for none.
        stride: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
    """
    convolution = Conv[Conv.CONV, spatial_dims](
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size - 1) // 2,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    layers = [convolution, get_norm_layer(norm, spatial_dims, out_channels)]
    return nn.Sequential(*layers, *([] if act is None else [activation(act)]))


def activation(name: str) -> nn.Module:
    """Give an activation by its name: ReLU, ReLU6 or hard swish, in place where the backward pass allows it."""
    return nn.Hardswish() if name == "hardswish" else Act[name](inplace=True)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a factor in [0, 1] that depends on the means of all channels over the image.

    Reference: Hu et al., *Squeeze-and-excitation networks*, CVPR 2018; with the hard sigmoid of Howard et al.,
    *Searching for MobileNetV3*, ICCV 2019.

    Args:
        spatial_dims: 2 or 3.
        channels: channels in and out.
        squeezed: channels between.
    """

    def __init__(self, spatial_dims: int, channels: int, squeezed: int) -> None:
        super().__init__()
        convolution = Conv[Conv.CONV, spatial_dims]
        self.factors = nn.Sequential(
            Pool[Pool.ADAPTIVEAVG, spatial_dims](1),
            convolution(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            convolution(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale (B, C, H, W[, D])."""
        return x * self.factors(x)


class InvertedResidual(RecomputedBlock):
    """Expand by a 1x1 convolution, filter each channel alone, project by a 1x1 convolution; added to the input where
    the shape is the same.

    Reference: Sandler et al., *MobileNetV2*, CVPR 2018; with squeeze and excitation, Howard et al., ICCV 2019.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels that come in.
        expanded: channels between; as many as come in means no expansion.
        out_channels: channels that go out.
        kernel_size: of the middle convolution.
        norm: MONAI norm specification.
        act: name of the activation.
        stride: of the middle convolution.
        dilation: of the middle convolution.
        squeezed: channels within the squeeze and excitation; 0 for none.
        checkpointing: keep only the input for the backward pass, which computes the rest again.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        expanded: int,
        out_channels: int,
        kernel_size: int,
        norm: Norm,
        act: str,
        stride: int = 1,
        dilation: int = 1,
        squeezed: int = 0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(checkpointing)
        layers: list[nn.Module] = []
        if expanded != in_channels:
            layers.append(conv_norm_act(spatial_dims, in_channels, expanded, 1, norm, act))
        layers.append(
            conv_norm_act(spatial_dims, expanded, expanded, kernel_size, norm, act, stride, dilation, groups=expanded)
        )
        if squeezed > 0:
            layers.append(SqueezeExcitation(spatial_dims, expanded, squeezed))
        layers.append(conv_norm_act(spatial_dims, expanded, out_channels, 1, norm, None))
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, out_channels, ...) for (B, in_channels, H, W[, D]); the sides are divided by the stride."""
        y = self.body(x)
        if self.residual:
            y = y + x
        return y
