"""The encoders of mobile networks: MobileNetV3-Large, and the light one that DeepSTAPLE has in 3D."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import nn

from networks.blocks.inverted_residual import InvertedResidual, Norm, conv_norm_act


class Stage(NamedTuple):
    """One inverted residual: kernel, channels between and out, squeeze and excitation, activation, stride, dilation."""

    kernel_size: int
    expanded: int
    out_channels: int
    squeezes: bool
    act: str
    stride: int
    dilation: int = 1


class Encoder(NamedTuple):
    """An encoder.

    Attributes:
        stem: channels of the first convolution, of stride 2.
        act: activation of the first convolution and of the last, if there is one.
        stages: what follows it.
        shallow: index of the stage that gives the shallow feature map.
        last: channels of a 1x1 convolution at the end; 0 for none.
        norm: MONAI norm specification, as published.
    """

    stem: int
    act: str
    stages: tuple[Stage, ...]
    shallow: int
    last: int
    norm: Norm


_RE, _HS, _R6 = "relu", "hardswish", "relu6"
# Of the last three, Lite R-ASPP turns the stride into dilation: the deep map has stride 16, the shallow one 8.
MOBILENET_V3_LARGE = Encoder(
    16,
    _HS,
    (
        Stage(3, 16, 16, False, _RE, 1),
        Stage(3, 64, 24, False, _RE, 2),
        Stage(3, 72, 24, False, _RE, 1),
        Stage(5, 72, 40, True, _RE, 2),
        Stage(5, 120, 40, True, _RE, 1),
        Stage(5, 120, 40, True, _RE, 1),
        Stage(3, 240, 80, False, _HS, 2),
        Stage(3, 200, 80, False, _HS, 1),
        Stage(3, 184, 80, False, _HS, 1),
        Stage(3, 184, 80, False, _HS, 1),
        Stage(3, 480, 112, True, _HS, 1),
        Stage(3, 672, 112, True, _HS, 1),
        Stage(5, 672, 160, True, _HS, 1, 2),
        Stage(5, 960, 160, True, _HS, 1, 2),
        Stage(5, 960, 160, True, _HS, 1, 2),
    ),
    shallow=3,
    last=960,
    norm=("batch", {"eps": 1e-3, "momentum": 0.01}),
)
PUBLISHED_3D = Encoder(
    32,
    _R6,
    (
        Stage(3, 32, 16, False, _R6, 1),
        Stage(3, 96, 16, False, _R6, 1),
        Stage(3, 96, 24, False, _R6, 1),
        Stage(3, 144, 24, False, _R6, 1),
        Stage(3, 144, 32, False, _R6, 1),
        Stage(3, 192, 32, False, _R6, 1),
        Stage(3, 192, 32, False, _R6, 2),
        Stage(3, 192, 64, False, _R6, 1),
        Stage(3, 384, 64, False, _R6, 1),
        Stage(3, 384, 64, False, _R6, 1),
    ),
    shallow=0,
    last=0,
    norm="batch",
)
ENCODERS = {"mobilenet_v3_large": MOBILENET_V3_LARGE, "published_3d": PUBLISHED_3D}


class MobileBackbone(nn.Module):
    """The encoder that ``variant`` names; its weights start from Kaiming's normal distribution (fan out).

    Reference: Howard et al., *Searching for MobileNetV3*, ICCV 2019; Sandler et al., *MobileNetV2*, CVPR 2018;
    Weihsbach et al., *DeepSTAPLE*, WBIR 2022.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        variant: ``"mobilenet_v3_large"`` or ``"published_3d"``.
        norm: MONAI norm specification; None for the published one.
        checkpointing: of every stage, keep only the input for the backward pass.

    Attributes:
        shallow_channels, shallow_stride: of the shallow map; its stride is 8 (``published_3d``: 2).
        deep_channels, deep_stride: of the deep map; its stride is 16 (``published_3d``: 4).

    Raises:
        ValueError: for another ``variant``.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, variant: str, norm: Norm | None = None, checkpointing: bool = False
    ) -> None:
        super().__init__()
        if variant not in ENCODERS:
            raise ValueError(f"variant must be {' or '.join(ENCODERS)}, got {variant}.")
        form = ENCODERS[variant]
        norm = form.norm if norm is None else norm
        self.stem = conv_norm_act(spatial_dims, in_channels, form.stem, 3, norm, form.act, stride=2)
        self.stages = nn.ModuleList()
        channels = form.stem
        for stage in form.stages:
            self.stages.append(
                InvertedResidual(
                    spatial_dims,
                    channels,
                    stage.expanded,
                    stage.out_channels,
                    stage.kernel_size,
                    norm,
                    stage.act,
                    stage.stride,
                    stage.dilation,
                    squeezed_channels(stage.expanded) if stage.squeezes else 0,
                    checkpointing,
                )
            )
            channels = stage.out_channels
        self.last: nn.Module = nn.Identity()
        if form.last > 0:
            self.last = conv_norm_act(spatial_dims, channels, form.last, 1, norm, form.act)
        self.shallow = form.shallow
        self.shallow_channels = form.stages[form.shallow].out_channels
        self.deep_channels = form.last or channels
        self.shallow_stride = 2 * prod(stage.stride for stage in form.stages[: form.shallow + 1])
        self.deep_stride = 2 * prod(stage.stride for stage in form.stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the shallow and the deep feature map of images (B, in_channels, H, W[, D]) of any size."""
        x = self.stem(x)
        shallow = x
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index == self.shallow:
                shallow = x
        return shallow, self.last(x)


def squeezed_channels(expanded: int) -> int:
    """Give a quarter of ``expanded``, rounded to a multiple of 8 that is not more than a tenth below it."""
    quarter = expanded // 4
    rounded = max(8, (quarter + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * quarter else rounded
