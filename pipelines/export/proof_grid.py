"""The grid of the synthetic images that an export proves itself on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of networks that take images as they are: uneven sides, and more slices than go into the network at once.
SLICE_SIDES = (48, 40)
SLICES = 10


def proof_window(config: Mapping[str, Any]) -> list[int]:
    """Give the sides, in voxels, of an image that a run's network takes at once: its window, or an image of its own
    where it has none.
    """
    if "patch_size" in config:
        return [int(side) for side in config["patch_size"]]
    sides = list(SLICE_SIDES)
    if int(config["spatial_dims"]) == 3:
        axis = int(config.get("slice_axis", -1)) % 3
        sides.insert(axis, max(SLICES, int(config.get("slices_at_once", 1)) + 2))
    return sides


def proof_spacing(config: Mapping[str, Any]) -> list[float]:
    """Give the spacing, in mm, of the grid that a run's network works on: 1 where images stay as they are."""
    return [float(step) for step in config.get("spacing_mm") or [1.0] * int(config["spatial_dims"])]
