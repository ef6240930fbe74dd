"""Convolutions of one voxel that mix channels by a matrix: how networks of parts in a row pass values along."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

Convolution: TypeAlias = nn.Conv2d | nn.Conv3d


def as_convolution(module: nn.Module) -> Convolution:
    """Give the module.

    Raises:
        TypeError: when it is no convolution.
    """
    if not isinstance(module, nn.Conv2d | nn.Conv3d):
        raise TypeError(f"a convolution is meant, got {type(module).__name__}")
    return module


def weights_of(convolution: Convolution) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the weights (K, C) of a convolution of one voxel, and its biases (K)."""
    weight = convolution.weight.detach().flatten(1)
    bias = convolution.bias
    return weight, torch.zeros(len(weight)) if bias is None else bias.detach()


def mixing(like: Convolution, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Convolution:
    """Give the convolution of one voxel, in as many dimensions as ``like``, that mixes channels by a (K, C) matrix."""
    mixed = type(like)(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    with torch.no_grad():
        mixed.weight.copy_(weight.reshape(mixed.weight.shape))
        if mixed.bias is not None and bias is not None:
            mixed.bias.copy_(bias)
    return mixed


def background_first(head: nn.Module) -> Convolution:
    """Copy the 1x1 convolution of a mask head, with a background channel before the others whose logit is zero.

    Raises:
        TypeError: when it is no convolution.
    """
    convolution = as_convolution(head)
    weight, bias = weights_of(convolution)
    none = torch.zeros(1, weight.shape[1])
    return mixing(convolution, torch.cat([none, weight]), torch.cat([none[0, :1], bias]))


def picking(like: Convolution, channels: int, first: int, count: int) -> Convolution:
    """Give the convolution that gives ``count`` of ``channels`` channels, from number ``first`` on, as they are."""
    return mixing(like, torch.eye(channels)[first : first + count])
