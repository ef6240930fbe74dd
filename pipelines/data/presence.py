"""Which kinds of lesion a case holds, in each slice and in all: from its mask, or from what its data list says.

A case of ``dataset.json`` may have ``"presence"``:

- ``["SRF"]``, names of the classes that the whole volume holds; it holds none of the others,
- ``[0, 1, 0]``, the same as a number per class: 1 there, 0 not there, ``null`` not known,
- ``{"slices": [["SRF"], [], ...]}``, either of them for each slice, in order.

A volume that holds a kind does so in some slice, and nobody says in which: the slices are then unknown (-1), and count
for nothing in ``PresenceLoss`` and in AUCs of slices. One that does not hold it does so in no slice, which is known.

A case without a mask learns detection alone: ``SliceDataset`` fills its label with 255, which losses of masks ignore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.metrics.detection import UNKNOWN, presence_of_slices, presence_of_volume
from transforms.io.input_error import InputError

__all__ = ["Presence", "presence_contradictions", "presence_of_mask", "read_presence"]


@dataclass(frozen=True)
class Presence:
    """What is known of one case.

    Attributes:
        volume: (K,) int8, 1 where a class is there, 0 where not, -1 where unknown.
        slices: (K, D) int8, likewise; D is 1 for a 2D image.
    """

    volume: np.ndarray
    slices: np.ndarray

    def completed_by(self, other: Presence) -> Presence:
        """Take what is unknown from another source."""
        slices = np.where(self.slices == UNKNOWN, other.slices, self.slices)
        return Presence(np.where(self.volume == UNKNOWN, other.volume, self.volume), slices)


def presence_of_mask(label: np.ndarray, num_classes: int, slice_axis: int = -1) -> Presence:
    """Look into a label map.

    Args:
        label: (H, W, D) or (H, W), whole numbers from 0 to ``num_classes``, and 255 where nothing is known. A slice of
            255 alone is unknown.
        num_classes: number of foreground classes K.
        slice_axis: along which the slices lie.
    """
    slices = presence_of_slices(label, num_classes, slice_axis if label.ndim == 3 else None)
    slices = slices.reshape(num_classes, -1)
    return Presence(presence_of_volume(slices), slices)


def read_presence(given: Any, class_names: Mapping[int, str], slices: int, subject: str = "presence") -> Presence:
    """Understand what a data list says.

    Args:
        given: the value of ``"presence"``.
        class_names: names of the classes 1 to K.
        slices: how many slices D the case has; 1 for a 2D image.
        subject: what to blame.

    Raises:
        InputError: for another form, names that no class has, and another number of classes or slices.
    """
    names = [class_names[value] for value in sorted(class_names) if value > 0]
    if isinstance(given, Mapping) and set(given) == {"slices"}:
        rows = given["slices"]
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise InputError(subject, 'its "presence" must list the classes of each slice under "slices"')
        if len(rows) != slices:
            raise InputError(subject, f'its "presence" tells of {len(rows)} slices, but the image has {slices}')
        table = np.stack([_flags(row, names, subject) for row in rows], axis=1)
        return Presence(presence_of_volume(table), table)
    volume = _flags(given, names, subject)
    somewhere = UNKNOWN if slices > 1 else 1
    return Presence(volume, np.repeat(np.where(volume == 1, somewhere, volume)[:, None], slices, axis=1))


def presence_contradictions(told: Presence, seen: Presence, class_names: Mapping[int, str]) -> list[str]:
    """Say in words where a data list and a mask contradict each other; empty where they do not."""
    names = [class_names[value] for value in sorted(class_names) if value > 0]
    found = []
    for index, name in enumerate(names):
        says, holds = told.volume[index], seen.volume[index]
        if says != holds and UNKNOWN not in (says, holds):
            found.append(
                f'its "presence" says that there is {"some" if says else "no"} {name}, but its label holds '
                + ("some" if holds else "none")
            )
            continue
        known = (told.slices[index] != UNKNOWN) & (seen.slices[index] != UNKNOWN)
        wrong = np.flatnonzero(known & (told.slices[index] != seen.slices[index]))
        if wrong.size:
            where = ", ".join(str(number) for number in wrong[:5]) + (", ..." if wrong.size > 5 else "")
            plural = "s" if wrong.size > 1 else ""
            found.append(f'its "presence" and its label disagree on {name} in slice{plural} {where} (counted from 0)')
    return found


def _flags(given: Any, names: Sequence[str], subject: str) -> np.ndarray:
    """Give (K,) int8 from a list of names, or of a number per class."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(subject, 'its "presence" must be a list of class names, or of 0 and 1, one per class')
    if all(isinstance(entry, str) for entry in given):
        unknown = [entry for entry in given if entry not in names]
        if unknown:
            raise InputError(subject, f'its "presence" names {unknown[0]!r}; the classes are {", ".join(names)}')
        return np.array([name in given for name in names], np.int8)
    if any(entry is not None and entry not in (0, 1) for entry in given):
        raise InputError(subject, 'its "presence" must be a list of class names, or of 0 and 1, one per class')
    if len(given) != len(names):
        raise InputError(subject, f'its "presence" has {len(given)} numbers for {len(names)} classes')
    return np.array([UNKNOWN if entry is None else int(entry) for entry in given], np.int8)
