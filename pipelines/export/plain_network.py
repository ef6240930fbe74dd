"""The network written as one expression of torch's and MONAI's modules, for programs that build networks by name."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import nn

from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.dual_task_vnet import SIZE_DIVISOR, ConvStage, DualTaskVNet
from networks.nets.lraspp_mobilenet import LRASPPMobileNet
from networks.nets.multi_task_predictor import MultiTaskPredictor
from networks.nets.softmax_predictor import SoftmaxPredictor
from networks.nets.upscaled_network import UpscaledNetwork
from pipelines.export.channel_mixing import Convolution, as_convolution, background_first, mixing, weights_of
from pipelines.export.plain_mobile_network import plain_mobile_network
from pipelines.export.plain_unet import plain_unet
from pipelines.prediction.class_predictor import ClassPredictor

# What a module is built with; what is not named here has no part in the network's evaluation.
PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        [f"{kind}{dims}d" for kind in ("Conv", "ConvTranspose") for dims in (2, 3)],
        ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    ),
    **dict.fromkeys([f"BatchNorm{dims}d" for dims in (2, 3)], ("num_features", "eps")),
    **dict.fromkeys([f"InstanceNorm{dims}d" for dims in (2, 3)], ("num_features", "eps", "affine")),
    "GroupNorm": ("num_groups", "num_channels", "eps", "affine"),
    **dict.fromkeys([f"AdaptiveAvgPool{dims}d" for dims in (2, 3)], ("output_size",)),
    **dict.fromkeys([f"MaxPool{dims}d" for dims in (2, 3)], ("kernel_size", "stride", "padding")),
    "Upsample": ("scale_factor", "mode", "align_corners"),
    "Softmax": ("dim",),
    **dict.fromkeys(["ReLU", "ReLU6", "Tanh", "Sigmoid", "Hardsigmoid", "Hardswish"], ()),
}


def plain_predictor(predictor: ClassPredictor) -> nn.Sequential:
    """Rebuild an exported predictor from torch's and MONAI's own modules.

    Its sides must be multiples of 16. It gives the same probabilities (B, K + 1, H, W[, D]), background first, by the
    head that the predictor has now, if it has a choice.

    Args:
        predictor: of the trained network; it is left as it is.

    Raises:
        ValueError: for a network that is no :class:`networks.nets.DualTaskVNet`, no mask head of a
            :class:`networks.nets.MultiTaskUNet` without attention gates, and none of
            :class:`networks.nets.LRASPPMobileNet` with the standard head, as it is or in a
            :class:`networks.nets.UpscaledNetwork` that keeps multiples of its stride.
    """
    network = predictor.network
    if isinstance(predictor, SoftmaxPredictor | MultiTaskPredictor):
        return nn.Sequential(*plain_logits(predictor), nn.Softmax(dim=1)).eval()
    if not isinstance(predictor, DualTaskPredictor) or not isinstance(network, DualTaskVNet):
        raise ValueError(f"{type(network).__name__} cannot be written as modules of torch or MONAI.")
    by_mask = [background_first(network.mask_head), nn.Softmax(dim=1)]
    if predictor.head == "mask":
        return nn.Sequential(*_body(network), *by_mask).eval()
    sdf_head = as_convolution(network.sdf_head)
    steepness = mixing(sdf_head, -predictor.k * torch.eye(sdf_head.out_channels))
    by_level_set = [nn.Tanh(), steepness, nn.Sigmoid()]
    if predictor.head == "level_set":
        head = [copy.deepcopy(sdf_head), *by_level_set, *_background_before(sdf_head)]
    else:
        head = _mean_of(by_mask, sdf_head, by_level_set)
    return nn.Sequential(*_body(network), *head).eval()


def takes_windows(window: Sequence[int]) -> bool:
    """Whether what :func:`plain_predictor` makes can be given windows of these sides."""
    return all(side % SIZE_DIVISOR == 0 for side in window)


def plain_logits(predictor: ClassPredictor) -> nn.Sequential:
    """Rebuild what an exported predictor takes the softmax of (of two heads, the mask head) from torch's and MONAI's
    own modules.

    Raises:
        ValueError: as for :func:`plain_predictor`.
    """
    network = predictor.network
    if isinstance(predictor, SoftmaxPredictor) and isinstance(network, LRASPPMobileNet):
        return plain_mobile_network(network)
    if isinstance(predictor, SoftmaxPredictor) and isinstance(network, UpscaledNetwork):
        return _upscaled(network)
    if isinstance(predictor, DualTaskPredictor) and isinstance(network, DualTaskVNet):
        return plain_network(network)
    if isinstance(predictor, MultiTaskPredictor) and len(predictor.choices[predictor.head]) == 1:
        return plain_unet(predictor.network, predictor.choices[predictor.head][0])
    raise ValueError(f"{type(network).__name__} cannot be written as modules of torch or MONAI.")


def _upscaled(network: UpscaledNetwork) -> nn.Sequential:
    """Put the change of size before and after, where multiples of 16 become multiples of the network's own stride."""
    inner = network.network
    if not isinstance(inner, LRASPPMobileNet) or network.factor * SIZE_DIVISOR % inner.backbone.deep_stride != 0:
        raise ValueError(f"{type(inner).__name__} on images {network.factor:g} times as large cannot be written so.")
    plain = plain_mobile_network(inner)
    if network.factor == 1.0:
        return plain
    # A hair more than the inverse: what it makes of a side is rounded down.
    up, down = network.factor, (1 + 1e-9) / network.factor
    mode = inner.interpolation
    return nn.Sequential(
        nn.Upsample(scale_factor=up, mode=mode, align_corners=False),
        *plain,
        nn.Upsample(scale_factor=down, mode=mode, align_corners=False),
    ).eval()


