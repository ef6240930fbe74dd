"""One registration as a job: reads an atlas and a target, writes label, field and record; can be found done."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.dataset import Case
from pipelines.registration.settings import PairSettings
from pipelines.trust.fingerprint import file_sha256
from transforms.io.atomic import atomic_path, write_json_atomic
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import numpy as np

    from pipelines.registration.grids import Grid
    from pipelines.registration.pair import Scan
    from pipelines.registration.transformation import Transformation

RECORDS, FIELDS, RATERS = "pairs", "fields", "raters"
# Part of what a record depends on: to be raised when registering gives other results than before.
VERSION = 2


@dataclass(frozen=True)
class PairJob:
    """What it takes to register one pair.

    Args:
        output: the data set's folder that is being written.
        atlas: the moving case; it has a label.
        target: the fixed case.
        settings: how to register.
        channel: which channel of a multi-channel image is registered, from 0.
        device: a torch device's name.
        save_field: whether to write the displacement field.
        atlas_mask: file of the atlas' mask, if any.
        target_mask: file of the target's mask, if any.
    """

    output: Path
    atlas: Case
    target: Case
    settings: PairSettings
    channel: int = 0
    device: str = "cpu"
    save_field: bool = False
    atlas_mask: Path | None = None
    target_mask: Path | None = None

    @property
    def name(self) -> str:
        """Atlas and target in a few words."""
        return f"{self.atlas.case_id} to {self.target.case_id}"

    @property
    def label_file(self) -> Path:
        """Where the warped label goes."""
        from transforms.io.volume import format_of

        suffix = ".png" if format_of(self.target.images[0]) == "raster" else ".nii.gz"
        return self.output / RATERS / self.target.case_id / f"{self.atlas.case_id}{suffix}"

    @property
    def field_file(self) -> Path:
        """Where the displacement field goes."""
        return self.output / FIELDS / self.target.case_id / f"{self.atlas.case_id}.nii.gz"

    @property
    def record_file(self) -> Path:
        """Where the record goes, last of all: a pair that has one is complete."""
        return self.output / RECORDS / self.target.case_id / f"{self.atlas.case_id}.json"

    def inputs(self) -> dict[str, Path | None]:
        """Every file (or DICOM folder) that the result depends on."""
        return {
            "atlas": _channel(self.atlas, self.channel),
            "atlas_label": self.atlas.label,
            "atlas_mask": self.atlas_mask,
            "target": _channel(self.target, self.channel),
            "target_label": self.target.label,
            "target_mask": self.target_mask,
        }

    def fingerprint(self) -> str:
        """Give one hash of the settings and of the contents of all inputs."""
        told = {
            "version": VERSION,
            "settings": asdict(self.settings),
            "channel": self.channel,
            "inputs": {name: path and _content_hash(path) for name, path in self.inputs().items()},
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def finished(self) -> dict[str, Any] | None:
        """Give the record of this pair when it was completed before with the same settings and inputs; else None."""
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        written = [self.label_file, *([self.field_file] if self.save_field else [])]
        if not isinstance(record, dict) or not all(file.is_file() for file in written):
            return None
        return record if record.get("fingerprint") == self.fingerprint() else None


def run_job(job: PairJob) -> dict[str, Any]:
    """Register one pair and write what it gave; give the pair's record.

    Raises:
        InputError: naming the file that is at fault.
    """
    from pipelines.registration.pair import register_pair
    from pipelines.registration.transformation import jacobian_statistics, warp_label
    from transforms.io.volume import write_mask

    fingerprint = job.fingerprint()
    atlas = read_scan(_channel(job.atlas, job.channel), job.atlas_mask)
    target = read_scan(_channel(job.target, job.channel), job.target_mask)
    atlas_label = read_label(job.atlas.label, atlas.grid) if job.atlas.label else None
    if atlas_label is None:
        raise InputError(job.atlas.images[0], "is an atlas without a label")
    expert = read_label(job.target.label, target.grid) if job.target.label else None
    begun = time.perf_counter()
    found = register_pair(target, atlas, job.settings, job.device)
    warped = warp_label(atlas_label, atlas.grid, found.final, target.grid)
    seconds = time.perf_counter() - begun
    jacobian = jacobian_statistics(found.final, target.grid)
    record: dict[str, Any] = {"atlas": job.atlas.case_id, "target": job.target.case_id, "engine": job.settings.engine}
    record |= {f"similarity_{name}": value for name, value in found.similarity.items()}
    stages = {"start": found.start, "affine": found.affine, "final": found.final}
    for name, stage in stages.items():
        carried = warped if name == "final" else warp_label(atlas_label, atlas.grid, stage, target.grid)
        record[f"dice_{name}"] = None if expert is None else mean_dice(carried, expert)
    record |= {f"jacobian_{name}": value for name, value in asdict(jacobian).items()}
    record |= {"seconds": seconds, "fallback": found.fallback, "fingerprint": fingerprint}
    job.record_file.unlink(missing_ok=True)
    write_mask(job.label_file, warped, job.target.images[0])
    if job.save_field:
        write_field(job.field_file, found.final, target.grid)
    write_json_atomic(job.record_file, {name: _told(value) for name, value in record.items()})
    return {name: _told(value) for name, value in record.items()}


def read_scan(path: Path, mask: Path | None = None) -> Scan:
    """Read one channel with its mask.

    Raises:
        InputError: when it cannot be read, has colours, or the mask does not fit.
    """
    import numpy as np

    from pipelines.registration.grids import grid_of
    from pipelines.registration.pair import Scan
    from transforms.io.volume import read_volume

    volume = read_volume(path)
    array = volume.array
    if array.ndim != len(volume.spacing):
        array = array[0]
    grid = grid_of(volume)
    return Scan(str(path), np.asarray(array, dtype=np.float32), grid, None if mask is None else read_label(mask, grid))


def read_label(path: Path, grid: Grid) -> np.ndarray:
    """Read a label map that lies on ``grid``.

    Raises:
        InputError: when it cannot be read, holds anything but whole numbers from 0, or has another shape.
    """
    import numpy as np

    from transforms.io.volume import read_volume

    array = read_volume(path).array
    if array.shape != grid.shape:
        told = "x".join(map(str, array.shape))
        raise InputError(path, f"has shape {told}, but its image {'x'.join(map(str, grid.shape))}")
    if (array.dtype.kind == "f" and not np.array_equal(array, np.rint(array))) or array.min() < 0:
        raise InputError(path, "must hold whole numbers from 0")
    return np.asarray(array.astype(np.uint8 if array.max() < 256 else np.int32))


def write_field(path: Path, transformation: Transformation, target: Grid) -> None:
    """Write the displacements on the target's grid as ITK and ANTs read them: 5D NIfTI vectors, float32, mm, LPS."""
    import nibabel as nib
    import numpy as np

    vectors = transformation.displacements_mm(target)  # (d, *shape), RAS
    vectors[:2] *= -1
    affine = np.eye(4)
    dims = target.dims
    affine[:dims, :dims], affine[:dims, 3] = target.matrix[:-1, :-1], target.matrix[:-1, -1]
    places = (*target.shape, *(1,) * (4 - dims))
    image = nib.nifti1.Nifti1Image(np.moveaxis(vectors, 0, -1).reshape(*places, dims).astype(np.float32), affine)
    image.header.set_intent("vector")
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def mean_dice(first: np.ndarray, second: np.ndarray) -> float:
    """Give the mean Dice of the foreground classes that either label map holds; NaN when neither holds any."""
    import numpy as np

    from pipelines.metrics.overlap import count_overlap

    classes = [int(value) for value in np.union1d(np.unique(first), np.unique(second)) if value != 0]
    return float(np.mean([count_overlap(first == k, second == k).dice for k in classes])) if classes else math.nan


def _channel(case: Case, channel: int) -> Path:
    if channel >= len(case.images):
        raise InputError(case.images[0], f"has {len(case.images)} channels, so there is no channel {channel}")
    return case.images[channel]


def _content_hash(path: Path) -> str:
    """Hash a file, or the files of a folder with their names."""
    if not path.is_dir():
        return file_sha256(path)
    parts: Mapping[str, str] = {file.name: file_sha256(file) for file in sorted(path.iterdir()) if file.is_file()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _told(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
