"""Masks that were made on crops, put back on the grids of the raw volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.data.crop_records import CROPS_FILE
from pipelines.data.crop_slices import AXES, stack_slices
from transforms.crop_grid import CropGrid
from transforms.io.atomic import atomic_path
from transforms.io.geometry import Geometry
from transforms.io.input_error import InputError
from transforms.io.nifti_file import encode_nifti
from transforms.io.volume import read_geometry, read_volume, write_mask

POSTFIXES = ("", "_seg", "_pred")
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png")
SAME_PLACE_MM = 1e-3


def cases_with_masks(records: Sequence[Mapping[str, Any]], masks: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Give the samples of each case of which there is a mask, by case id.

    Args:
        records: of ``crops.json``.
        masks: folder of the masks, named after the samples (2D: after their slices), perhaps with ``_seg`` or ``_pred``
            behind the name, and with any suffix.
    """
    cases: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if "left_out" not in record and any(True for _ in _masks_of(record, masks)):
            cases.setdefault(record["case_id"], []).append(record)
    return cases


def restore_case(records: Sequence[Mapping[str, Any]], masks: Path) -> tuple[npt.NDArray[Any], CropGrid]:
    """Put the masks of all samples of one case back: unmirrored, in one resampling; slices are stacked first.

    Args:
        records: of the case's samples, from ``crops.json``.
        masks: see :func:`cases_with_masks`.

    Returns:
        Label map (H, W, D) on the grid of the raw volume, 0 outside the crops; and the grid of the last crop. Where
        crops overlap, the later foreground wins.

    Raises:
        InputError: when a mask is damaged, is no label map, or does not lie on the grid of its crop.
    """
    whole: npt.NDArray[Any] | None = None
    for record in records:
        grid = _grid(record)
        part = grid.put_back(_stacked(record, grid, masks) if "slices" in record else _volume(record, grid, masks))
        whole = part if whole is None else np.where(part > 0, part, whole)
    if whole is None:
        raise ValueError("A case has at least one sample.")
    return whole, grid


def write_restored(path: Path, labels: npt.NDArray[Any], grid: CropGrid, original: Path) -> None:
    """Write a label map as ``.nii.gz``, with the header of the raw volume where that is a NIfTI file that is still at
    hand, else with its affine alone.
    """
    source = Geometry(grid.source_shape, grid.source_affine, (1.0, 1.0, 1.0))
    if original.exists() and _same_place(read_geometry(original), source):
        write_mask(path, labels, original)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_nifti(labels, grid.source_affine, None, compress=True))


def _grid(record: Mapping[str, Any]) -> CropGrid:
    try:
        return CropGrid.from_json(record["grid"])
    except (KeyError, ValueError) as fault:
        raise InputError(CROPS_FILE, f"its sample {record.get('sample_id')} is damaged: {fault}") from fault


def _masks_of(record: Mapping[str, Any], masks: Path) -> Iterator[tuple[int, Path]]:
    """Give the mask files of one sample with the index of the slice, -1 for a volume."""
    name = record["sample_id"]
    names = [(index, f"{name}_s{index:03d}") for index in record["slices"]] if "slices" in record else [(-1, name)]
    for index, stem in names:
        files = [masks / f"{stem}{postfix}{suffix}" for postfix in POSTFIXES for suffix in SUFFIXES]
        found = [file for file in files if file.is_file()]
        if len(found) > 1:
            raise InputError(masks, f"holds several masks for {stem} ({', '.join(file.name for file in found)})")
        if found:
            yield index, found[0]


def _volume(record: Mapping[str, Any], grid: CropGrid, masks: Path) -> npt.NDArray[Any]:
    _, path = next(_masks_of(record, masks))
    if not _same_place(read_geometry(path), Geometry(grid.shape, grid.affine, (1.0, 1.0, 1.0))):
        raise InputError(path, f"does not lie on the grid of the crop {record['sample_id']}")
    return _labels(path)


def _stacked(record: Mapping[str, Any], grid: CropGrid, masks: Path) -> npt.NDArray[Any]:
    axis = AXES[record["slice_axis"]]
    expected = tuple(size for other, size in enumerate(grid.shape) if other != axis)
    slices = {}
    for index, path in _masks_of(record, masks):
        slices[index] = _labels(path)
        if slices[index].shape != expected:
            told = "x".join(map(str, slices[index].shape))
            raise InputError(path, f"has shape {told}, but its slice has {'x'.join(map(str, expected))}")
    return stack_slices(slices, grid.shape, axis)


def _labels(path: Path) -> npt.NDArray[Any]:
    values = read_volume(path).array
    if values.min() < 0 or not np.array_equal(values, np.rint(values)):
        raise InputError(path, "is no label map: it holds something else than whole numbers from 0")
    return values.astype(np.int32)


def _same_place(found: Geometry, wanted: Geometry) -> bool:
    return found.shape == wanted.shape and np.allclose(found.affine, wanted.affine, rtol=0, atol=SAME_PLACE_MM)
