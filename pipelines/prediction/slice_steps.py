"""Which preprocessing can be done slab by slab: what comes of a slice depends on that slice alone."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
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
from monai.utils import get_equivalent_dtype

from transforms.io.columns_first import ColumnsFirstd

# Turning axes is done at once: it moves voxels and computes nothing. Pictures are turned too, and what lies beside an
# image may be deleted.
_READING = (LoadImaged, EnsureChannelFirstd, ColumnsFirstd, DeleteItemsd, Orientationd)
_POINTWISE = (EnsureTyped, CastToTyped, ScaleIntensityRanged)


@dataclass(frozen=True)
class SliceSteps:
    """Preprocessing in two parts, which one after the other do what the whole does.

    Attributes:
        reading: reads a file as the type that it is stored in, and turns its axes.
        dtype: what the second part takes.
        rest: can be done with any run of slices.
    """

    reading: Compose
    dtype: torch.dtype
    rest: Compose

    def kept(self, image: torch.Tensor) -> torch.Tensor:
        """Give what is to be kept of all slices: as stored, where that takes less memory than ``dtype``."""
        return image if image.element_size() < self.dtype.itemsize else image.to(self.dtype)


def split_steps(preprocessing: Compose, slice_axis: int) -> SliceSteps | None:
    """Part preprocessing into what reads a file, and what can then be done with any run of its slices.

    Args:
        preprocessing: of a volume (C, H, W, D).
        slice_axis: spatial axis of the slices, from 0.

    Returns:
        Both parts, axes being turned in the first; None where a step looks at the whole volume, changes its slices, or
        is not known, or no step reads a file.
    """
    steps = list(preprocessing.transforms)
    count = next((place for place, step in enumerate(steps) if type(step) not in _READING), len(steps))
    opening, rest = steps[:count], steps[count:]
    if not opening or type(opening[0]) is not LoadImaged or not all(_leaves_slices_alone(s, slice_axis) for s in rest):
        return None
    load = cast(Any, opening[0])
    dtype = get_equivalent_dtype(load._loader.dtype, torch.Tensor) or torch.float32
    return SliceSteps(Compose([_as_stored(load), *opening[1:]]), dtype, Compose(rest))


def _as_stored(load: Any) -> Any:
    """Give the same step without its cast: a B-scan of bytes takes a fourth of what it takes as floats."""
    load = copy(load)
    load._loader = copy(load._loader)
    load._loader.dtype = None
    return load


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
