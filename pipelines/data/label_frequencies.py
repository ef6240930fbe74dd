"""How much of the training labels each class is, and what voxels of each class should count in a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.consensus.scores import count_labels
from pipelines.console import progress
from pipelines.keys import Keys
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume

__all__ = ["RULES", "LabelFrequencies", "label_weights", "measure_label_frequencies"]

# How weights follow from frequencies; the same words are taken by the configuration.
RULES = ("square_root", "inverse", "median", "power")
IGNORE_INDEX = 255


@dataclass(frozen=True)
class LabelFrequencies:
    """Voxels of each label 0..K over some cases.

    Attributes:
        voxels: of each label in all.
        cases: how many cases hold each label.
        voxels_around: voxels, of whatever label, of the cases that hold each label.
        ignored: voxels of no label, which are in none of the numbers above.
    """

    voxels: tuple[int, ...]
    cases: tuple[int, ...]
    voxels_around: tuple[int, ...]
    ignored: int = 0

    @property
    def shares(self) -> tuple[float, ...]:
        """What share of all voxels each label is."""
        total = max(sum(self.voxels), 1)
        return tuple(count / total for count in self.voxels)

    def weights(self, rule: str = "square_root", power: float = -0.35) -> list[float]:
        """Give the weight of each label in a loss, (K + 1,), the background's first; 0 of a label without voxels.

        Args:
            rule: ``square_root``: ``(sum f / f_l)^0.5`` (Wong et al., MICCAI 2018); ``inverse``: ``sum f / f_l``;
                ``median``: the median of ``f_l`` over ``f_l``, that being the share of the label in the cases that
                hold it (Eigen and Fergus, ICCV 2015); ``power``: ``n^power`` over its mean (Weihsbach et al., WBIR
                2022).
            power: of the rule ``power``.

        Raises:
            ValueError: for another rule, or when there is no voxel.
        """
        from networks.losses.class_weighted import class_weights
        from networks.losses.exponential_logarithmic import frequency_weights

        if rule not in RULES:
            raise ValueError(f"weights of labels are one of {', '.join(RULES)}, not {rule}.")
        if not sum(self.voxels):
            raise ValueError("there is no voxel to be weighted.")
        if rule == "power":
            return [float(weight) for weight in class_weights(self.voxels, power)]
        if rule != "median":
            exponent = 0.5 if rule == "square_root" else 1.0
            return [float(weight) for weight in frequency_weights(self.voxels, exponent)]
        pairs = zip(self.voxels, self.voxels_around, strict=True)
        shares = np.array([count / around if count else np.nan for count, around in pairs])
        return [0.0 if np.isnan(weight) else float(weight) for weight in np.nanmedian(shares) / shares]

    def to_json(self) -> dict[str, Any]:
        """Give all numbers, for the record of a run."""
        return {
            "voxels": list(self.voxels),
            "cases": list(self.cases),
            "shares": list(self.shares),
            "ignored": self.ignored,
        }


def measure_label_frequencies(
    cases: Sequence[Mapping[str, Any]], num_classes: int, ignore_index: int = IGNORE_INDEX
) -> LabelFrequencies:
    """Count the voxels of each label over the training cases; no other case may have a say in a loss.

    Args:
        cases: entries; those without a label are left out.
        num_classes: K, without the background.
        ignore_index: label that counts for nothing.

    Raises:
        InputError: when a label file cannot be read, or holds another label.
    """
    voxels, holding, around = (np.zeros(num_classes + 1, np.int64) for _ in range(3))
    ignored = 0
    for case in progress([case for case in cases if Keys.LABEL.value in case], "counting labels"):
        counts = _counts(case[Keys.LABEL.value], num_classes, ignore_index)
        ignored += int(counts[-1])
        counts = counts[:-1]
        voxels += counts
        holding += counts > 0
        around += np.where(counts > 0, counts.sum(), 0)
    return LabelFrequencies(tuple(voxels.tolist()), tuple(holding.tolist()), tuple(around.tolist()), ignored)


def label_weights(
    cases: Sequence[Mapping[str, Any]], num_classes: int, rule: str = "square_root", power: float = -0.35
) -> list[float]:
    """Give the weights of the labels 0..K of training cases, for configurations.

    Arguments, and what is raised, are those of ``measure_label_frequencies`` and ``LabelFrequencies.weights``.
    """
    return measure_label_frequencies(cases, num_classes).weights(rule, power)


def _counts(path: Any, num_classes: int, ignore_index: int) -> np.ndarray:
    """Voxels of the labels 0..K of one file and, last, of those to be ignored."""
    array = read_volume(path).array
    labels = array.astype(np.int64)
    if labels.size and (labels.min() < 0 or not np.array_equal(labels, array)):
        raise InputError(str(path), "holds values that are no labels (whole numbers from 0)")
    counts = count_labels(labels)
    counts = np.pad(counts, (0, max(ignore_index + 1 - len(counts), 0)))
    strange = [label for label in np.flatnonzero(counts) if label > num_classes and label != ignore_index]
    if strange:
        raise InputError(str(path), f"holds the label {strange[0]}, but the configuration is for {num_classes} classes")
    return np.append(counts[: num_classes + 1], counts[ignore_index])
