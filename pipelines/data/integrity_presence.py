"""Whether what a data list says of the lesions of a case can be true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.dataset import Case
from pipelines.data.integrity_record import FileRecord
from pipelines.data.presence import Presence, presence_contradictions, presence_of_mask, read_presence
from pipelines.metrics.detection import UNKNOWN
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume

IGNORE = 255


def presence_faults(
    case: Case, image: FileRecord, label: tuple[Path, FileRecord] | None, labels: Mapping[int, str]
) -> list[InputError]:
    """Find names that no class has, wrong numbers of classes and slices, and contradictions with the mask.

    The mask is read again where the list tells of single slices. These may lie along any axis; the last one counts
    where several have their number.

    Args:
        case: whose data list entry may have a ``presence``.
        image: its first channel, as it was read.
        label: path and record of its label, if it could be read.
        labels: name of each label value.
    """
    given = case.extras.get("presence")
    if given is None:
        return []
    subject = str(case.images[0])
    axis = _slice_axis(given, image.shape)
    try:
        told = read_presence(given, labels, image.shape[axis] if len(image.shape) == 3 else 1, subject)
    except InputError as fault:
        return [fault]
    if label is None or set(label[1].counts) - {IGNORE, *labels} or label[1].shape != image.shape:
        return []  # there is no label, or it has faults of its own
    if isinstance(given, Mapping):
        seen = presence_of_mask(read_volume(label[0]).array, len(labels) - 1, axis)
    else:
        unseen = UNKNOWN if IGNORE in label[1].counts else 0
        volume = [1 if value in label[1].counts else unseen for value in sorted(labels) if value > 0]
        seen = Presence(np.array(volume, np.int8), np.full(told.slices.shape, UNKNOWN, np.int8))
    return [InputError(subject, words) for words in presence_contradictions(told, seen, labels)]


def _slice_axis(given: Any, shape: tuple[int, ...]) -> int:
    """Give the axis that has as many slices as are told of."""
    rows = given.get("slices") if isinstance(given, Mapping) else None
    told = len(rows) if isinstance(rows, list) else 0
    matching = [axis for axis, size in enumerate(shape) if size == told]
    return matching[-1] if matching else -1
