"""Mean and standard deviation of the intensities of the training cases: what all images are standardised by.

They are of training cases alone. The statistics of test images, by which github
ShawnBIT/AI-Challenger-Retinal-Edema-Segmentation standardises those, are not there when one image is segmented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import progress
from pipelines.keys import Keys
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume

__all__ = ["IntensityMoments", "intensity_statistics"]

_AT_ONCE = 2**22


class IntensityMoments:
    """Count, mean and sum of squared deviations of values that come in parts, in float64.

    Parts are put together as by Chan, Golub and LeVeque (Updating formulae and a pairwise algorithm for computing
    sample variances, 1979), which loses no digits where a sum of squares would.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in an array of any shape and type; no more than a few million values are converted at a time."""
        flat = values.ravel(order="K")
        for start in range(0, flat.size, _AT_ONCE):
            part = flat[start : start + _AT_ONCE].astype(np.float64)
            mean = float(part.mean())
            self._merge(part.size, mean, float(np.square(part - mean).sum()))

    def _merge(self, count: int, mean: float, squares: float) -> None:
        total = self.count + count
        step = mean - self.mean
        self.mean += step * count / total
        self.squares += squares + step * step * self.count * count / total
        self.count = total

    @property
    def std(self) -> float:
        """Standard deviation of all values (not of a sample); 0 without any."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


def intensity_statistics(cases: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Measure the intensities of all voxels of the given cases, all channels together; one case is in memory at a time.

    Args:
        cases: training entries, whose ``image`` is a path or a list of them.

    Returns:
        Mean and standard deviation.

    Raises:
        InputError: when there is no case, an image cannot be read, or all voxels have one value.
    """
    moments = IntensityMoments()
    for entry in progress(cases, "measuring intensities", total=len(cases)):
        image = entry[Keys.IMAGE.value]
        for path in [image] if isinstance(image, str | Path) else image:
            moments.add(read_volume(path).array)
    if not moments.count:
        raise InputError("training", "has no image whose intensities could be measured")
    if moments.std == 0:
        raise InputError("training", f"every voxel of its images has the value {moments.mean:g}")
    return moments.mean, moments.std
