"""Which axes test-time augmentation mirrors: by number, or by what they are in a slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from pipelines.prediction.detecting_network import DetectingNetwork
from pipelines.prediction.options import FLIP_NAMES
from transforms.io.input_error import InputError

LEFT_RIGHT, UP_DOWN, SLICES = FLIP_NAMES


def flip_axes(flips: Sequence[int | str], dims: int, network: nn.Module, source: Path) -> tuple[int, ...]:
    """Give the numbers of the axes to mirror.

    Args:
        flips: axes from 0; of networks that look at slices also ``lr`` and ``ud``, along the rows and the columns of a
            slice, and ``slices``, their order.
        dims: spatial dimensions of the network's images, (H, W[, D]).
        network: the network.
        source: where it comes from.

    Raises:
        InputError: when there is no such axis, or one is named twice.
    """
    names = _named_axes(dims, DetectingNetwork.of(network))
    axes: list[int] = []
    for flip in flips:
        if isinstance(flip, str) and flip not in names:
            told = f"has {', '.join(names)}" if names else "looks at no slices; its axes have numbers"
            raise InputError("--flips", f"{flip} is not there; the network of {source} {told}")
        axis = names[flip] if isinstance(flip, str) else flip
        if not 0 <= axis < dims:
            raise InputError("--flips", f"axis {axis} is not there; the network's axes are 0 to {dims - 1}")
        if axis in axes:
            raise InputError("--flips", f"{flip} is an axis that is mirrored already")
        axes.append(axis)
    return tuple(axes)


def _named_axes(dims: int, known: DetectingNetwork | None) -> dict[str, int]:
    if known is None:
        return {}
    rows, columns = (axis for axis in range(dims) if axis != known.slice_axis)
    named = {LEFT_RIGHT: columns, UP_DOWN: rows}
    return named if known.slice_axis is None else {**named, SLICES: known.slice_axis}
