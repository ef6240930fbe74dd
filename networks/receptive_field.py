"""How far a network sees: the side of the image region that one output voxel depends on.

:func:`receptive_field` measures it by gradients, whatever the network; :func:`stage_fields` adds it up from the kernels
of layers in a row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

LARGEST_SIDE = 8192
SMALL = 1e-3
_OVER_IMAGE = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_COUNTED = (nn.modules.conv._ConvNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)
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


class Layer(NamedTuple):
    """What a convolution or pooling does along one axis: the side of its kernel, its stride and its dilation."""

    kernel: int
    stride: int = 1
    dilation: int = 1


def layer_fields(layers: Iterable[Layer]) -> list[int]:
    """Give the receptive field behind each of several layers in a row, voxels of the image.

    ``RF_l = RF_(l - 1) + (k_l - 1) d_l s``, with s the product of the strides of all layers before.

    Reference: Araujo et al., *Computing receptive fields of convolutional neural networks*, Distill 2019.
    """
    fields = []
    field = step = 1
    for layer in layers:
        field += (layer.kernel - 1) * layer.dilation * step
        step *= layer.stride
        fields.append(field)
    return fields


def stage_fields(stages: Iterable[nn.Module]) -> list[int]:
    """Give the receptive field at the end of each of several stages that follow each other, voxels of the image.

    Convolutions and poolings count in the order in which they were registered, as if they were in a row: for parts
    side by side, or with a way around them, this holds where the longest way leads through all of them.

    Args:
        stages: parts of a network, of which each reads what comes out of the one before. For an encoder that pools
            between its stages, a pooling belongs to the stage behind it.

    Raises:
        ValueError: for a transposed convolution, which has no stride that could be counted so, and for layers that
            differ from axis to axis.
    """
    layers: list[Layer] = []
    ends = []
    for stage in stages:
        layers += [_layer(module) for module in stage.modules() if isinstance(module, _COUNTED)]
        ends.append(len(layers))
    fields = [1, *layer_fields(layers)]
    return [fields[end] for end in ends]


def _layer(module: Any) -> Layer:
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        raise ValueError("Transposed convolutions are not counted; measure the network in place of it.")
    sides = (module.kernel_size, module.stride, getattr(module, "dilation", 1))
    numbers = [set(side) if isinstance(side, tuple) else {side} for side in sides]
    if any(len(found) != 1 for found in numbers):
        raise ValueError(f"Layers must be the same along all axes, got {module}.")
    return Layer(*(int(found.pop()) for found in numbers))


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
