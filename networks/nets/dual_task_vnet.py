"""The V-Net of dual-task consistency: one body, a mask head and a signed distance head."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from monai.networks.layers.factories import Conv, Dropout
from monai.networks.layers.utils import get_norm_layer
from torch import nn

from networks.layers.padding import crop_back, pad_to_divisor
from networks.layers.recomputation import RecomputedBlock

SIZE_DIVISOR = 16
ENCODER_CONVOLUTIONS = (1, 2, 3, 3, 3)
DECODER_CONVOLUTIONS = (3, 3, 2, 1)

Norm = str | tuple[str, dict[str, Any]] | None


class DualTaskOutput(NamedTuple):
    """What a dual-task network says of a batch.

    ``mask`` (B, K, H, W[, D]) are the logits of the K classes; ``sdf`` (B, K, H, W[, D]) their level sets in [-1, 1],
    negative inside; ``auxiliary`` the coarser mask logits of deep supervision, finest first, each at its own
    resolution, empty outside training.
    """

    mask: torch.Tensor
    sdf: torch.Tensor
    auxiliary: list[torch.Tensor]


class ConvStage(RecomputedBlock):
    """``convolutions`` times convolution 3 (+ norm) + ReLU, optionally with the published residual variant.

    Args:
        spatial_dims: 2 or 3.
        convolutions: how many.
        in_channels: channels that come in.
        out_channels: channels of each convolution.
        norm: MONAI norm specification, None for none.
        residual: add the input before the last ReLU; it needs as many channels in as out, and is left out where they
            differ.
        checkpointing: keep only the input for the backward pass, which computes the rest again.
        bias: whether the convolutions have one.
    """

    def __init__(
        self,
        spatial_dims: int,
        convolutions: int,
        in_channels: int,
        out_channels: int,
        norm: Norm,
        residual: bool = False,
        checkpointing: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(checkpointing)
        layers: list[nn.Module] = []
        for index in range(convolutions):
            if index > 0:
                layers.append(nn.ReLU(inplace=True))
            entering = in_channels if index == 0 else out_channels
            layers.append(Conv[Conv.CONV, spatial_dims](entering, out_channels, 3, padding=1, bias=bias))
            layers.extend(_norm_layers(norm, spatial_dims, out_channels))
        self.body = nn.Sequential(*layers)
        self.activation = nn.ReLU(inplace=True)
        self.residual = residual and in_channels == out_channels

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, out_channels, H, W[, D]) for (B, in_channels, H, W[, D])."""
        y = self.body(x)
        if self.residual:
            y = y + x
        return self.activation(y)


