"""Many raters' label maps as one code per voxel: which decisions occur together, and how often.

What a vote or an expectation-maximisation over raters makes of a voxel depends on the raters' decisions there and on
nothing else, so it need be worked out once per distinct pattern of decisions and not once per voxel. Ten binary raters
have at most 1024 patterns, however many voxels there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_LABEL", "PatternCollector", "RaterPatterns", "collect_patterns"]

MAX_LABEL = 65_535
# Codes below this are counted and looked up by tables that stay in a processor's cache.
_SMALL = 1 << 16
# Beyond this a table of all codes would be larger than the sorted codes that occur.
_LARGE = 1 << 24
# Voxels at a time: numpy turns codes into indices of 8 bytes, and these should fit into the cache.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class RaterPatterns:
    """The distinct patterns of decisions among raters.

    Attributes:
        decisions: ``(P, R)``, what each of the R raters says in each of the P patterns.
        counts: ``(P,)`` int64, the voxels of each pattern.
        shape: of the raters' label maps.
    """

    decisions: NDArray[np.integer[Any]]
    counts: NDArray[np.int64]
    shape: tuple[int, ...]
    _codes: NDArray[Any]
    _present: NDArray[Any]
    _space: int
    _order: Literal["C", "F"] = "C"

    @property
    def labels(self) -> tuple[int, ...]:
        """Background (0) and every label that a rater gives, in ascending order."""
        return tuple(int(label) for label in np.union1d([0], self.decisions))

    @property
    def unanimous(self) -> NDArray[np.bool_]:
        """``(P,)``, in which patterns all raters say the same."""
        same: NDArray[np.bool_] = (self.decisions == self.decisions[:, :1]).all(axis=1)
        return same

    def spread(self, values: ArrayLike) -> NDArray[Any]:
        """Give every voxel the value of its pattern.

        Args:
            values: ``(P,)``, one per pattern.

        Returns:
            An array of shape ``shape`` and of the dtype of ``values``.
        """
        values = np.asarray(values)
        if self._space > _LARGE:
            voxels = values[np.searchsorted(self._present, self._codes)]
            return voxels.reshape(self.shape, order=self._order)
        table = np.zeros(self._space, values.dtype)
        table[self._present] = values
        voxels = np.empty(self._codes.shape, values.dtype)
        for start in range(0, len(voxels), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.take(table, self._codes[part], out=voxels[part], mode="clip")  # no code is beyond the table
        return voxels.reshape(self.shape, order=self._order)


class PatternCollector:
    """Take raters one after the other and keep one code per voxel.

    The codes are numbers in a mixed radix, a digit per rater. When they would grow beyond 16 bits, the patterns that
    occur so far are numbered anew without gaps. So memory is that of one rater's label map and of 2 bytes per voxel (4
    or 8 where there are more than 65,536 patterns), whatever the number of raters.
    """

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self._order: Literal["C", "F"] = "C"
        self._codes: NDArray[Any] = np.zeros(0, np.uint8)
        self._space = 1
        self._radices: list[int] = []
        # What the raters before the last numbering say: a row per number.
        self._decisions: NDArray[Any] = np.zeros((1, 0), np.uint8)
        self._raters = 0

    def add(self, labels: ArrayLike) -> None:
        """Take one rater's label map.

        Args:
            labels: any number of axes, whole numbers from 0 to 65535 (bool is 0 and 1); it is not kept.

        Raises:
            ValueError: when the shape is not that of the raters before, there is no voxel, or a value is no label.
        """
        given: NDArray[Any] = np.asarray(labels)
        if self._raters == 0:
            self.shape = given.shape
            # Files are often read with their first axis fastest: then the voxels are numbered so, and not copied.
            self._order = "F" if given.flags.f_contiguous and not given.flags.c_contiguous else "C"
            self._codes = np.zeros(given.size, np.uint8)
        if given.shape != self.shape:
            raise ValueError(f"rater {self._raters + 1} has shape {given.shape}, but the first has {self.shape}.")
        digits, radix = _digits(given.reshape(-1, order=self._order), self._raters + 1)
        if self._space * radix > _SMALL:
            self._number_anew()
        self._space *= radix
        self._codes = self._codes.astype(np.min_scalar_type(self._space - 1), copy=False)
        if self._space > radix:  # before the first rater with a label all codes are 0
            self._codes *= self._codes.dtype.type(radix)
        self._codes += digits.astype(self._codes.dtype, copy=False)
        self._radices.append(radix)
        self._raters += 1

    def finish(self) -> RaterPatterns:
        """Give the patterns of all raters taken; the collector is of no use afterwards.

        Raises:
            ValueError: when no rater was taken.
        """
        if self._raters == 0:
            raise ValueError("there is no rater.")
        present, counts = self._count()
        codes, decisions = self._codes, self._decode(present)
        return RaterPatterns(decisions, counts, self.shape, codes, present, self._space, self._order)

    def _number_anew(self) -> None:
        present, _ = self._count()
        decisions = self._decode(present)
        kind = np.min_scalar_type(len(present) - 1)
        self._codes = RaterPatterns(
            decisions, np.zeros(0, np.int64), self._codes.shape, self._codes, present, self._space
        ).spread(np.arange(len(present), dtype=kind))
        self._decisions, self._radices, self._space = decisions, [], len(present)

    def _count(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes that occur, in ascending order, and how often each does."""
        if self._space > _LARGE:
            found, often = np.unique(self._codes, return_counts=True)
            return found, often.astype(np.int64)
        counts = np.zeros(self._space, np.int64)
        chunk = max(_CHUNK, self._space)
        for start in range(0, len(self._codes), chunk):
            counts += np.bincount(self._codes[start : start + chunk], minlength=self._space)
        present = np.flatnonzero(counts)
        return present, counts[present]

    def _decode(self, codes: NDArray[Any]) -> NDArray[np.integer[Any]]:
        """What the raters taken so far say in the patterns of these codes: ``(len(codes), R)``."""
        late = np.empty((len(codes), len(self._radices)), np.min_scalar_type(max([1, *self._radices]) - 1))
        rest = codes.astype(np.int64)
        for column in reversed(range(len(self._radices))):
            rest, late[:, column] = np.divmod(rest, self._radices[column])
        return np.concatenate([self._decisions[rest], late], axis=1)


