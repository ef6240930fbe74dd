"""Whether an image looks like those that a network has learnt from, where it is standardised by their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from monai.transforms import NormalizeIntensityd

# In standard deviations of the training cases. Another device is a matter of one or two; 16 bit for 8 of hundreds.
FARTHEST_MEAN = 5.0
LEAST_SPREAD, LARGEST_SPREAD = 0.1, 10.0


def has_fixed_scale(steps: Iterable[Any]) -> bool:
    """Whether preprocessing ends with standardising by numbers that are the same for every image."""
    last = next(reversed(list(steps)), None)
    if type(last) is not NormalizeIntensityd:
        return False
    return last.normalizer.subtrahend is not None and last.normalizer.divisor is not None


class IntensityCheck:
    """Collects the mean and the spread of a standardised image from its parts."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, part: torch.Tensor) -> None:
        """Take in a part of any shape."""
        self._count += part.numel()
        self._sum += float(part.sum(dtype=torch.float64))
        self._squares += float(torch.linalg.vector_norm(part, dtype=torch.float64) ** 2)

    def warning(self) -> str | None:
        """Say what is strange about the image; None when nothing is."""
        if not self._count:
            return None
        mean = self._sum / self._count
        spread = math.sqrt(max(0.0, self._squares / self._count - mean**2))
        if abs(mean) <= FARTHEST_MEAN and LEAST_SPREAD <= spread <= LARGEST_SPREAD:
            return None
        return (
            f"its mean is {mean:+.1f} standard deviations of the training cases away from theirs and it varies "
            f"{spread:.2g} times as much; is it of another scale, as 16 bit for 8, or does it show something else?"
        )
