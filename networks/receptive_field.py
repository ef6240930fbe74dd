"""How far a network sees: the side of the image region that one output voxel depends on, measured by gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

LARGEST_SIDE = 8192
SMALL = 1e-3
_OVER_IMAGE = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_NORMS_OVER_IMAGE = (nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)


class ReceptiveField(NamedTuple):
    """What one output voxel depends on.

    Attributes:
        side: of the region that convolutions and poolings reach, voxels; the largest of all output voxels.
        whole_image: whether means, maxima or norms over the image make it depend, weakly, on all of it beside that.
    """

    side: int
    whole_image: bool


def receptive_field(network: nn.Module, spatial_dims: int, in_channels: int) -> ReceptiveField:
    """Measure the receptive field along the first axis, in evaluation mode.

    In a copy of the network all weights are set to positive values, and what would hide a dependence is taken out (a
    maximum becomes a mean; means, maxima and norms over the image pass no gradient on), so that the gradient of an
    output voxel is above zero just where it depends on the image. The image is long along the first axis and thin along
    the others.

    Args:
        network: of images (B, C, H, W[, D]); it gives one or several tensors, of which those of the image's size count.
        spatial_dims: 2 or 3.
        in_channels: image channels.

    Raises:
        ValueError: when no output depends on the image, or the field is larger than 8192 voxels.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    whole_image = any(isinstance(module, _OVER_IMAGE + _NORMS_OVER_IMAGE) for module in probe.modules())
    _make_transparent(probe)
    thin = period = max(16, int(getattr(network, "size_divisor", 1)))
    length = 8 * period
    while length <= LARGEST_SIDE:
        image = torch.full((1, in_channels, length, *[thin] * (spatial_dims - 1)), SMALL, dtype=torch.float64)
        side = _largest_reach(probe, image, period)
        if side is not None:
            return ReceptiveField(side, whole_image)
        length *= 2
    raise ValueError(f"The receptive field is larger than {LARGEST_SIDE} voxels.")


def _make_transparent(probe: nn.Module) -> None:
    """Change a network such that every dependence shows as a positive gradient."""
    for module in probe.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            nn.init.constant_(module.weight, 1.0 / module.weight[0].numel())
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
        elif isinstance(module, _NORMS_OVER_IMAGE):
            module.register_forward_hook(lambda _, inputs, __: inputs[0])
        elif isinstance(module, _OVER_IMAGE):
            module.register_forward_hook(lambda _, __, output: output.detach())
        elif isinstance(module, nn.MaxPool2d | nn.MaxPool3d):
            module.register_forward_hook(_mean_in_place_of_maximum)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)


def _mean_in_place_of_maximum(module: Any, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor:
    pool = F.avg_pool2d if isinstance(module, nn.MaxPool2d) else F.avg_pool3d
    mean: torch.Tensor = pool(inputs[0], module.kernel_size, module.stride, module.padding, module.ceil_mode)
    return mean


def _largest_reach(probe: nn.Module, image: torch.Tensor, period: int) -> int | None:
    """Give the side of the region that the middle voxels depend on; None when it reaches the image's end."""
    image.requires_grad_()
    outputs = [output for output in _tensors(probe(image)) if output.shape[2:] == image.shape[2:]]
    if not outputs:
        raise ValueError("The network gives nothing of the image's size.")
    middle = image.shape[2] // 2
    across = [int(size) // 2 for size in image.shape[3:]]
    largest = 0
    for position in range(middle, middle + period):  # strides make the field differ from voxel to voxel
        lines = [output[0, :, position] for output in outputs]
        for place in reversed(across):
            lines = [line[..., place] for line in lines]
        total = torch.stack([line.sum() for line in lines]).sum()
        if not total.requires_grad:
            raise ValueError("No output depends on the image.")
        (gradient,) = torch.autograd.grad(total, image, retain_graph=True)
        reached = gradient.abs().sum(dim=[axis for axis in range(image.dim()) if axis != 2]).nonzero()
        if len(reached) == 0:
            raise ValueError("No output depends on the image.")
        first, last = int(reached[0]), int(reached[-1])
        if first == 0 or last == image.shape[2] - 1:
            return None
        largest = max(largest, last - first + 1)
    return largest


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from _tensors(value)
