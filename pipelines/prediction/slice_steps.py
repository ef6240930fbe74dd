"""Which preprocessing can be done slab by slab: what comes of a slice depends on that slice alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monai.transforms import (
    AsDiscreted,
    CastToTyped,
    Compose,
    DeleteItemsd,
    DivisiblePadd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Resized,
    ScaleIntensityRanged,
)

from transforms.io.columns_first import ColumnsFirstd

# Turning axes is done at once: it moves voxels and computes nothing. Pictures are turned too, and what lies beside an
# image may be deleted.
_READING = (LoadImaged, EnsureChannelFirstd, ColumnsFirstd, DeleteItemsd, Orientationd)
_POINTWISE = (EnsureTyped, CastToTyped, ScaleIntensityRanged)


def split_steps(preprocessing: Compose, slice_axis: int) -> tuple[Compose, Compose] | None:
    """Part preprocessing into what reads a file, and what can then be done with any run of its slices.

    Args:
        preprocessing: of a volume (C, H, W, D).
        slice_axis: spatial axis of the slices, from 0.

    Returns:
        Both parts, axes being turned in the first; None where a step looks at the whole volume, changes its slices, or
        is not known.
    """
    steps = list(preprocessing.transforms)
    count = next((place for place, step in enumerate(steps) if type(step) not in _READING), len(steps))
    opening, rest = steps[:count], steps[count:]
    if not opening or not all(_leaves_slices_alone(step, slice_axis) for step in rest):
        return None
    return Compose(opening), Compose(rest)


def _leaves_slices_alone(step: Any, axis: int) -> bool:
    if type(step) in _POINTWISE:
        return True
    if type(step) is NormalizeIntensityd:
        return step.normalizer.subtrahend is not None and step.normalizer.divisor is not None
    if type(step) is Resized:
        resize = step.resizer
        sizes = resize.spatial_size
        return resize.size_mode == "all" and isinstance(sizes, list | tuple) and len(sizes) == 3 and sizes[axis] <= 0
    if type(step) is DivisiblePadd:
        divisor: Any = vars(step.padder)["k"]
        return divisor == 1 if isinstance(divisor, int) else len(divisor) == 3 and divisor[axis] in (0, 1)
    return False


def is_argmax(step: Any) -> bool:
    """Whether a step of the postprocessing decides for the most probable class, voxel by voxel, and does no more."""
    if type(step) is not AsDiscreted:
        return False
    told = (step.to_onehot, step.threshold, step.rounding)
    # Called, it takes options of the converter too, such as another dimension.
    return all(step.argmax) and not step.converter.kwargs and all(value is None for values in told for value in values)


def slab_ranges(count: int, thickness: int) -> Iterator[tuple[int, int]]:
    """Give the runs of slices, from and to below, into which ``count`` slices are cut."""
    for start in range(0, count, thickness):
        yield start, min(start + thickness, count)
