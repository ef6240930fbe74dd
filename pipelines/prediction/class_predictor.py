"""What makes class probabilities of a run's network: softmax over its logits, or a head of a dual-task network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import nn

from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.softmax_predictor import SoftmaxPredictor

SOFTMAX = "softmax"

ClassPredictor: TypeAlias = DualTaskPredictor | SoftmaxPredictor


def head_of(config: Mapping[str, Any]) -> str:
    """Give a configuration's ``head``: ``mask``, ``level_set`` or ``mean`` of a dual-task network; ``softmax``, also
    where it names none, of a network that gives logits of all classes.
    """
    return str(config.get("head") or SOFTMAX)


def class_predictor(network: nn.Module, config: Mapping[str, Any]) -> ClassPredictor:
    """Make the predictor of a run's network.

    Args:
        network: the trained network.
        config: the run's configuration; of a dual-task network, ``head`` and ``k`` are looked at.

    Raises:
        ValueError: for a head that there is not.
        KeyError: when a dual-task network's configuration has no ``k``.
    """
    head = head_of(config)
    if head == SOFTMAX:
        return SoftmaxPredictor(network)
    return DualTaskPredictor(network, k=float(config["k"]), head=head)
