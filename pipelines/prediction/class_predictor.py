"""What makes class probabilities of a run's network: softmax over its logits, one of its heads, or slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from networks.blocks.task_heads import LEVEL_SET
from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.multi_task_predictor import MultiTaskPredictor
from networks.nets.multi_task_unet import MultiTaskUNet
from networks.nets.slice_predictor import SlicePredictor
from networks.nets.softmax_predictor import SoftmaxPredictor
from transforms.io.input_error import InputError

SOFTMAX = "softmax"
SLICES = "slices"
STEEPNESS = 1500.0

ClassPredictor: TypeAlias = DualTaskPredictor | MultiTaskPredictor | SlicePredictor | SoftmaxPredictor


def head_of(config: Mapping[str, Any]) -> str:
    """Give a configuration's ``head``: ``mask``, ``level_set`` or ``mean`` of a dual-task network; one of a multi-task
    network's own; ``slices`` of a network that looks at slices and their neighbours; ``softmax``, also where it names
    none, of a network that gives logits of all classes.
    """
    return str(config.get("head") or SOFTMAX)


def class_predictor(network: nn.Module, config: Mapping[str, Any]) -> ClassPredictor:
    """Make the predictor of a run's network.

    Args:
        network: the trained network; one of the class :class:`networks.nets.MultiTaskUNet` tells its heads itself.
        config: the run's configuration; of a network with several heads, ``head`` and ``k`` are looked at, of one of
            slices ``neighbours``, ``spatial_dims``, ``slice_axis`` and ``slices_at_once``.

    Raises:
        ValueError: for a head that there is not.
        KeyError: when a dual-task network's configuration has no ``k``, or one of slices no ``neighbours``.
    """
    head = head_of(config)
    if head == SLICES:
        return SlicePredictor(
            network,
            neighbours=int(config["neighbours"]),
            spatial_dims=int(config.get("spatial_dims", 3)),
            slice_axis=int(config.get("slice_axis", -1)),
            slices_at_once=int(config.get("slices_at_once", 8)),
        )
    if isinstance(network, MultiTaskUNet):
        return MultiTaskPredictor(network, head=head, k=float(config.get("k", STEEPNESS)))
    if head == SOFTMAX:
        return SoftmaxPredictor(network)
    return DualTaskPredictor(network, k=float(config["k"]), head=head)


def choose_head(predictor: Any, head: str, source: Path) -> None:
    """Let another head decide.

    Args:
        predictor: of a run, or the network of an exported bundle, which may be anything.
        head: the head.
        source: where it comes from.

    Raises:
        InputError: when it has no such head, or no choice.
    """
    if not isinstance(getattr(predictor, "head", None), str):
        raise InputError("--head", f"the network of {source} has no choice of heads")
    choices = _choices(predictor)
    if choices is not None and head not in choices:
        raise InputError("--head", f"the network of {source} has {', '.join(choices)}, not {head}")
    predictor.head = head


def level_set_of(predictor: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Give what makes the level sets (B, K, H, W[, D]) of images; None where the network has none.

    Args:
        predictor: as for :func:`choose_head`.
    """
    network: Any = getattr(predictor, "network", None)
    if network is None or not isinstance(getattr(predictor, "head", None), str):
        return None
    choices = _choices(predictor)
    if choices is None:
        return lambda image: network(image).sdf
    names = choices.get(LEVEL_SET, [])
    return (lambda image: network(image, names)[names[0]]) if names else None


def _choices(predictor: Any) -> dict[str, list[str]] | None:
    choices = getattr(predictor, "choices", None)
    return choices if isinstance(choices, dict) else None
