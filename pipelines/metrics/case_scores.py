"""Groups of scores that a case is measured with when they are asked for, beside those of every report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.pixel_scores import PIXEL_SCORES, PixelCounts, count_pixels
from transforms.io.input_error import InputError

__all__ = ["OVERLAP", "SCORE_GROUPS", "CaseScores"]

# What every report holds; it may be named, and is there anyway.
OVERLAP = "overlap"


@dataclass(frozen=True)
class ClassPair:
    """One class of one case, as prediction and reference have it.

    Attributes:
        pred: (H, W[, D]) bool.
        reference: likewise.
        spacing_mm: voxel size per axis.
        tolerance_px: see ``count_pixels``.
        probabilities: of the class, (H, W[, D]); None unless the group needs them.
        inside: the field of view, (H, W[, D]) bool; None when all of the image counts.
    """

    pred: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    spacing_mm: float | Sequence[float]
    tolerance_px: float = 0.0
    probabilities: NDArray[Any] | None = None
    inside: NDArray[np.bool_] | None = None

    @cached_property
    def pixels(self) -> PixelCounts:
        """How the two masks compare pixel by pixel."""
        return count_pixels(self.pred, self.reference, self.tolerance_px, self.inside)

    def counted(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The probabilities and the truth of the pixels that count, (N,) each."""
        if self.probabilities is None:
            raise ValueError("This group of scores needs the probabilities of the class.")
        if self.inside is None:
            return self.probabilities.ravel(), self.reference.ravel()
        return self.probabilities[self.inside], self.reference[self.inside]


@dataclass(frozen=True)
class ScoreGroup:
    """Scores that are measured together.

    Attributes:
        metrics: their names.
        definition: what they mean, for ``summary.json``.
        measure: gives them by name.
        from_probabilities: whether masks alone are not enough.
    """

    metrics: tuple[str, ...]
    definition: str
    measure: Callable[[ClassPair], Mapping[str, float]]
    from_probabilities: bool = False


def _pixels(pair: ClassPair) -> Mapping[str, float]:
    return pair.pixels.scores()


def _distances(pair: ClassPair) -> Mapping[str, float]:
    from pipelines.metrics.surface_distances import compute_surface_distances

    in_mm = compute_surface_distances(pair.pred, pair.reference, pair.spacing_mm)
    return {"hd_mm": in_mm.hd, "assd_mm": in_mm.assd}


def _topology(pair: ClassPair) -> Mapping[str, float]:
    from pipelines.metrics.topology import compute_topology_scores

    scores = compute_topology_scores(pair.pred, pair.reference, pair.inside)
    return {name: getattr(scores, name) for name in _TOPOLOGY}


def _ranking(pair: ClassPair) -> Mapping[str, float]:
    from pipelines.metrics.ranking import compute_average_precision, compute_roc_auc

    values, truth = pair.counted()
    return {"roc_auc": compute_roc_auc(values, truth), "pr_auc": compute_average_precision(values, truth)}


def _calibration(pair: ClassPair) -> Mapping[str, float]:
    from pipelines.metrics.calibration import compute_reliability

    values, truth = (array.astype(float) for array in pair.counted())
    values = np.clip(values, 0, 1)  # single precision may sum up to a little more than 1
    error = compute_reliability(values, truth).expected_error
    inside = truth > 0
    return {
        "ece": math.nan if error is None else error,
        "brier": _mean((values - truth) ** 2),
        "confidence_inside": _mean(values[inside]),
        "confidence_outside": _mean(1 - values[~inside]),
    }


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


_TOPOLOGY = ("cldice", "skeleton_precision", "skeleton_recall", "betti0_error")

SCORE_GROUPS: dict[str, ScoreGroup] = {
    "pixels": ScoreGroup(
        PIXEL_SCORES,
        "Of TP, FP, FN, TN in pixels: precision TP / (TP + FP), recall TP / (TP + FN), specificity TN / (TN + FP), "
        "f1 2 TP / (2 TP + FP + FN), iou TP / (TP + FP + FN), accuracy (TP + TN) / all, Cohen's kappa, g_mean "
        "sqrt(recall specificity), fdr FP / (TP + FP). A score whose denominator is 0 is undefined; of a class in "
        "neither mask, accuracy and specificity alone have a value.",
        _pixels,
    ),
    "distances": ScoreGroup(
        ("hd_mm", "assd_mm"),
        "hd_mm: Hausdorff distance, the largest distance of either surface to the other, in mm. assd_mm: mean distance "
        "of both directions pooled, in mm. The unit of pictures is the pixel.",
        _distances,
    ),
    "topology": ScoreGroup(
        _TOPOLOGY,
        "skeleton_precision: share of the prediction's skeleton inside the reference; skeleton_recall: of the "
        "reference's inside the prediction; cldice: their harmonic mean (Shit et al. 2021). betti0_error: difference "
        "of the numbers of connected pieces, corners connecting.",
        _topology,
    ),
    "ranking": ScoreGroup(
        ("roc_auc", "pr_auc"),
        "roc_auc: area under the ROC curve of the class's probabilities, ties counting half; pr_auc: average "
        "precision. Both undefined in images that are all of the class or have none of it.",
        _ranking,
        from_probabilities=True,
    ),
    "calibration": ScoreGroup(
        ("ece", "brier", "confidence_inside", "confidence_outside"),
        "ece: expected calibration error of the class's probabilities in 15 bins; brier: mean squared difference "
        "between them and the truth (0 or 1); confidence_inside, confidence_outside: mean probability of the right "
        "answer in pixels of the class, and in the others.",
        _calibration,
        from_probabilities=True,
    ),
}


