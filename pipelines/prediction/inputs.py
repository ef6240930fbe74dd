"""Finding the images that a user points at, and refusing those that a network cannot take before any is segmented."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.keys import Keys
from transforms.io.geometry import Geometry
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import format_of, read_geometry, stem_of

MAX_RESAMPLED_VOXELS = 2**31
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def find_inputs(path: Path, channels: int, spatial_dims: int | None = None) -> list[dict[str, Any]]:
    """Give a case entry for each image that ``path`` means.

    A file is one image. A folder with image files holds one image each; where the network takes several channels and
    all names end in a channel's number (``case_0000.nii.gz``, ``case_0001.nii.gz``), the files of a name make one
    image. A folder without image files is a DICOM series, or holds folders that are. For a network of volumes a folder
    of pictures alone is one volume, whose slices they are, as is each such folder in a folder.

    Args:
        path: file or folder.
        channels: how many the network takes.
        spatial_dims: 2 or 3, what the network is for; None makes nothing of it.

    Raises:
        InputError: when there is nothing to segment, or channels are missing.
    """
    if not path.exists():
        raise InputError(path, "does not exist")
    if path.is_file():
        return [_entry(stem_of(path), path)]
    inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    images = [entry for entry in inside if entry.is_file() and format_of(entry)]
    if spatial_dims == 3 and images and all(format_of(image) == "raster" for image in images):
        return [_entry(path.resolve().name, path)]
    if images:
        return _grouped(images, channels)
    if any(entry.is_file() for entry in inside):
        return [_entry(path.resolve().name, path)]
    folders = [entry for entry in inside if entry.is_dir()]
    if not folders:
        raise InputError(path, "holds no image")
    return [_entry(folder.name, folder) for folder in folders]


def check_inputs(
    entries: Sequence[Mapping[str, Any]], channels: int, spatial_dims: int, spacing_mm: Sequence[float]
) -> None:
    """Read the header of every image and refuse all that do not fit, at once.

    Args:
        entries: case entries.
        channels: how many the network takes.
        spatial_dims: 2 or 3.
        spacing_mm: of the grid that images are resampled to.

    Raises:
        InputErrors: with a fault for each image that cannot be read, has other dimensions or channels than the network
            takes, or would become absurdly large.
    """
    faults = []
    for entry in entries:
        image = entry[Keys.IMAGE.value]
        files = [Path(name) for name in ([image] if isinstance(image, str) else image)]
        try:
            _check_image(files, [read_geometry(file) for file in files], channels, spatial_dims, spacing_mm)
        except InputError as fault:
            faults.append(fault)
    if faults:
        raise InputErrors(faults)


def _check_image(
    files: Sequence[Path],
    grids: Sequence[Geometry],
    channels: int,
    spatial_dims: int,
    spacing_mm: Sequence[float],
) -> None:
    shape = grids[0].shape
    if len(shape) != spatial_dims:
        raise InputError(files[0], f"is {len(shape)}D, but the network takes {spatial_dims}D images")
    found = sum(max(grid.channels, 1) for grid in grids)
    if found != channels:
        raise InputError(files[0], f"has {found} channels, but the network takes {channels}")
    sides = [size * step / target for size, step, target in zip(shape, grids[0].spacing, spacing_mm, strict=True)]
    if math.prod(sides) > MAX_RESAMPLED_VOXELS:
        told = " x ".join(f"{step:g}" for step in spacing_mm)
        raise InputError(
            files[0], f"would have {math.prod(sides):.2g} voxels when resampled to {told} mm; is its spacing right?"
        )


def _grouped(images: Sequence[Path], channels: int) -> list[dict[str, Any]]:
    """Put the files that are the channels of one image together."""
    named = [_CHANNEL.fullmatch(stem_of(image)) for image in images]
    if channels < 2 or not all(named):
        return [_entry(stem_of(image), image) for image in images]
    groups: dict[str, dict[int, Path]] = {}
    faults = []
    for image, match in zip(images, named, strict=True):
        if match is None:
            continue
        group = groups.setdefault(match["case"], {})
        if int(match["channel"]) in group:
            faults.append(InputError(image, f"is the same channel as {group[int(match['channel'])].name}"))
        group[int(match["channel"])] = image
    for group in groups.values():
        missing = [f"{index:04d}" for index in range(channels) if index not in group]
        if missing:
            first = next(iter(group.values()))
            faults.append(InputError(first, f"the files of its channels {', '.join(missing)} are missing"))
    if faults:
        raise InputErrors(faults)
    return [_entry(case, *(group[index] for index in sorted(group))) for case, group in groups.items()]


def _entry(case_id: str, *images: Path) -> dict[str, Any]:
    paths = [str(image) for image in images]
    return {Keys.IMAGE.value: paths[0] if len(paths) == 1 else paths, Keys.CASE_ID.value: case_id}
