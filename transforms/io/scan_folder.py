"""A folder of B-scans, one picture each, as one volume."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transforms.io.geometry import Geometry, Volume, check_shape, check_spacing
from transforms.io.input_error import InputError
from transforms.io.raster_file import SUFFIXES, read_raster, read_raster_geometry
from transforms.io.verified_bytes import describe_content, is_folder

SPACING_FILE = "spacing.json"
_NUMBER = re.compile(r"\d+")


def is_scan_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that holds pictures and no DICOM objects, beside which pictures are previews."""
    if not is_folder(path):
        return False
    files = _files(path)
    return any(_is_picture(file) for file in files) and not any(_is_dicom(file) for file in files)


def tells_spacing(folder: Path) -> bool:
    """Whether a folder of B-scans says how far its pixels are apart: without its ``spacing.json``, nobody knows."""
    return (folder / SPACING_FILE).is_file()


def read_scan_folder(folder: Path) -> Volume:
    """Read the pictures of a folder as the slices of one volume, in natural order: ``bscan_2`` before ``bscan_10``.

    Their names differ in a number alone. A file ``spacing.json`` may tell ``{"spacing_mm": [0.0039, 0.0117, 0.047]}``,
    along rows' axis, columns' axis and from slice to slice; the spacing is 1 otherwise, since the resolution that a
    picture claims is meant for printers.

    Returns:
        ``(H, W, D)``, or ``(3, H, W, D)`` for colours; ``H`` counts rows and ``D`` pictures. Rows grow towards
        the back of the head (P), columns to the left (L), pictures upwards (S), as of an eye that is looked at upright;
        pictures do not tell.

    Raises:
        InputError: for a picture that is refused or has another size or type than the first, other files in the
            folder, names that make no one order, a gap in their numbers, and a spacing that is none.
    """
    paths = _pictures(folder)
    geometry = _geometry(folder, paths, [read_raster_geometry(path) for path in paths])
    colours = (geometry.channels,) if geometry.channels else ()
    array = np.empty((*colours, *geometry.shape), geometry.dtype)
    for index, path in enumerate(paths):
        array[..., index] = read_raster(path).array
    return Volume(array, geometry.affine, geometry.spacing)


def read_scan_folder_geometry(folder: Path) -> Geometry:
    """Read the grid without decoding the pixels.

    Raises:
        InputError: as ``read_scan_folder`` does for names, headers and spacing.
    """
    paths = _pictures(folder)
    return _geometry(folder, paths, [read_raster_geometry(path) for path in paths])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _is_dicom(path: Path) -> bool:
    if _is_picture(path) or not path.is_file():
        return False
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with path.open("rb") as source:
            return describe_content(source.read(132)) == "a DICOM object"
    except OSError:
        return False


def _pictures(folder: Path) -> list[Path]:
    """Give the pictures in their order."""
    files = [path for path in _files(folder) if path.name != SPACING_FILE]
    others = [path for path in files if not _is_picture(path)]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(folder, f"holds B-scans, but {others[0].name}{more} too, which is no picture")
    if not files:
        raise InputError(folder, "holds no pictures")
    texts = {_NUMBER.sub("0", path.name) for path in files}
    if len(texts) > 1:
        shown = {_NUMBER.sub("0", path.name): path.name for path in files}
        one, two = sorted(shown.values())[:2]
        reason = f"holds pictures of different names ({one}, {two}); those of one volume differ in a number alone"
        raise InputError(folder, reason)
    numbers = {path: tuple(int(number) for number in _NUMBER.findall(path.name)) for path in files}
    ordered = sorted(files, key=numbers.__getitem__)
    _require_no_gap(folder, ordered, [numbers[path] for path in ordered])
    return ordered


def _require_no_gap(folder: Path, paths: Sequence[Path], numbers: Sequence[tuple[int, ...]]) -> None:
    """Refuse two pictures of one number and, where one number alone counts them, a number without a picture."""
    table = np.array(numbers, dtype=object)
    changing = [column for column in table.T if len(set(column)) > 1]
    for one, two, path, after in zip(numbers, numbers[1:], paths, paths[1:], strict=False):
        if one == two:
            raise InputError(folder, f"holds two pictures of one number, {path.name} and {after.name}")
        if len(changing) == 1 and max(np.subtract(two, one)) > 1:
            raise InputError(folder, f"lacks the B-scans between {path.name} and {after.name}")


def _geometry(folder: Path, paths: Sequence[Path], grids: Sequence[Geometry]) -> Geometry:
    first = grids[0]
    for path, grid in zip(paths, grids, strict=True):
        if grid.shape != first.shape:
            told, wanted = ("x".join(map(str, shape)) for shape in (grid.shape, first.shape))
            raise InputError(path, f"has {told} pixels, but {paths[0].name} of the same volume has {wanted}")
        if (grid.channels, grid.dtype) != (first.channels, first.dtype):
            raise InputError(path, f"has other colours or bits than {paths[0].name} of the same volume")
    shape = (*first.shape, len(paths))
    check_shape(folder, shape)
    spacing = _spacing(folder / SPACING_FILE)
    affine = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ np.diag([*spacing, 1.0])
    return Geometry(shape, affine, spacing, first.channels, first.dtype)


def _spacing(path: Path) -> tuple[float, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return (1.0, 1.0, 1.0)
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except (ValueError, RecursionError) as fault:
        raise InputError(path, "is not valid JSON") from fault
    given = content.get("spacing_mm") if isinstance(content, dict) else None
    numbers = isinstance(given, list) and all(type(step) in (int, float) for step in given)
    if not numbers or not isinstance(given, list) or len(given) != 3:
        raise InputError(path, 'must tell {"spacing_mm": [rows, columns, slices]}, three numbers of mm')
    spacing = tuple(float(step) for step in given)
    check_spacing(path, spacing)
    return spacing
