"""Dropout that draws in evaluation too, from a generator of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeGuard

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

ELEMENTS, CHANNELS = (nn.Dropout,), (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class SeededDropout(nn.Module):
    """Set values to zero with probability ``p`` and multiply the others by ``1 / (1 - p)``, in every mode.

    It draws from what :func:`drawing_from` has given it.

    Args:
        p: from 0 to below 1.
        channels: drop whole channels of an item, instead of values.
    """

    def __init__(self, p: float, channels: bool = False) -> None:
        super().__init__()
        self.p, self.channels = float(p), channels
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give (B, C, ...) of the same shape.

        Raises:
            RuntimeError: outside of :func:`drawing_from`.
        """
        if self.generator is None:
            raise RuntimeError("A seeded dropout has been given nothing to draw from.")
        shape = [*x.shape[:2], *[1] * (x.dim() - 2)] if self.channels else list(x.shape)
        kept = torch.rand(shape, generator=self.generator, device=x.device) >= self.p
        return x * (kept / (1.0 - self.p)).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the options in the module's representation."""
        return f"p={self.p:g}, channels={self.channels}"


@contextmanager
def drawing_from(generator: torch.Generator, dropouts: Sequence[SeededDropout]) -> Iterator[None]:
    """Let dropouts draw from a generator, which is on the device of their inputs."""
    for dropout in dropouts:
        dropout.generator = generator
    try:
        yield
    finally:
        for dropout in dropouts:
            dropout.generator = None  # it cannot be copied or saved with the network


def has_dropout(network: nn.Module) -> bool:
    """Tell whether :func:`with_seeded_dropout` finds something to replace.

    What TorchScript has compiled it cannot look into, whatever there was before.
    """
    return any(_is_dropout(module) for module in network.modules())


def with_seeded_dropout(network: nn.Module) -> tuple[nn.Module, list[SeededDropout]]:
    """Copy a network, every dropout in it replaced by one that draws from a generator of its own.

    Args:
        network: it is left as it is; the copy has the same weights and mode.

    Returns:
        The copy, and its dropouts in the order in which it defines them; none where all probabilities are zero.
    """
    copied = copy.deepcopy(network)
    dropouts = []
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if _is_dropout(child):
                dropouts.append(SeededDropout(child.p, isinstance(child, CHANNELS)))
                setattr(parent, name, dropouts[-1])
    return copied, dropouts


def _is_dropout(module: nn.Module) -> TypeGuard[_DropoutNd]:
    return isinstance(module, ELEMENTS + CHANNELS) and 0.0 < module.p < 1.0
