"""What one image or label file turned out to hold, in a form that can be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transforms.io.input_error import InputError
from transforms.io.volume import Volume, format_of, read_volume

PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
MAX_SAMPLED = 200_000
MAX_VALUES = 64


@dataclass(frozen=True)
class FileRecord:
    """The facts about one file that a check of its data set needs.

    Args:
        fault: why the file was refused, "" when it was not; all else then has its default.
        fault_in: the file inside the folder that is at fault, "" for the file itself.
        shape: voxels along each spatial axis.
        channels: colours, 0 when there is no such axis.
        affine: 4x4, RAS mm, as nested lists.
        spacing: mm.
        orientation: the side of the patient towards which each axis grows.
        voxels: a hash of shape and values (as float32), whatever the file's format.
        intensity: ``min``, ``max``, and of an even sample ``mean``, ``std`` and ``p0.5`` ... ``p99.5``. Images only.
        counts: voxels of each whole value, at most 64 values. Labels only.
        distinct: how many whole values there are. Labels only.
        fraction: one value that is not whole, None when all are. Labels only.
    """

    fault: str = ""
    fault_in: str = ""
    shape: tuple[int, ...] = ()
    channels: int = 0
    affine: tuple[tuple[float, ...], ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: str = ""
    voxels: str = ""
    intensity: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[int, int] = field(default_factory=dict)
    distinct: int = 0
    fraction: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FileRecord:
        """Read what ``to_json`` gave and JSON kept."""
        lists = {key: tuple(content[key]) for key in ("shape", "spacing")}
        affine = tuple(tuple(row) for row in content["affine"])
        counts = {int(value): count for value, count in content["counts"].items()}
        return cls(**{**content, **lists, "affine": affine, "counts": counts})


def measure_file(path: Path, *, as_label: bool) -> FileRecord:
    """Read one file whole and describe it; a file that cannot be read gives a record of the fault."""
    try:
        volume = read_volume(path)
    except InputError as fault:
        subject = Path(fault.subject)
        return FileRecord(fault=fault.reason, fault_in=subject.name if subject.parent == path else "")
    geometry = volume.geometry
    facts: dict[str, Any] = _label_facts(volume.array) if as_label else {"intensity": _intensity(volume.array)}
    return FileRecord(
        shape=geometry.shape,
        channels=geometry.channels,
        affine=tuple(tuple(float(value) for value in row) for row in geometry.affine),
        spacing=geometry.spacing,
        orientation=geometry.orientation,
        voxels=_voxel_hash(volume),
        **facts,
    )


def record_kind(path: Path, *, as_label: bool) -> str:
    """Say on what, beside the bytes, the record of a file depends."""
    return f"{'label' if as_label else 'image'}-{format_of(path) or 'dicom'}{path.suffix.lower()}"


def _voxel_hash(volume: Volume) -> str:
    array = np.asfortranarray(volume.array, dtype=np.float32)
    digest = hashlib.blake2b(str(array.shape).encode(), digest_size=16)
    digest.update(array.T.data)
    return digest.hexdigest()


def _intensity(array: np.ndarray) -> dict[str, float]:
    flat = array.ravel(order="K")
    sample = flat[:: max(1, flat.size // MAX_SAMPLED)].astype(np.float64)
    values = {
        "min": float(flat.min()),
        "max": float(flat.max()),
        "mean": float(sample.mean()),
        "std": float(sample.std()),
    }
    marks = np.percentile(sample, PERCENTILES)
    return values | {f"p{mark:g}": float(value) for mark, value in zip(PERCENTILES, marks, strict=True)}


def _label_facts(array: np.ndarray) -> dict[str, Any]:
    fraction = None
    if array.dtype.kind == "f":
        whole = array == np.rint(array)
        if not whole.all():
            fraction = float(array[~whole].flat[0])
        array = array[whole].astype(np.int64)
    values, counts = _count(array)
    kept = dict(zip((int(value) for value in values[:MAX_VALUES]), (int(n) for n in counts), strict=False))
    return {"counts": kept, "distinct": len(values), "fraction": fraction}


def _count(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the values of an integer array in ascending order, and how often each occurs."""
    if array.size == 0:
        return np.zeros(0, int), np.zeros(0, int)
    low, high = int(array.min()), int(array.max())
    if high - low >= 1 << 16:
        return np.unique(array, return_counts=True)
    counts = np.bincount(array.ravel(order="K").astype(np.int64) - low)
    present = np.flatnonzero(counts)
    return present + low, counts[present]