class CaseScores:
    """Measures cases with the groups that were chosen, class by class, and keeps the counts of pixels of all of them.

    Args:
        groups: keys of ``SCORE_GROUPS``; ``overlap``, which every report holds, may be among them.
        tolerance_px: for the group ``pixels``.
        field_of_view: measure within the case's field of view where it has one, else in the whole image. This is for
            all scores of a report.

    Raises:
        InputError: naming ``--scores`` or ``--tolerance``, for an unknown or repeated group, or a tolerance that is
            not finite, negative, or for no group that was chosen.
    """

    def __init__(self, groups: Sequence[str] = (), tolerance_px: float = 0.0, field_of_view: bool = True) -> None:
        for index, name in enumerate(groups):
            if name not in (OVERLAP, *SCORE_GROUPS):
                raise InputError("--scores", f"knows {', '.join((OVERLAP, *SCORE_GROUPS))}, not {name}")
            if name in groups[:index]:
                raise InputError("--scores", f"names {name} twice")
        if not (math.isfinite(tolerance_px) and tolerance_px >= 0):
            raise InputError("--tolerance", f"must be a finite number of pixels from 0, got {tolerance_px:g}")
        if tolerance_px and "pixels" not in groups:
            raise InputError("--tolerance", "is for the scores in pixels: add --scores pixels")
        self.groups = tuple(name for name in SCORE_GROUPS if name in groups)
        self.tolerance_px = tolerance_px
        self.field_of_view = field_of_view
        self._pooled: dict[str, PixelCounts] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all scores, in the order of ``SCORE_GROUPS``."""
        return tuple(metric for name in self.groups for metric in SCORE_GROUPS[name].metrics)

    @property
    def from_probabilities(self) -> tuple[str, ...]:
        """Those of the groups that need probabilities."""
        return tuple(name for name in self.groups if SCORE_GROUPS[name].from_probabilities)

    def definitions(self) -> dict[str, str]:
        """What the scores mean, by group."""
        told = {name: SCORE_GROUPS[name].definition for name in self.groups}
        if "pixels" in self.groups:
            told["pooled"] = "The scores in pixels of all cases together, as if they were one image."
        if self.tolerance_px:
            told["tolerance"] = (
                f"In the scores of the group pixels, a pixel of one mask within {self.tolerance_px:g} pixels "
                "(Euclidean) of the other mask counts as right, for false positives and false negatives alike."
            )
        return told

    def measure(
        self,
        labels: NDArray[Any],
        reference: NDArray[Any],
        spacing_mm: float | Sequence[float],
        class_names: Mapping[int, str],
        probabilities: NDArray[Any] | None = None,
        inside: NDArray[np.bool_] | None = None,
    ) -> dict[str, dict[str, float]]:
        """Measure one case; the group ``pixels`` adds its counts to those that ``pooled`` scores.

        Args:
            labels: predicted label map, (H, W[, D]), the background (0) everywhere outside the field of view.
            reference: the same of the label.
            spacing_mm: voxel size per axis.
            class_names: label to name; 0 is left out.
            probabilities: (K + 1, H, W[, D]), background first; None when no group needs them.
            inside: the field of view, (H, W[, D]); None when all of the image counts.

        Returns:
            Per class name the scores by name, NaN where undefined.
        """
        found: dict[str, dict[str, float]] = {}
        for label, name in class_names.items():
            if label == 0:
                continue
            pair = ClassPair(
                labels == label,
                reference == label,
                spacing_mm,
                self.tolerance_px,
                None if probabilities is None else probabilities[label],
                inside,
            )
            found[name] = {}
            for group in self.groups:
                found[name].update(SCORE_GROUPS[group].measure(pair))
            if "pixels" in self.groups:
                seen = self._pooled.get(name)
                self._pooled[name] = pair.pixels if seen is None else seen + pair.pixels
        return found

    def pooled(self) -> dict[str, dict[str, float]]:
        """The scores in pixels as if all cases measured were one image, per class name; nothing without that group.

        Large structures weigh more here than in the mean over cases, and a case without the class counts.
        """
        return {name: counts.scores() for name, counts in self._pooled.items()}
