"""Whether predicted probabilities are what they say: reliability bins, calibration errors and the Brier score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """How often predictions of about one probability came true, pooled over any number of images.

    The bins are of one width and divide [0, 1]; each holds its lower edge, the last its upper one too.

    Attributes:
        counts: (N,) int64, how many predictions fell into each bin.
        confidence_sums: (N,) float64, the sum of their probabilities.
        true_sums: (N,) float64, how many of them came true.
    """

    counts: NDArray[np.int64]
    confidence_sums: NDArray[np.float64]
    true_sums: NDArray[np.float64]

    def __add__(self, other: ReliabilityBins) -> ReliabilityBins:
        return ReliabilityBins(
            self.counts + other.counts,
            self.confidence_sums + other.confidence_sums,
            self.true_sums + other.true_sums,
        )

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Mean probability in each bin, (N,); NaN where a bin is empty."""
        return _ratio(self.confidence_sums, self.counts)

    @property
    def frequency(self) -> NDArray[np.float64]:
        """Share of each bin that came true, (N,); NaN where a bin is empty."""
        return _ratio(self.true_sums, self.counts)

    @property
    def expected_error(self) -> float | None:
        """ECE: the mean of \\|frequency - confidence\\|, each bin weighted by its count; None without predictions.

        Reference: Naeini et al., AAAI 2015; Guo et al., *On calibration of modern neural networks*, ICML 2017.
        """
        total = int(self.counts.sum())
        return float(np.abs(self.true_sums - self.confidence_sums).sum() / total) if total else None

    @property
    def average_error(self) -> float | None:
        """ACE: the same mean with all bins that are not empty weighted alike, so that a large and easy background does
        not hide the rest; None without predictions.

        Reference: Neumann et al., *Relaxed softmax*, NeurIPS workshop 2018.
        """
        gaps = self._gaps()
        return float(gaps.mean()) if len(gaps) else None

    @property
    def largest_error(self) -> float | None:
        """MCE: the largest \\|frequency - confidence\\| of a bin; None without predictions."""
        gaps = self._gaps()
        return float(gaps.max()) if len(gaps) else None

    def to_json(self) -> dict[str, list[Any]]:
        """Give counts, mean probabilities and frequencies as lists; None in the place of an empty bin's mean."""
        return {
            "counts": [int(count) for count in self.counts],
            "confidence": [None if np.isnan(value) else float(value) for value in self.confidence],
            "frequency": [None if np.isnan(value) else float(value) for value in self.frequency],
        }

    @classmethod
    def from_sums(cls, sums: Mapping[str, ArrayLike] | ArrayLike) -> ReliabilityBins:
        """Make bins of what :meth:`to_sums` gave."""
        counts, confidence_sums, true_sums = np.asarray(sums, float)
        return cls(counts.astype(np.int64), confidence_sums, true_sums)

    def to_sums(self) -> NDArray[np.float64]:
        """Give everything as one array (3, N), to be stored."""
        return np.stack([self.counts.astype(float), self.confidence_sums, self.true_sums])

    def _gaps(self) -> NDArray[np.float64]:
        filled = self.counts > 0
        return np.abs(self.true_sums[filled] - self.confidence_sums[filled]) / self.counts[filled]


def compute_reliability(confidence: ArrayLike, came_true: ArrayLike, bins: int = BINS) -> ReliabilityBins:
    """Sort predictions into bins by their probability.

    MONAI's ``calibration_binning`` gives bins of one image in float32; these are exact for any number of voxels and
    can be added up over images.

    Args:
        confidence: probabilities in [0, 1], any shape: of the predicted class, or of one class throughout.
        came_true: whether the class was right, same shape.
        bins: how many.

    Raises:
        ValueError: when the shapes differ, a probability lies outside [0, 1] or is NaN, or there is no bin.
    """
    values = np.asarray(confidence, float).ravel()
    truth = np.asarray(came_true, float).ravel()
    if values.shape != truth.shape or bins < 1:
        raise ValueError(f"{values.size} probabilities, {truth.size} outcomes and {bins} bins do not fit.")
    if values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
        raise ValueError(f"probabilities must lie in [0, 1], got {values.min()} to {values.max()}.")
    index = np.minimum((values * bins).astype(np.int64), bins - 1)
    return ReliabilityBins(
        np.bincount(index, minlength=bins),
        np.bincount(index, weights=values, minlength=bins).astype(float),  # whole numbers where there is no value
        np.bincount(index, weights=truth, minlength=bins).astype(float),
    )


def compute_brier(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Give the Brier score: the mean over voxels of the squared distance between probabilities and truth.

    It is summed over all classes, as in the original, so that it lies between 0 and 2. None without voxels.

    Reference: Brier, *Verification of forecasts expressed in terms of probability*, Monthly Weather Review 78, 1950.

    Args:
        probabilities: (K + 1, ...), of all classes, the background's first.
        labels: (...), integers 0..K.

    Raises:
        ValueError: when the shapes do not belong together.
    """
    predicted, truth = np.asarray(probabilities, float), np.asarray(labels)
    if predicted.shape[1:] != truth.shape:
        raise ValueError(f"probabilities {predicted.shape} want labels {predicted.shape[1:]}, got {truth.shape}.")
    if not truth.size:
        return None
    one_hot = np.arange(len(predicted)).reshape(-1, *(1,) * truth.ndim) == truth
    return float(((predicted - one_hot) ** 2).sum(axis=0).mean())


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