def collect_patterns(raters: Iterable[ArrayLike] | Sequence[ArrayLike] | NDArray[Any]) -> RaterPatterns:
    """Give the patterns of the raters' label maps, which are taken one at a time.

    Args:
        raters: label maps of one shape: an array ``(R, H, W[, D])`` or whatever gives one map after the other.

    Raises:
        ValueError: as ``PatternCollector.add`` and ``finish`` say.
    """
    collector = PatternCollector()
    for labels in raters:
        collector.add(labels)
    return collector.finish()


def _digits(flat: NDArray[Any], number: int) -> tuple[NDArray[Any], int]:
    """One row of labels as numbers of two bytes at most, and one more than the largest of them."""
    if flat.size == 0:
        raise ValueError(f"rater {number} has no voxel.")
    if flat.dtype == np.bool_:
        return flat.view(np.uint8), 2
    if flat.dtype.kind not in "uif":
        raise ValueError(f"rater {number} holds {flat.dtype}, not labels.")
    low, high = float(flat.min()), float(flat.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high > MAX_LABEL:
        raise ValueError(f"rater {number} holds values from {low:g} to {high:g}; labels are 0 to {MAX_LABEL}.")
    if flat.dtype.kind == "f" and not np.array_equal(flat, np.rint(flat)):
        raise ValueError(f"rater {number} holds values that are no whole numbers.")
    return flat.astype(np.uint16, copy=False) if flat.dtype.kind == "f" or flat.dtype.itemsize > 2 else flat, int(
        high
    ) + 1
