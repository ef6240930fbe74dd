"""The network written as one expression of torch's and MONAI's modules, for programs that build networks by name."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import nn

from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.dual_task_vnet import SIZE_DIVISOR, ConvStage, DualTaskVNet

# What a module is built with; what is not named here has no part in the network's evaluation.
PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        [f"{kind}{dims}d" for kind in ("Conv", "ConvTranspose") for dims in (2, 3)],
        ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    ),
    **dict.fromkeys([f"BatchNorm{dims}d" for dims in (2, 3)], ("num_features", "eps")),
    **dict.fromkeys([f"InstanceNorm{dims}d" for dims in (2, 3)], ("num_features", "eps", "affine")),
    "GroupNorm": ("num_groups", "num_channels", "eps", "affine"),
    "Softmax": ("dim",),
    **dict.fromkeys(["ReLU", "Tanh", "Sigmoid"], ()),
}


def plain_predictor(predictor: DualTaskPredictor) -> nn.Sequential:
    """Rebuild an exported predictor from torch's and MONAI's own modules.

    Its sides must be multiples of 16. It gives the same probabilities (B, K + 1, H, W[, D]), background first, by the
    head that the predictor has now.

    Args:
        predictor: of the trained network; it is left as it is.

    Raises:
        ValueError: for a network that is no :class:`networks.nets.dual_task_vnet.DualTaskVNet`.
    """
    network = predictor.network
    if not isinstance(network, DualTaskVNet):
        raise ValueError(f"{type(network).__name__} cannot be written as modules of torch or MONAI.")
    by_mask = [_with_background(network.mask_head), nn.Softmax(dim=1)]
    if predictor.head == "mask":
        return nn.Sequential(*_body(network), *by_mask).eval()
    sdf_head = _convolution(network.sdf_head)
    steepness = _mixing(sdf_head, -predictor.k * torch.eye(sdf_head.out_channels))
    by_level_set = [nn.Tanh(), steepness, nn.Sigmoid()]
    if predictor.head == "level_set":
        head = [copy.deepcopy(sdf_head), *by_level_set, *_background_before(sdf_head)]
    else:
        head = _mean_of(by_mask, sdf_head, by_level_set)
    return nn.Sequential(*_body(network), *head).eval()


def takes_windows(window: Sequence[int]) -> bool:
    """Whether what :func:`plain_predictor` makes can be given windows of these sides."""
    return all(side % SIZE_DIVISOR == 0 for side in window)


def plain_network(network: DualTaskVNet) -> nn.Sequential:
    """Rebuild the mask part of a trained network from torch's and MONAI's own modules.

    Its sides must be multiples of 16. It gives (B, K + 1, H, W[, D]) logits, of which the background's are zero:
    softmax over them is what the mask head says (:func:`networks.layers.class_probabilities.foreground_probabilities`).

    Args:
        network: the trained network; it is left as it is.
    """
    return nn.Sequential(*_body(network), _with_background(network.mask_head)).eval()


def network_expression(module: nn.Module) -> str:
    """Write a network of ``plain_network`` as the Python expression that builds it.

    Raises:
        ValueError: for a module that is none of torch's that are known here.
    """
    if isinstance(module, nn.Sequential):
        return f"torch.nn.Sequential({', '.join(network_expression(child) for child in module)})"
    if isinstance(module, SkipConnection):
        return f"monai.networks.layers.SkipConnection({network_expression(module.submodule)}, mode='{module.mode}')"
    kind = type(module).__name__
    if getattr(nn, kind, None) is not type(module) or kind not in PARAMETERS:
        raise ValueError(f"{kind} cannot be written as a module of torch or MONAI.")
    given = [f"{name}={getattr(module, name)!r}" for name in PARAMETERS[kind]]
    if "Conv" in kind:
        given.append(f"bias={module.bias is not None}")
    return f"torch.nn.{kind}({', '.join(given)})"


def _body(network: DualTaskVNet) -> list[nn.Module]:
    """Give what lies before the heads."""
    return [_stage(network.encoder[0]), *_below(network, 0)]


def _below(network: DualTaskVNet, level: int) -> Sequence[nn.Module]:
    """Give what lies between a level's encoder and the end of its decoder; nothing at the deepest."""
    deepest = len(network.encoder) - 1
    if level == deepest:
        return []
    step = deepest - 1 - level
    way_down = [_copied(network.down[level + 1]), _stage(network.encoder[level + 1])]
    branch = nn.Sequential(*way_down, *_below(network, level + 1), _copied(network.up[step]))
    return [SkipConnection(branch, mode="add"), _stage(network.decoder[step])]


