"""The heads of a network with several tasks: masks, distances, level sets, classes of the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn

MASK, DISTANCE, LEVEL_SET, CLASSIFICATION = KINDS = ("mask", "distance", "level_set", "classification")


class HeadSpec(NamedTuple):
    """What a head is.

    Attributes:
        kind: ``mask`` gives logits of the foreground classes, whose background has an implicit logit of 0;
            ``distance`` any number, to be compared with distances from 0 upwards; ``level_set`` numbers in (-1, 1), by
            ``tanh``; ``classification`` logits of the image as a whole.
        out_channels: of what it gives.
        minimum_subtracted: of a distance, subtract its smallest value in each image and channel: the published form,
            which cannot tell an image without a structure from one full of it.
    """

    kind: str
    out_channels: int
    minimum_subtracted: bool = False


def read_heads(heads: Mapping[str, Mapping[str, Any]]) -> dict[str, HeadSpec]:
    """Check what a configuration says of heads.

    Args:
        heads: by the head's name, ``kind``, ``out_channels`` and, of a distance, ``minimum_subtracted``.

    Raises:
        ValueError: when there is none, a name is none that a module can have, or an option is unknown, missing or out
            of its range.
    """
    if not heads:
        raise ValueError("heads must name at least one head.")
    return {name: _read_head(name, dict(options)) for name, options in heads.items()}


def _read_head(name: str, options: dict[str, Any]) -> HeadSpec:
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(f"{name} cannot be the name of a head.")
    unknown = sorted(options.keys() - set(HeadSpec._fields))
    missing = sorted({"kind", "out_channels"} - options.keys())
    if unknown or missing:
        told = f"has no option {', '.join(unknown)}" if unknown else f"needs {' and '.join(missing)}"
        raise ValueError(f"The head {name} {told}; there are {', '.join(HeadSpec._fields)}.")
    spec = HeadSpec(**options)
    if spec.kind not in KINDS:
        raise ValueError(f"The kind of the head {name} must be one of {', '.join(KINDS)}, got {spec.kind}.")
    if spec.out_channels < 1:
        raise ValueError(f"out_channels of the head {name} must be at least 1, got {spec.out_channels}.")
    if spec.minimum_subtracted and spec.kind != DISTANCE:
        raise ValueError(f"minimum_subtracted is an option of distances, and {name} is of the kind {spec.kind}.")
    return spec


class MinimumSubtracted(nn.Module):
    """Subtract the smallest value of each image and channel, so that the least distance is 0.

    Args:
        spatial_dims: 2 or 3.
    """

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        self.largest = Pool[Pool.ADAPTIVEMAX, spatial_dims](1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, C, H, W[, D]) from 0 upwards for any (B, C, H, W[, D])."""
        return x + self.largest(-x)


class ClassificationHead(nn.Module):
    """Logits of the image as a whole: mean over its voxels, then a linear layer.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the features.
        out_channels: logits.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give logits (B, out_channels) for features (B, in_channels, H, W[, D])."""
        return self.linear(self.pool(features).flatten(1))


def dense_head(spatial_dims: int, in_channels: int, spec: HeadSpec) -> nn.Sequential:
    """Make the head of a task with a value per voxel: a 1x1 convolution and what the kind asks for behind it."""
    layers: list[nn.Module] = [Conv[Conv.CONV, spatial_dims](in_channels, spec.out_channels, 1)]
    if spec.kind == LEVEL_SET:
        layers.append(nn.Tanh())
    if spec.minimum_subtracted:
        layers.append(MinimumSubtracted(spatial_dims))
    return nn.Sequential(*layers)


# Of regression heads, whose targets are small: the width with which they begin, beside that of He et al.
REGRESSION_WIDTH = 0.1


@torch.no_grad()
def begin_undecided(head: nn.Module, spec: HeadSpec) -> None:
    """Let a head of :func:`dense_head` begin near its bias whatever is drawn.

    Features behind a norm and a ReLU are never negative and have one mean. Where nearly all weights of a mask's head
    have one sign, a logit can hardly cross zero, and a class that is rare drives the few others over in the first
    iterations: the head then takes hundreds to come back, or never does. Weights that add up to nothing have both
    signs. A regression that begins with large values would at first train the encoder for it alone.

    Args:
        head: with weights drawn already.
        spec: what it is.
    """
    weight = cast(torch.Tensor, head.get_submodule("0").weight)
    if weight.shape[1] > 1:
        weight -= weight.mean(dim=1, keepdim=True)
    if spec.kind != MASK:
        weight *= REGRESSION_WIDTH
