"""What there is to know of a network that says which slices of an image hold what, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from networks.nets.dropout_average import DropoutAverage
from networks.nets.flip_average import FlipAverage


@dataclass(frozen=True)
class DetectingNetwork:
    """What a network finds, and in what.

    Attributes:
        neighbours: slices on either side that have a say in what is found in one; 0 for single images.
        slice_axis: spatial axis of the slices, from 0; None for single images.
        gives_mask: whether it gives class probabilities.
        tells_presence: whether it tells what is present.
    """

    neighbours: int
    slice_axis: int | None
    gives_mask: bool
    tells_presence: bool

    @classmethod
    def of(cls, network: torch.nn.Module) -> DetectingNetwork | None:
        """Look at a :class:`networks.nets.SlicePredictor`, exported as TorchScript or not, averaged or not; None for
        any other network.
        """
        inner: Any = network
        while isinstance(inner, FlipAverage | DropoutAverage):
            inner = inner.network
        neighbours, axis, dims = (getattr(inner, name, None) for name in ("neighbours", "axis", "spatial_dims"))
        if neighbours is None or axis is None or dims not in (2, 3) or not hasattr(inner, "presence"):
            return None
        in_slices = dims == 3
        return cls(
            int(neighbours) if in_slices else 0,
            int(axis) - 2 if in_slices else None,
            bool(inner.has_mask),
            bool(inner.has_presence),
        )