def _stage(stage: nn.Module) -> nn.Sequential:
    if not isinstance(stage, ConvStage):
        raise TypeError(f"a stage of the network is meant, got {type(stage).__name__}")
    body = _copied(stage.body)
    return nn.Sequential(SkipConnection(body, mode="add") if stage.residual else body, nn.ReLU())


def _copied(modules: nn.Module) -> nn.Sequential:
    """Copy a sequence, with activations that leave their input as it is."""
    parts = modules if isinstance(modules, nn.Sequential) else [modules]
    return nn.Sequential(*(nn.ReLU() if isinstance(part, nn.ReLU) else copy.deepcopy(part) for part in parts))


def _with_background(head: nn.Module) -> nn.Module:
    """Copy the mask head, with a background channel before the others whose logit is zero."""
    convolution = _convolution(head)
    weight, bias = _weights_of(convolution)
    none = torch.zeros(1, weight.shape[1])
    return _mixing(convolution, torch.cat([none, weight]), torch.cat([none[0, :1], bias]))


def _background_before(head: nn.Conv2d | nn.Conv3d) -> list[nn.Module]:
    """Put what the K probabilities of a head leave of one before them; none where they are more than one."""
    classes = head.out_channels
    weight = torch.cat([-torch.ones(1, classes), torch.eye(classes)])
    return [_mixing(head, weight, torch.eye(classes + 1)[0]), nn.ReLU()]


def _mean_of(
    by_mask: Sequence[nn.Module], sdf_head: nn.Conv2d | nn.Conv3d, by_level_set: Sequence[nn.Module]
) -> list[nn.Module]:
    """Give the mean of two heads in a row of modules: each puts what it says behind the features that both read."""
    features, classes = sdf_head.in_channels, sdf_head.out_channels
    weight, bias = _weights_of(sdf_head)
    past_mask = _mixing(sdf_head, torch.cat([weight, torch.zeros(classes, classes + 1)], dim=1), bias)
    # Of the channels then there, those of the classes from either head count by half.
    half = torch.eye(classes) / 2
    joined = _mixing(sdf_head, torch.cat([torch.zeros(classes, features + 1), half, half], dim=1))
    return [
        SkipConnection(nn.Sequential(*by_mask), mode="cat"),
        SkipConnection(nn.Sequential(past_mask, *by_level_set), mode="cat"),
        joined,
        *_background_before(sdf_head),
    ]


def _convolution(module: nn.Module) -> nn.Conv2d | nn.Conv3d:
    if not isinstance(module, nn.Conv2d | nn.Conv3d):
        raise TypeError(f"a convolution is meant, got {type(module).__name__}")
    return module


def _weights_of(convolution: nn.Conv2d | nn.Conv3d) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the weights (K, C) of a convolution of one voxel, and its biases (K)."""
    weight = convolution.weight.detach().flatten(1)
    bias = convolution.bias
    return weight, torch.zeros(len(weight)) if bias is None else bias.detach()


def _mixing(like: nn.Conv2d | nn.Conv3d, weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Module:
    """Give the convolution of one voxel, in as many dimensions as ``like``, that mixes channels by a (K, C) matrix."""
    mixed = type(like)(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    with torch.no_grad():
        mixed.weight.copy_(weight.reshape(mixed.weight.shape))
        if mixed.bias is not None and bias is not None:
            mixed.bias.copy_(bias)
    return mixed
