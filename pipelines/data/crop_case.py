"""Cutting one crop: read the case, find the centre, cut image, label and raters with one resampling each, write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.data.crop_plan import Centre, Sample
from pipelines.data.crop_slices import SliceSettings, write_slices
from pipelines.data.raters import rater_labels
from transforms.crop_grid import CropGrid, crop_around, right_of_middle
from transforms.io.atomic import atomic_path
from transforms.io.geometry import Volume
from transforms.io.input_error import InputError
from transforms.io.nifti_file import encode_nifti
from transforms.io.volume import read_volume

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class CropSettings:
    """How crops are made.

    Attributes:
        size: voxels along R, A, S.
        spacing_mm: along R, A, S.
        flip_to: ``left`` or ``right``: structures on the other side are mirrored to it; empty for no mirroring.
        keep: label values that stay, renumbered 1, 2, ... in this order; others become background. Empty keeps all.
        structure: label values that the centre is taken from, as they are in the file; empty for all that stay.
        fill: value outside the image; None for the image's smallest.
        slices: how the crop becomes 2D samples; None for one 3D sample.
    """

    size: tuple[int, int, int] = (128, 128, 128)
    spacing_mm: tuple[float, float, float] = (0.5, 0.5, 0.5)
    flip_to: str = ""
    keep: tuple[int, ...] = ()
    structure: tuple[int, ...] = ()
    fill: float | None = None
    slices: SliceSettings | None = None


def sample_digest(sample: Sample, settings: CropSettings) -> str:
    """Give a hash that changes when the settings, the centre or a file of the case does (its size or time)."""
    files = [(str(path), *_state(path)) for path in sample.case.files]
    centre = None if sample.centre is None else asdict(sample.centre)
    told = [asdict(settings), centre, sample.split, files, sample.case.patient_id, dict(sample.case.extras)]
    return hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    states = [entry.stat() for entry in entries]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


def cut_sample(sample: Sample, settings: CropSettings, output: Path) -> dict[str, Any]:
    """Make one crop and write its files.

    Args:
        sample: what to cut.
        settings: how.
        output: folder of the new data set.

    Returns:
        JSON: what was done; ``entries`` for ``dataset.json``, or ``left_out``, the reason why there is no crop. The
        names of its files are relative to ``output``.

    Raises:
        InputError: when a file is damaged or holds no label map.
    """
    case = sample.case
    images = [read_volume(path) for path in case.images]
    label = None if case.label is None else _read_labels(case.label)
    raters = [_read_labels(path) for path in rater_labels(case)]
    record = {
        "sample_id": sample.sample_id,
        "case_id": case.case_id,
        "patient": case.patient_id,
        "split": sample.split,
        "image": [str(path) for path in case.images],
        "digest": sample_digest(sample, settings),
    }
    if label is not None and not _structure(label, settings).any():
        return record | {"left_out": "its label does not hold the structure"}
    centre = sample.centre or _centre_of(label, raters, images[0], settings)
    if centre is None:
        return record | {"left_out": "no rater has marked the structure"}
    grid, side = _grid(images[0], centre, settings)
    shown = {
        "centre_mm": list(centre.place_mm), "centre_from": centre.source, "side": side, "grid": grid.to_json(),
        "outside": round(grid.outside(), 6),
    }  # fmt: skip
    arrays: dict[str, Any] = {"image": [_cut_image(volume, grid, settings) for volume in images]}
    if label is not None:
        mask = _structure(label, settings)
        lost = _lost_share(mask, grid)
        if lost == 1:
            return record | shown | {"left_out": "the structure lies outside the crop"}
        shown["structure_lost"] = round(lost, 6)
        arrays["label"] = grid.labels(_kept(label, settings))
    arrays["raters"] = [grid.labels(_kept(rater, settings)) for rater in raters]
    shown |= _write(arrays, grid, sample, settings, output)
    return record | shown


def _read_labels(path: Path) -> Labels:
    values = read_volume(path).array
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError(path, f"must hold whole numbers, found {values[values != np.rint(values)][0]:g}")
    if values.min() < 0:
        raise InputError(path, f"must hold labels from 0 up, found {values.min():g}")
    return values.astype(np.int32)


def _structure(labels: Labels, settings: CropSettings) -> npt.NDArray[np.bool_]:
    wanted = settings.structure or settings.keep
    return np.isin(labels, wanted) if wanted else labels > 0


def _kept(labels: Labels, settings: CropSettings) -> Labels:
    if not settings.keep:
        return labels
    table = np.zeros(max(int(labels.max()), *settings.keep) + 1, np.int32)
    table[list(settings.keep)] = range(1, len(settings.keep) + 1)
    return table[labels]


def _centre_of(label: Labels | None, raters: Sequence[Labels], image: Volume, settings: CropSettings) -> Centre | None:
    """Give the centroid of the structure in the label, or in all raters together; None when it is nowhere."""
    masks = [_structure(labels, settings) for labels in ([label] if label is not None else raters)]
    found = [np.argwhere(mask) for mask in masks]
    voxels = np.concatenate(found)
    if not len(voxels):
        return None
    place = (image.affine @ [*voxels.mean(axis=0), 1.0])[:3]
    return Centre((float(place[0]), float(place[1]), float(place[2])), "raters" if label is None else "label")


def _grid(image: Volume, centre: Centre, settings: CropSettings) -> tuple[CropGrid, str]:
    to_the_right = right_of_middle(image.geometry, centre.place_mm) > 0
    side = centre.side or ("right" if to_the_right else "left")
    flip = bool(settings.flip_to) and side != settings.flip_to
    return crop_around(image.geometry, centre.place_mm, settings.size, settings.spacing_mm, flip), side


def _cut_image(volume: Volume, grid: CropGrid, settings: CropSettings) -> npt.NDArray[np.float32]:
    fill = float(volume.array.min()) if settings.fill is None else settings.fill
    return grid.image(volume.array, fill)


def _lost_share(mask: npt.NDArray[np.bool_], grid: CropGrid) -> float:
    """Give the share of a mask's voxels whose centres lie beyond the voxels of the crop."""
    voxels = np.argwhere(mask)
    places = np.linalg.inv(grid.to_source) @ np.c_[voxels, np.ones(len(voxels))].T
    ends = np.array(grid.shape)[:, None] - 0.5
    return float(1 - np.mean(((places[:3] > -0.5) & (places[:3] < ends)).all(axis=0)))


