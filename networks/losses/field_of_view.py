"""Means over the part of an image that counts."""

from __future__ import annotations

import torch


def within_field(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Give the values (B, C, ...) with zeros where the mask (B, 1, ...) is not positive; without a mask, as they are.

    Raises:
        ValueError: when the mask does not have the size of the values.
    """
    if mask is None:
        return values
    if mask.shape != (values.shape[0], 1, *values.shape[2:]):
        raise ValueError(f"Values {tuple(values.shape)} want a mask (B, 1, ...), got {tuple(mask.shape)}.")
    return torch.where(mask > 0, values, torch.zeros((), dtype=values.dtype, device=values.device))


def field_mean(values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Give the mean (a scalar) of the values (B, C, ...) at which the mask (B, 1, ...) is positive.

    It is zero, with a gradient of zeros, when the mask is positive nowhere.

    Raises:
        ValueError: when the mask does not have the size of the values.
    """
    if mask is None:
        return values.mean()
    return within_field(values, mask).sum() / field_size(values, mask).clamp(min=1)


def field_size(values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Count the values (B, C, ...) at which the mask (B, 1, ...) is positive: a scalar."""
    if mask is None:
        return torch.tensor(values.numel(), device=values.device)
    return (mask > 0).sum() * values.shape[1]
