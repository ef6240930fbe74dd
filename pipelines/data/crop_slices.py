"""2D samples out of 3D crops, and the way back: masks of slices stacked into a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.crop_grid import CropGrid
from transforms.io.atomic import atomic_path
from transforms.io.geometry import spacing_of
from transforms.io.nifti_file import encode_nifti
from transforms.io.raster_file import write_raster_mask

AXES = {"H": 0, "W": 1, "D": 2}
ENDINGS = {"nifti": ".nii.gz", "png": ".png"}


@dataclass(frozen=True)
class SliceSettings:
    """How a crop is sliced.

    Attributes:
        axis: the dimension across the slices: ``H`` (R: sagittal slices), ``W`` (A: coronal) or ``D`` (S: axial).
        least_foreground: a slice of a training case stays when this many of its voxels are foreground, in any of its
            raters, or in its label when it has no raters. All slices of other cases stay, so that they can be stacked.
        ending: ``.nii.gz`` or ``.png`` (16 bit, the crop's values spread over the range).
    """

    axis: str
    least_foreground: int = 1
    ending: str = ".nii.gz"


def chosen_slices(arrays: Mapping[str, Any], axis: int, least_foreground: int) -> list[int]:
    """Say which slices across ``axis`` become samples.

    A slice on which every channel is constant (it lies outside the scan) is left out: many would be the same image.

    Args:
        arrays: ``image``, a list of (H, W, D); ``raters``, a list of label maps, perhaps empty; perhaps ``label``.
        axis: 0, 1 or 2.
        least_foreground: see :class:`SliceSettings`; 0 asks for no foreground.
    """
    others = tuple(other for other in range(3) if other != axis)
    seen = np.any([image.max(axis=others) > image.min(axis=others) for image in arrays["image"]], axis=0)
    marks = arrays["raters"] or ([arrays["label"]] if "label" in arrays else [])
    if least_foreground > 0 and marks:
        seen &= np.max([np.count_nonzero(mark, axis=others) for mark in marks], axis=0) >= least_foreground
    return [int(index) for index in np.flatnonzero(seen)]


def stack_slices(
    masks: Mapping[int, npt.NDArray[Any]], shape: Sequence[int], axis: int
) -> npt.NDArray[np.uint8 | np.uint16 | np.int32]:
    """Put label maps of slices together; slices without one are background.

    Args:
        masks: index of the slice to its label map, whole numbers from 0.
        shape: (H, W, D) of the result.
        axis: across the slices.

    Raises:
        ValueError: when a label map has another shape than a slice, or an index lies outside.
    """
    largest = max((int(mask.max(initial=0)) for mask in masks.values()), default=0)
    dtype = next(kind for kind in (np.uint8, np.uint16, np.int32) if largest <= np.iinfo(kind).max)
    volume = np.zeros(tuple(shape), dtype)
    slices = np.moveaxis(volume, axis, 0)
    for index, mask in masks.items():
        if not 0 <= index < len(slices):
            raise ValueError(f"There is no slice {index}; there are {len(slices)}.")
        if mask.shape != slices.shape[1:]:
            raise ValueError(f"Slice {index} has shape {mask.shape}, but slices have {slices.shape[1:]}.")
        slices[index] = mask
    return volume


def write_slices(
    arrays: Mapping[str, Any],
    grid: CropGrid,
    name: str,
    split: str,
    settings: SliceSettings,
    output: Path,
    carried: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the slices of one crop as samples ``<name>_s<index>``.

    A slice is an image of its own: its first axis is called R and its second A, whatever they were, so that no network
    turns it. Where it lies is in the record alone.

    Returns:
        JSON: ``files`` and ``entries`` as :func:`pipelines.data.crop_case.cut_sample` has them, ``slice_axis``, and
        ``slices``: index of each slice, in the order of the entries; or ``left_out``.
    """
    axis = AXES[settings.axis]
    chosen = chosen_slices(arrays, axis, settings.least_foreground if split == "training" else 0)
    if not chosen:
        return {"left_out": f"no slice has {settings.least_foreground} foreground voxels"}
    steps = [step for other, step in enumerate(spacing_of(grid.affine, 3)) if other != axis]
    plane = np.diag([*steps, 1.0, 1.0])
    ranges = [(float(image.min()), float(image.max())) for image in arrays["image"]]
    files: list[str] = []
    entries = []
    for index in chosen:
        entry: dict[str, Any] = dict(carried)
        parts = _parts_of(arrays, axis, index, f"{name}_s{index:03d}", settings.ending)
        for key, slices in parts.items():
            for number, (file, array) in enumerate(slices.items()):
                pixels = _to_16_bit(array, *ranges[number]) if key == "image" and settings.ending == ".png" else array
                _write_plane(output / file, pixels, plane)
            files += slices
            paths = [f"./{file}" for file in slices]
            entry[key] = paths if key == "raters" or len(paths) > 1 else paths[0]
        entries.append(entry)
    told = {"files": files, "entries": entries, "slice_axis": settings.axis, "slices": chosen}
    return told | ({"png_range": ranges} if settings.ending == ".png" else {})


def _parts_of(
    arrays: Mapping[str, Any], axis: int, index: int, name: str, ending: str
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Give for image, label and raters the files of one slice with their pixels."""
    several = len(arrays["image"]) > 1
    parts = {
        "image": {
            f"images/{name}{f'_{number:04d}' if several else ''}{ending}": array
            for number, array in enumerate(arrays["image"])
        },
        "label": {f"labels/{name}{ending}": arrays["label"]} if "label" in arrays else {},
        "raters": {f"raters/{name}_r{number:03d}{ending}": array for number, array in enumerate(arrays["raters"])},
    }
    return {
        key: {file: np.take(array, index, axis=axis) for file, array in files.items()}
        for key, files in parts.items()
        if files
    }


def _to_16_bit(array: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint16]:
    return np.rint((array - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)


def _write_plane(path: Path, array: npt.NDArray[Any], plane: npt.NDArray[np.float64]) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".png":
            # Whole numbers from 0 are what it writes: 16-bit grey values as well as labels.
            write_raster_mask(temporary, array)
        else:
            temporary.write_bytes(encode_nifti(array, plane, None, compress=True))
