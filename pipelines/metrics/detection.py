"""How well a network tells which kinds of lesion a slice and a volume hold: ranking, decisions and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.calibration import compute_reliability
from pipelines.metrics.clustered_auc import clustered_auc_interval
from pipelines.metrics.ranking import compute_average_precision, compute_roc_auc, compute_roc_curve
from transforms.io.input_error import InputError

__all__ = ["Detections", "measure_detection", "presence_of_slices", "presence_of_volume"]

UNKNOWN = -1
IGNORE_INDEX = 255
SCORES = ("auc", "average_precision", "sensitivity", "specificity", "accuracy", "ece", "brier")


def measure_detection(probabilities: ArrayLike, truth: ArrayLike, threshold: float = 0.5) -> dict[str, Any]:
    """Measure the detection of one kind of lesion in any number of images.

    Args:
        probabilities: (N,), in [0, 1].
        truth: (N,), 1 there, 0 not there, negative unknown: such images count for nothing.
        threshold: what is as probable as this, or more, is called there.

    Returns:
        ``positives``, ``negatives``, ``unknown``: how many images; ``auc``, ``average_precision``, ``sensitivity``,
        ``specificity``, ``accuracy``, ``ece``, ``brier``: numbers, or None where undefined, as without an image of
        one of the two sorts; ``reliability``: see ``ReliabilityBins.to_json``; ``roc``: false and true positive rates
        of the curve's corners, None without a curve.

    Raises:
        ValueError: when the lengths differ, or a known image's probability is NaN or outside [0, 1].
    """
    values, told = np.asarray(probabilities, float).ravel(), np.asarray(truth).ravel()
    if values.shape != told.shape:
        raise ValueError(f"{values.size} probabilities and {told.size} truths do not fit.")
    values, there = values[told >= 0], told[told >= 0] > 0
    called = values >= threshold
    bins = compute_reliability(values, there)
    corners = compute_roc_curve(values, there)
    return {
        "positives": int(there.sum()),
        "negatives": int((~there).sum()),
        "unknown": int((told < 0).sum()),
        "auc": _defined(compute_roc_auc(values, there)),
        "average_precision": _defined(compute_average_precision(values, there)),
        "sensitivity": _share(called[there]),
        "specificity": _share(~called[~there]),
        "accuracy": _share(called == there),
        "ece": bins.expected_error,
        "brier": float(np.mean((values - there) ** 2)) if values.size else None,
        "reliability": bins.to_json(),
        "roc": None if corners is None else {"false_positive_rate": _short(corners[0]), "recall": _short(corners[1])},
    }


class Detections:
    """Collects what was said of volumes and their slices, and what is true.

    At the level of slices, the slices of all volumes are pooled. A volume holds what any of its slices holds; its
    probability is the greatest of its slices'. A picture without slices is a slice and a volume at once.

    Args:
        kinds: names of the P kinds of lesion, in the order of the channels.
        threshold: see ``measure_detection``.
        resamples: bootstrap draws of volumes for the intervals of the AUC.
        seed: of the draws.

    Raises:
        ValueError: when there is no kind, two share a name, or the threshold lies outside [0, 1].
    """

    def __init__(self, kinds: Sequence[str], threshold: float = 0.5, resamples: int = 2000, seed: int = 0) -> None:
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds must be named, each differently, got {list(kinds)}.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be within 0 and 1, got {threshold}.")
        self.kinds = tuple(kinds)
        self.threshold = float(threshold)
        self.resamples = resamples
        self.seed = seed
        self._slices: dict[str, tuple[NDArray[np.float64], NDArray[np.int8]]] = {}
        self._volumes: dict[str, tuple[NDArray[np.float64], NDArray[np.int8]]] = {}

    def __len__(self) -> int:
        return len(self._slices)

    def add(
        self, case_id: str, probabilities: ArrayLike, truth: ArrayLike, volume_truth: ArrayLike | None = None
    ) -> None:
        """Take in one volume.

        Args:
            case_id: unique.
            probabilities: (P, D) of each slice; (P,) of a picture.
            truth: of the same shape: 1 there, 0 not there, negative unknown.
            volume_truth: (P,), where more is known of the volume than of its slices; None to take it from these.

        Raises:
            InputError: when the shapes are not these, the case was added before, or a probability lies outside [0, 1].
        """
        values = np.asarray(probabilities, float)
        told = np.asarray(truth)
        if values.ndim not in (1, 2) or len(values) != len(self.kinds) or values.shape != told.shape:
            raise InputError(
                case_id,
                f"has detections of shape {values.shape} and a truth of shape {told.shape}, "
                f"but there are {len(self.kinds)} kinds",
            )
        if case_id in self._slices:
            raise InputError(case_id, "was measured already; every case needs an id of its own")
        if not bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all()):
            raise InputError(case_id, "has detections that are no probabilities")
        # Averages in single precision may end up a little above 1.
        values, known = np.clip(values, 0, 1).reshape(len(values), -1), _signs(told).reshape(len(values), -1)
        of_volume = presence_of_volume(known) if volume_truth is None else _signs(np.asarray(volume_truth))
        if of_volume.shape != (len(self.kinds),):
            raise InputError(case_id, f"has a truth of shape {of_volume.shape}, but there are {len(self.kinds)} kinds")
        self._slices[case_id] = (values, known)
        self._volumes[case_id] = (values.max(axis=1, keepdims=True), of_volume[:, None])

    def summary(self) -> dict[str, Any]:
        """Give everything as JSON: ``threshold``; ``slices`` and ``volumes``, each with ``n``, ``kinds`` (see
        ``measure_detection``, and ``auc_ci95``), ``mean`` over the kinds for which a score is defined, and how many
        have an AUC.
        """
        return {
            "threshold": self.threshold,
            "slices": self._level(self._slices),
            "volumes": self._level(self._volumes),
        }

    def definitions(self) -> dict[str, str]:
        """What the numbers mean."""
        return {
            "detection": "Of each kind of lesion. slices: the slices of all volumes pooled; volumes: the greatest "
            "probability of a volume's slices. auc: area under the ROC curve, ties counting half; null where all or "
            "none hold it; auc_ci95: its 95 % percentile bootstrap interval, whole volumes being drawn anew. "
            f" sensitivity, specificity, accuracy: of calling it there from {self.threshold:g} on. ece: "
            "expected calibration error in 15 bins; brier: mean squared difference of probability and truth (0 or 1). "
            "mean: over the kinds for which a score is defined. Images of which it is not known count for nothing.",
        }

    def _level(self, pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.int8]]]) -> dict[str, Any]:
        empty = np.zeros((len(self.kinds), 0))
        values = np.concatenate([pair[0] for pair in pairs.values()], axis=1) if pairs else empty
        truth = np.concatenate([pair[1] for pair in pairs.values()], axis=1) if pairs else empty
        kinds = {}
        for index, name in enumerate(self.kinds):
            kinds[name] = measure_detection(values[index], truth[index], self.threshold)
            by_case = [[pair[part][index] for pair in pairs.values()] for part in (0, 1)]
            interval = clustered_auc_interval(by_case[0], by_case[1], resamples=self.resamples, seed=self.seed)
            kinds[name]["auc_ci95"] = None if interval is None or kinds[name]["auc"] is None else list(interval)
        return {
            "n": values.shape[1],
            "kinds": kinds,
            "mean": {score: _mean([kind[score] for kind in kinds.values()]) for score in SCORES},
            "kinds_with_auc": sum(kind["auc"] is not None for kind in kinds.values()),
        }


def presence_of_slices(
    labels: ArrayLike, num_classes: int, slice_axis: int | None = -1, ignore_index: int = IGNORE_INDEX
) -> NDArray[np.int8]:
    """Tell which classes each slice of a label map holds.

    Args:
        labels: (H, W, D) of 0 to ``num_classes``, and ``ignore_index``.
        num_classes: K, without the background.
        slice_axis: along which the slices lie; None for a picture (H, W).
        ignore_index: what is unknown. A slice that is all of it is unknown (-1); one that is so in part holds what the
            rest of it holds.

    Returns:
        (K, D), or (K,) of a picture: 1 there, 0 not there, -1 unknown.
    """
    array = np.asarray(labels)
    if slice_axis is None:
        columns = array.reshape(-1, 1)
    else:
        columns = np.moveaxis(array, slice_axis, -1).reshape(-1, array.shape[slice_axis])
    found = np.stack([(columns == label).any(axis=0) for label in range(1, num_classes + 1)]).astype(np.int8)
    found[:, (columns == ignore_index).all(axis=0)] = UNKNOWN
    return found[:, 0] if slice_axis is None else found


def presence_of_volume(truth: ArrayLike) -> NDArray[np.int8]:
    """Tell what a volume holds by its slices, (P, D) to (P,): 1 where any slice does, else -1 where any is unknown."""
    slices = np.asarray(truth)
    return np.where((slices > 0).any(axis=1), 1, np.where((slices < 0).any(axis=1), UNKNOWN, 0)).astype(np.int8)


def _signs(truth: NDArray[Any]) -> NDArray[np.int8]:
    return np.sign(truth).astype(np.int8)


def _share(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if right.size else None


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _short(values: NDArray[np.float64]) -> list[float]:
    """Six decimals are plenty for a line in a figure."""
    return [round(float(value), 6) for value in values]
