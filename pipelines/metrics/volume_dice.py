"""Dice of each class over whole volumes, as the retinal oedema challenge counts it, and what it does not see.

A class that a volume's reference does not hold has no Dice there: the volume is left out of the mean of that class, and
counted. Whatever was predicted of such a class goes unpunished in that mean, and is told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.bootstrap import bootstrap_interval
from pipelines.metrics.overlap import OverlapCounts, count_overlap
from transforms.io.input_error import InputError

__all__ = ["VolumeDice", "compute_volume_dice"]

# What a label map holds where nobody knows.
IGNORE_INDEX = 255
MM3_PER_ML = 1000.0


def compute_volume_dice(overlap: OverlapCounts) -> float:
    """Give the Dice of one class in one volume: NaN when the reference does not hold it, whatever was predicted."""
    return overlap.dice if overlap.shared + overlap.only_reference else math.nan


@dataclass
class _ClassVolumes:
    """What was found of one class so far; ``dice`` has a number per volume, NaN where its reference lacks the class."""

    dice: list[float] = field(default_factory=list)
    absent: int = 0
    false_positive_volumes: int = 0
    false_positive_voxels: int = 0
    false_positive_ml: float | None = 0.0


class VolumeDice:
    """Collects the Dice of each class over volumes.

    Args:
        class_names: name per label; 0, the background, is not measured.
        ignore_index: voxels of the reference with this value count for nothing.

        resamples: bootstrap draws of volumes for the intervals.
        seed: of the draws.

    Raises:
        ValueError: when a class has the label ``ignore_index``.
    """

    definition = (
        "Dice of each class over a whole volume, then the mean over the volumes whose reference holds the class, then "
        "(dice) the mean over the classes that have one. absent: volumes left out, their reference not holding the "
        "class. false_positive_volumes: those of them in which it was predicted all the same, "
        "false_positive_voxels and false_positive_ml: how much of it in all. ci95: 95 % percentile bootstrap interval, "
        "volumes being drawn anew; null for fewer than two."
    )

    def __init__(
        self, class_names: Mapping[int, str], ignore_index: int = IGNORE_INDEX, resamples: int = 10_000, seed: int = 0
    ) -> None:
        if ignore_index in class_names:
            raise ValueError(f"label {ignore_index} is {class_names[ignore_index]} and cannot be ignored too.")
        self.class_names = {label: name for label, name in class_names.items() if label != 0}
        self.ignore_index = ignore_index
        self.resamples = resamples
        self.seed = seed
        self._classes = {name: _ClassVolumes() for name in self.class_names.values()}
        self._cases: set[str] = set()

    def __len__(self) -> int:
        return len(self._cases)

    def add(
        self, case_id: str, labels: ArrayLike, reference: ArrayLike, spacing_mm: float | Sequence[float] = 1.0
    ) -> dict[str, float]:
        """Take in one volume.

        Args:
            case_id: told when something is wrong.
            labels: predicted label map, (H, W, D); (H, W) of a picture, which has no ml.
            reference: of the same shape.
            spacing_mm: voxel size per axis, or one number for all.

        Returns:
            Dice per class name, NaN where the reference does not hold the class.

        Raises:
            InputError: when the shapes differ, or the case was added before.
        """
        predicted, truth = np.asarray(labels), np.asarray(reference)
        if predicted.shape != truth.shape:
            raise InputError(
                case_id, f"has a reference of shape {truth.shape}, but the prediction has {predicted.shape}"
            )
        if case_id in self._cases:
            raise InputError(case_id, "was measured already; every case needs an id of its own")
        self._cases.add(case_id)
        voxel_ml = _voxel_ml(spacing_mm, truth.ndim)
        known = truth != self.ignore_index
        everything = bool(known.all())
        found = {}
        for label, name in self.class_names.items():
            called: NDArray[np.bool_] = predicted == label
            overlap = count_overlap(called if everything else called & known, truth == label)
            found[name] = compute_volume_dice(overlap)
            self._take(self._classes[name], found[name], overlap.only_prediction, voxel_ml)
        return found

    @property
    def mean(self) -> float | None:
        """The mean over the classes that have a Dice; None when no volume held any class."""
        defined = [mean for mean in (_mean(found.dice) for found in self._classes.values()) if mean is not None]
        return math.fsum(defined) / len(defined) if defined else None

    def summary(self) -> dict[str, Any]:
        """Give everything as JSON; None where there is nothing to tell."""
        classes = {
            name: {
                "dice": _mean(found.dice),
                "ci95": self._interval(found.dice),
                "volumes": len(found.dice) - found.absent,
                "absent": found.absent,
                "false_positive_volumes": found.false_positive_volumes,
                "false_positive_voxels": found.false_positive_voxels,
                "false_positive_ml": found.false_positive_ml,
            }
            for name, found in self._classes.items()
        }
        return {"dice": self.mean, "classes": classes}

    def _interval(self, dice: Sequence[float]) -> list[float] | None:
        interval = bootstrap_interval(dice, resamples=self.resamples, seed=self.seed)
        return None if interval is None else list(interval)

    @staticmethod
    def _take(found: _ClassVolumes, dice: float, only_predicted: int, voxel_ml: float | None) -> None:
        found.dice.append(dice)
        if not math.isnan(dice):
            return
        found.absent += 1
        found.false_positive_volumes += only_predicted > 0
        found.false_positive_voxels += only_predicted
        if voxel_ml is None or found.false_positive_ml is None:
            found.false_positive_ml = None
        else:
            found.false_positive_ml += only_predicted * voxel_ml


def _mean(values: Sequence[float]) -> float | None:
    """The mean of what is not NaN; None when there is nothing."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None


def _voxel_ml(spacing_mm: float | Sequence[float], axes: int) -> float | None:
    """Volume of one voxel; None for pictures."""
    return float(np.prod(np.broadcast_to(np.asarray(spacing_mm, float), (3,)))) / MM3_PER_ML if axes == 3 else None
