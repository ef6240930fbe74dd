"""Scores of a mask that are counted in pixels: precision, recall and their kin, with a tolerance when it is asked for.

A tolerance of t pixels forgives a predicted pixel that lies within t of the reference, and a pixel of the reference
that lies within t of the prediction: neither counts as wrong, in any of the scores. (The published evaluation of OCTA
vessels widens the reference for true and false positives but not for the rest, so that its numbers contradict each
other.) Without a tolerance all scores are the usual ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.overlap import binary_mask
from transforms.io.input_error import InputError

__all__ = ["PIXEL_SCORES", "PixelCounts", "count_pixels"]

PIXEL_SCORES = ("precision", "recall", "specificity", "f1", "iou", "accuracy", "kappa", "g_mean", "fdr")

# What rounding in single precision may add to a distance that equals the tolerance.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class PixelCounts:
    """The counts that all scores are made of; they can be added up over images.

    A score whose denominator is 0 is NaN: there is nothing of which it could be a share.

    Attributes:
        predicted: pixels of the prediction.
        true: pixels of the reference.
        either: pixels of one or both.
        false_alarms: pixels of the prediction alone, beyond the tolerance from the reference (false positives).
        missed: pixels of the reference alone, beyond the tolerance from the prediction (false negatives).
        total: pixels in the field of view.
    """

    predicted: int
    true: int
    either: int
    false_alarms: int
    missed: int
    total: int

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.predicted + other.predicted,
            self.true + other.true,
            self.either + other.either,
            self.false_alarms + other.false_alarms,
            self.missed + other.missed,
            self.total + other.total,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP): share of the prediction that is right; NaN when nothing was predicted."""
        return _share(self.predicted - self.false_alarms, self.predicted)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), sensitivity: share of the reference that was found; NaN when there was nothing to find."""
        return _share(self.true - self.missed, self.true)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP): share of what is not in the reference that raised no false alarm; NaN without such pixels."""
        negatives = self.total - self.true
        return _share(negatives - self.false_alarms, negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when one mask is empty, NaN when both are.

        Without a tolerance this is 2 TP / (2 TP + FP + FN), the Dice coefficient.
        """
        if not self.predicted or not self.true:
            return 0.0 if self.either else math.nan
        precision, recall = self.precision, self.recall
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), Jaccard: share of the pixels in either mask that is right; NaN when both are empty."""
        return _share(self.either - self.false_alarms - self.missed, self.either)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all: share of the pixels that are not wrong; NaN in an empty field of view."""
        return _share(self.total - self.false_alarms - self.missed, self.total)

    @property
    def kappa(self) -> float:
        """Cohen's kappa: the accuracy beyond that of two masks of these sizes by chance, over what chance leaves.

        NaN when chance leaves nothing: both masks empty, or both full.

        Reference: Cohen, Educational and Psychological Measurement 20, 1960.
        """
        rest = (self.total - self.predicted) * (self.total - self.true)
        chance = _share(self.predicted * self.true + rest, self.total**2)
        return math.nan if math.isnan(chance) or chance == 1 else (self.accuracy - chance) / (1 - chance)

    @property
    def g_mean(self) -> float:
        """Geometric mean of recall and specificity; NaN when one of them is."""
        return math.sqrt(self.recall * self.specificity)

    @property
    def fdr(self) -> float:
        """FP / (TP + FP), false discovery rate: 1 - precision; NaN when nothing was predicted."""
        return _share(self.false_alarms, self.predicted)

    def scores(self) -> dict[str, float]:
        """All of ``PIXEL_SCORES`` by name."""
        return {name: getattr(self, name) for name in PIXEL_SCORES}


def count_pixels(
    pred: ArrayLike, reference: ArrayLike, tolerance_px: float = 0.0, field_of_view: ArrayLike | None = None
) -> PixelCounts:
    """Compare two masks pixel by pixel.

    Args:
        pred: the mask to judge, 2 or 3 axes, bool or only 0 and 1.
        reference: the mask to judge it by, of the same shape.
        tolerance_px: Euclidean distance in pixels up to which a pixel is forgiven.
        field_of_view: of the same shape; only pixels above 0 count, what lies beyond is neither counted nor near.

    Raises:
        InputError: when the shapes differ, or a mask holds anything but 0 and 1.
        ValueError: when the tolerance is negative, NaN or infinite.
    """
    if not (math.isfinite(tolerance_px) and tolerance_px >= 0):
        raise ValueError(f"tolerance_px must be a finite number >= 0, got {tolerance_px}.")
    found, truth = binary_mask(pred, "prediction"), binary_mask(reference, "reference")
    if found.shape != truth.shape:
        raise InputError("prediction", f"has shape {found.shape}, but the reference has {truth.shape}")
    total = found.size
    if field_of_view is not None:
        inside: NDArray[Any] = np.asarray(field_of_view) > 0
        if inside.shape != truth.shape:
            raise InputError("field of view", f"has shape {inside.shape}, but the reference has {truth.shape}")
        found, truth, total = found & inside, truth & inside, int(np.count_nonzero(inside))
    return PixelCounts(
        predicted=int(np.count_nonzero(found)),
        true=int(np.count_nonzero(truth)),
        either=int(np.count_nonzero(found | truth)),
        false_alarms=_beyond(found, truth, tolerance_px),
        missed=_beyond(truth, found, tolerance_px),
        total=total,
    )


def _beyond(mask: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: float) -> int:
    """How many pixels of ``mask`` lie more than ``tolerance`` away from every pixel of ``other``."""
    alone = mask & ~other
    if tolerance < 1 or not alone.any() or not other.any():
        return int(np.count_nonzero(alone))
    import edt

    distances = edt.edt(np.logical_not(other), black_border=False)
    return int(np.count_nonzero(distances[alone] > tolerance * (1 + _ROUNDING)))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
