"""Padding to the sides that a network's poolings divide evenly, and back."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def pad_to_divisor(x: torch.Tensor, divisor: int) -> tuple[torch.Tensor, list[int]]:
    """Pad the spatial sides of (B, C, H, W[, D]) with zeros to multiples of ``divisor``, as much behind as before.

    Returns:
        The padded tensor, and how much went before each side.
    """
    padding: list[int] = []
    before: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):
        missing = -x.shape[axis] % divisor
        padding.extend([missing // 2, missing - missing // 2])
        before.insert(0, missing // 2)
    return (F.pad(x, padding) if sum(padding) > 0 else x), before


def crop_back(x: torch.Tensor, image: torch.Tensor, before: list[int]) -> torch.Tensor:
    """Undo the padding: give ``x`` (B, K, H, W[, D]) the spatial sides of ``image``."""
    for axis in range(len(before)):
        x = x.narrow(axis + 2, before[axis], image.shape[axis + 2])
    return x
