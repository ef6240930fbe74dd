"""LRASPPMobileNet written as a row of torch's and MONAI's own modules."""

from __future__ import annotations

import copy

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import nn

from networks.blocks.atrous_pyramid import AtrousPyramid, PooledBranch
from networks.blocks.inverted_residual import InvertedResidual, SqueezeExcitation
from networks.blocks.lite_pyramid_head import LitePyramidHead
from networks.nets.lraspp_mobilenet import LRASPPMobileNet
from pipelines.export.channel_mixing import as_convolution, mixing, picking, weights_of


def plain_mobile_network(network: LRASPPMobileNet) -> nn.Sequential:
    """Rebuild a trained network with the standard head from torch's and MONAI's own modules.

    Its sides must be multiples of the deep map's stride (16; ``published_3d``: 4). It gives the same logits
    (B, K + 1, H, W[, D]), but for the order in which sums are taken.

    Args:
        network: the trained network; it is left as it is.

    Raises:
        ValueError: for the inverted head.
    """
    backbone = network.backbone
    if network.head.inverted:
        raise ValueError("LRASPPMobileNet with the inverted head cannot be written as modules of torch or MONAI.")
    stages = [_plain(stage) for stage in backbone.stages]
    fine = [part for stage in stages[: backbone.shallow + 1] for part in stage]
    coarse = [part for stage in stages[backbone.shallow + 1 :] for part in stage]
    branch = [*coarse, *_plain(backbone.last), *_plain(network.pyramid), *_gated(network.head)]
    branch.append(_upsampling(backbone.deep_stride // backbone.shallow_stride, network.interpolation))
    return nn.Sequential(
        *_plain(backbone.stem),
        *fine,
        SkipConnection(nn.Sequential(*branch), mode="cat"),
        _logits(network.head),
        _upsampling(backbone.shallow_stride, network.interpolation),
    ).eval()


def _plain(module: nn.Module) -> list[nn.Module]:
    """Copy a part of the network as parts in a row."""
    if isinstance(module, nn.Sequential):
        return [part for child in module for part in _plain(child)]
    if isinstance(module, InvertedResidual):
        body = _plain(module.body)
        return [SkipConnection(nn.Sequential(*body), mode="add")] if module.residual else body
    if isinstance(module, SqueezeExcitation):
        return [SkipConnection(nn.Sequential(*_plain(module.factors)), mode="mul")]
    if isinstance(module, AtrousPyramid):
        return _pyramid(module)
    if isinstance(module, nn.Identity | nn.Dropout):
        return []
    if isinstance(module, nn.ReLU6 | nn.ReLU):
        return [type(module)()]
    return [copy.deepcopy(module)]


def _gated(head: LitePyramidHead) -> list[nn.Module]:
    """Give the gated features, and as many channels of no use behind them.

    The gate's convolution comes before its mean, which is the same; and as a row of modules multiplies all of its
    channels or none, those that the mean is taken of are multiplied too.
    """
    convolution = as_convolution(head.gate[1])
    weight, _ = weights_of(convolution)
    count, channels = weight.shape
    here, nothing = torch.eye(count), torch.zeros(count, count)
    split = torch.cat([torch.cat([torch.zeros(count, channels), here], dim=1), torch.cat([weight, nothing], dim=1)])
    factors = torch.cat([torch.cat([nothing, here], dim=1), torch.zeros(count, 2 * count)])
    gate = nn.Sequential(copy.deepcopy(head.gate[0]), mixing(convolution, factors), nn.Sigmoid())
    return [
        SkipConnection(nn.Sequential(*_plain(head.features)), mode="cat"),
        mixing(convolution, split),
        SkipConnection(gate, mode="mul"),
    ]


def _logits(head: LitePyramidHead) -> nn.Module:
    """Give the sum of both 1x1 convolutions, of the shallow map and of what ``_gated`` gives, concatenated."""
    convolution = as_convolution(head.gated_logits)
    of_gated, bias = weights_of(convolution)
    of_other, other_bias = weights_of(as_convolution(head.other_logits))
    return mixing(convolution, torch.cat([of_other, of_gated, torch.zeros_like(of_gated)], dim=1), bias + other_bias)


def _pyramid(pyramid: AtrousPyramid) -> list[nn.Module]:
    """Put the branches one after the other: each picks the image's channels and appends its own to all before it."""
    *dilated, pooled = pyramid.branches
    if not isinstance(pooled, PooledBranch):
        raise TypeError(f"the pooled branch is meant, got {type(pooled).__name__}")
    convolution = as_convolution(pooled.convolution)
    channels, count = convolution.in_channels, convolution.out_channels
    parts: list[nn.Module] = []
    width = channels
    for branch in dilated:
        of_image = nn.Sequential(picking(convolution, width, 0, channels), *_plain(branch))
        parts.append(SkipConnection(of_image, mode="cat"))
        width += count
    # The mean over the image is the same everywhere, so what mixing makes of it is added to what it makes of the rest.
    convolution_of_all, *after = _plain(pyramid.mix)
    weight, _ = weights_of(as_convolution(convolution_of_all))
    of_dilated, of_pooled = weight[:, : width - channels], weight[:, width - channels :]
    mixed = torch.cat([torch.zeros(count, channels), of_dilated], dim=1)
    kept = torch.eye(channels, width)
    pooled_branch = nn.Sequential(
        picking(convolution, count + channels, count, channels),
        copy.deepcopy(pooled.pool),
        copy.deepcopy(convolution),
        copy.deepcopy(pooled.norm),
        nn.ReLU(),
        mixing(convolution, torch.cat([of_pooled, torch.zeros(channels, count)])),
    )
    return [
        *parts,
        mixing(convolution, torch.cat([mixed, kept])),
        SkipConnection(pooled_branch, mode="add"),
        picking(convolution, count + channels, 0, count),
        *after,
    ]


def _upsampling(factor: int, interpolation: str) -> nn.Module:
    return nn.Upsample(scale_factor=factor, mode=interpolation, align_corners=False)