def plain_network(network: DualTaskVNet) -> nn.Sequential:
    """Rebuild the mask part of a trained network from torch's and MONAI's own modules.

    Its sides must be multiples of 16. It gives (B, K + 1, H, W[, D]) logits, of which the background's are zero:
    softmax over them is what the mask head says (:func:`networks.layers.class_probabilities.foreground_probabilities`).

    Args:
        network: the trained network; it is left as it is.
    """
    return nn.Sequential(*_body(network), background_first(network.mask_head)).eval()


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
        given += [f"{name}={getattr(module, name)!r}" for name in ("dilation", "groups") if not _is_one(module, name)]
        given.append(f"bias={module.bias is not None}")
    return f"torch.nn.{kind}({', '.join(given)})"


def _is_one(module: nn.Module, name: str) -> bool:
    value = getattr(module, name)
    return set(value if isinstance(value, tuple) else (value,)) == {1}


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


def _background_before(head: Convolution) -> list[nn.Module]:
    """Put what the K probabilities of a head leave of one before them; none where they are more than one."""
    classes = head.out_channels
    weight = torch.cat([-torch.ones(1, classes), torch.eye(classes)])
    return [mixing(head, weight, torch.eye(classes + 1)[0]), nn.ReLU()]


def _mean_of(by_mask: Sequence[nn.Module], sdf_head: Convolution, by_level_set: Sequence[nn.Module]) -> list[nn.Module]:
    """Give the mean of two heads in a row of modules: each puts what it says behind the features that both read."""
    features, classes = sdf_head.in_channels, sdf_head.out_channels
    weight, bias = weights_of(sdf_head)
    past_mask = mixing(sdf_head, torch.cat([weight, torch.zeros(classes, classes + 1)], dim=1), bias)
    # Of the channels then there, those of the classes from either head count by half.
    half = torch.eye(classes) / 2
    joined = mixing(sdf_head, torch.cat([torch.zeros(classes, features + 1), half, half], dim=1))
    return [
        SkipConnection(nn.Sequential(*by_mask), mode="cat"),
        SkipConnection(nn.Sequential(past_mask, *by_level_set), mode="cat"),
        joined,
        *_background_before(sdf_head),
    ]
