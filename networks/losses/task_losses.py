"""What the ways to add up tasks share: losses by the names of their heads."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch


def in_order(losses: Mapping[str, torch.Tensor], names: Collection[str]) -> torch.Tensor:
    """Give the losses (T,) in the order of the names.

    Raises:
        ValueError: when a loss is missing, or there is one more.
    """
    if set(losses) != set(names):
        raise ValueError(
            f"losses of {', '.join(sorted(names))} are added up, got {', '.join(sorted(losses)) or 'none'}."
        )
    return torch.stack([losses[name] for name in names])
