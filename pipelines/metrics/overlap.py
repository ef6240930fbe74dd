"""Dice and Jaccard of two masks, from one count of voxels.

When a class is in neither mask there is nothing to overlap: both scores are undefined (NaN), the state says
``both_empty``, and the case is left out of means but counted. When it is in one mask only, both scores are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.io.input_error import InputError

__all__ = ["STATES", "OverlapCounts", "State", "binary_mask", "count_overlap", "presence_state"]

State = Literal["both_present", "both_empty", "missed", "spurious"]

STATES: tuple[State, ...] = ("both_present", "missed", "spurious", "both_empty")


@dataclass(frozen=True)
class OverlapCounts:
    """How many voxels two masks share, and how many only one of them has.

    Attributes:
        shared: voxels in both masks (true positives).
        only_prediction: voxels in the prediction alone (false positives).
        only_reference: voxels in the reference alone (false negatives).
    """

    shared: int
    only_prediction: int
    only_reference: int

    @property
    def state(self) -> State:
        """Which of the two masks hold anything."""
        return presence_state(self.shared + self.only_prediction > 0, self.shared + self.only_reference > 0)

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|), Dice 1945; NaN when both are empty, 0 when one is."""
        sizes = 2 * self.shared + self.only_prediction + self.only_reference
        return 2 * self.shared / sizes if sizes else float("nan")

    @property
    def jaccard(self) -> float:
        """|P and R| / |P or R|, Jaccard 1912; NaN when both are empty, 0 when one is."""
        union = self.shared + self.only_prediction + self.only_reference
        return self.shared / union if union else float("nan")


def count_overlap(pred: ArrayLike, reference: ArrayLike) -> OverlapCounts:
    """Count the voxels that two masks share and do not share.

    Args:
        pred: the mask to judge, any number of axes, bool or only 0 and 1.
        reference: the mask to judge it by, of the same shape.

    Returns:
        The counts, with ``.dice``, ``.jaccard`` and ``.state``.

    Raises:
        InputError: when the shapes differ, or a mask holds anything but 0 and 1.
    """
    inside_pred, inside_reference = binary_mask(pred, "prediction"), binary_mask(reference, "reference")
    if inside_pred.shape != inside_reference.shape:
        raise InputError("prediction", f"has shape {inside_pred.shape}, but the reference has {inside_reference.shape}")
    shared = int(np.count_nonzero(inside_pred & inside_reference))
    return OverlapCounts(
        shared=shared,
        only_prediction=int(np.count_nonzero(inside_pred)) - shared,
        only_reference=int(np.count_nonzero(inside_reference)) - shared,
    )


def presence_state(in_prediction: bool, in_reference: bool) -> State:
    """Name the state of a class: ``missed`` is in the reference only, ``spurious`` in the prediction only."""
    if in_prediction:
        return "both_present" if in_reference else "spurious"
    return "missed" if in_reference else "both_empty"


def binary_mask(values: ArrayLike, subject: str) -> NDArray[np.bool_]:
    """Give ``values`` as a bool array, and refuse what is no mask (255, 0.5, NaN) rather than read something into it.

    Args:
        values: bool, or numbers that are 0 or 1.
        subject: what to call the mask in the refusal.

    Raises:
        InputError: when there is another value than 0 and 1.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.dtype == np.bool_:
        return array
    inside: NDArray[np.bool_] = array == 1
    if np.count_nonzero(array) != np.count_nonzero(inside):
        other = array[(array != 0) & ~inside].flat[0]
        raise InputError(subject, f"is no mask: it holds {other}, only 0 and 1 are allowed")
    return inside