class DualTaskVNet(nn.Module):
    """V-Net with two heads on its last feature map: mask logits and, through ``tanh``, a signed distance map.

    Five levels; skips are added, not concatenated; strided convolutions go down and transposed ones up. Inputs whose
    sides are no multiple of 16 are padded with zeros and the outputs cropped back.

    Reference: Luo et al., *Semi-supervised medical image segmentation through dual-task consistency*, AAAI 2021;
    Milletari et al., *V-Net*, 3DV 2016.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        out_channels: number K of foreground classes (the background has no channel).
        filters: channels of the first level; they double at every level.
        norm: MONAI norm specification, as ``"batch"`` or ``("instance", {"affine": True})``; None for no normalisation.
        dropout: probability of dropping a whole channel after the deepest level and before the heads, in training.
        residual: the published option that adds a stage's input to its output.
        deep_supervision: give the mask logits of the two next coarser levels too, in training.
        checkpointing: compute activations again in the backward pass instead of keeping them: less memory, about a
            quarter more time.
        bias: whether the convolutions before norms have one. The published network's have; batch norm takes it out
            again, and without it an iteration is about an eighth faster on a CPU.

    Raises:
        ValueError: for ``spatial_dims`` other than 2 and 3, or numbers below one.
    """

    PUBLISHED = ("left_atrium", "pancreas")

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        filters: int = 16,
        norm: Norm = "batch",
        dropout: float = 0.5,
        residual: bool = False,
        deep_supervision: bool = False,
        checkpointing: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if min(in_channels, out_channels, filters) < 1:
            raise ValueError(
                f"in_channels, out_channels and filters must be at least 1, got {(in_channels, out_channels, filters)}."
            )
        if norm is None and not bias:
            raise ValueError("Without a norm the convolutions need their bias.")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.size_divisor = SIZE_DIVISOR
        widths = [filters * 2**level for level in range(len(ENCODER_CONVOLUTIONS))]

        self.down = nn.ModuleList([nn.Identity()])
        self.encoder = nn.ModuleList()
        for level, convolutions in enumerate(ENCODER_CONVOLUTIONS):
            if level > 0:
                self.down.append(_resampling(Conv.CONV, spatial_dims, widths[level - 1], widths[level], norm, bias))
            entering = in_channels if level == 0 else widths[level]
            self.encoder.append(
                ConvStage(spatial_dims, convolutions, entering, widths[level], norm, residual, checkpointing, bias)
            )

        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level, convolutions in zip(range(len(widths) - 2, -1, -1), DECODER_CONVOLUTIONS, strict=True):
            self.up.append(_resampling(Conv.CONVTRANS, spatial_dims, widths[level + 1], widths[level], norm, bias))
            self.decoder.append(
                ConvStage(spatial_dims, convolutions, widths[level], widths[level], norm, residual, checkpointing, bias)
            )

        self.dropout = Dropout[Dropout.DROPOUT, spatial_dims](dropout)
        self.mask_head = Conv[Conv.CONV, spatial_dims](filters, out_channels, 1)
        self.sdf_head = Conv[Conv.CONV, spatial_dims](filters, out_channels, 1)
        self.auxiliary_heads = nn.ModuleList(
            Conv[Conv.CONV, spatial_dims](width, out_channels, 1) for width in (widths[1:3] if deep_supervision else [])
        )

    @classmethod
    def published(cls, variant: str = "left_atrium") -> DualTaskVNet:
        """The network of the paper's left-atrium (or, same form, pancreas) experiment: 9,448,866 parameters.

        Raises:
            ValueError: for another variant.
        """
        if variant not in cls.PUBLISHED:
            raise ValueError(f"variant must be left_atrium or pancreas, got {variant}.")
        return cls(spatial_dims=3, in_channels=1, out_channels=1, filters=16, norm="batch", dropout=0.5)

    def forward(self, x: torch.Tensor) -> DualTaskOutput:
        image = x
        x, before = pad_to_divisor(x, self.size_divisor)
        skips: list[torch.Tensor] = []
        for down, stage in zip(self.down, self.encoder):  # noqa: B905  TorchScript knows no `strict`
            x = stage(down(x))
            skips.append(x)
        x = self.dropout(skips.pop())

        features: list[torch.Tensor] = []  # coarsest first
        for up, stage in zip(self.up, self.decoder):  # noqa: B905
            x = stage(up(x) + skips.pop())
            features.append(x)

        auxiliary: list[torch.Tensor] = []
        if self.training:
            for index, head in enumerate(self.auxiliary_heads):
                auxiliary.append(head(features[len(features) - 2 - index]))
        x = self.dropout(x)
        mask = crop_back(self.mask_head(x), image, before)
        sdf = crop_back(torch.tanh(self.sdf_head(x)), image, before)
        return DualTaskOutput(mask, sdf, auxiliary)


def _norm_layers(norm: Norm, spatial_dims: int, channels: int) -> list[nn.Module]:
    return [] if norm is None else [get_norm_layer(norm, spatial_dims, channels)]


def _resampling(
    kind: str, spatial_dims: int, in_channels: int, out_channels: int, norm: Norm, bias: bool
) -> nn.Sequential:
    """Halve (``Conv.CONV``) or double (``Conv.CONVTRANS``) the sides."""
    convolution = Conv[kind, spatial_dims](in_channels, out_channels, 2, stride=2, bias=bias)
    return nn.Sequential(convolution, *_norm_layers(norm, spatial_dims, out_channels), nn.ReLU(inplace=True))