def _write(
    arrays: dict[str, Any], grid: CropGrid, sample: Sample, settings: CropSettings, output: Path
) -> dict[str, Any]:
    """Write the files of a sample; give ``files`` and ``entries``, and for 2D which slices they are."""
    carried = {key: sample.case.extras[key] for key in ("atlas", "presence") if key in sample.case.extras}
    carried["patient"] = sample.case.patient_id
    if settings.slices is not None:
        return write_slices(arrays, grid, sample.sample_id, sample.split, settings.slices, output, carried)
    name = sample.sample_id
    several = len(arrays["image"]) > 1
    images = [f"images/{name}{f'_{number:04d}' if several else ''}.nii.gz" for number in range(len(arrays["image"]))]
    entry: dict[str, Any] = {"image": [f"./{file}" for file in images] if several else f"./{images[0]}"}
    files = dict(zip(images, arrays["image"], strict=True))
    if "label" in arrays:
        files[f"labels/{name}.nii.gz"] = arrays["label"]
        entry["label"] = f"./labels/{name}.nii.gz"
    raters = {f"raters/{name}_r{number:03d}.nii.gz": rater for number, rater in enumerate(arrays["raters"])}
    if raters:
        entry["raters"] = [f"./{file}" for file in raters]
    for file, array in (files | raters).items():
        with atomic_path(output / file) as temporary:
            temporary.write_bytes(encode_nifti(array, grid.affine, None, compress=True))
    return {"files": [*files, *raters], "entries": [entry | carried]}
