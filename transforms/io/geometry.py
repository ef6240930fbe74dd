"""Where the voxels of an image lie in the patient, and what no image may claim about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.io.input_error import InputError

MAX_VOXELS = 2**33
MAX_SPACING_MM = 100.0
SINGULAR_BELOW = 1e-4
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
RAS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class Geometry:
    """The grid of an image.

    Args:
        shape: voxels along each spatial axis, in array order.
        affine: 4x4, array index to millimetres, RAS. The identity for pictures (PNG, JPEG, TIFF), whose unit is the
            pixel.
        spacing: distance of neighbouring voxels along each spatial axis, in mm.
        channels: length of the leading channel axis, 0 when the array has none.
        dtype: the type that the voxels have in the file.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    spacing: tuple[float, ...]
    channels: int = 0
    dtype: str = ""

    @property
    def orientation(self) -> str:
        """Towards which side of the patient each axis grows: ``RAS``, ``LPS``, ... (two letters for 2D)."""
        return orientation_of(self.affine, len(self.shape))


@dataclass(frozen=True)
class Volume:
    """An image with its place in the patient.

    Args:
        array: ``(H, W)`` or ``(H, W, D)``; colour pictures are ``(3, H, W)``. Pictures have rows first; all others
            have the fastest axis of the file first, as nibabel has it.
        affine: 4x4, array index of the spatial axes to millimetres, RAS.
        spacing: mm along each spatial axis; its length says whether the image is 2D or 3D.
    """

    array: np.ndarray
    affine: np.ndarray
    spacing: tuple[float, ...]

    @property
    def has_channels(self) -> bool:
        """Whether the first axis of ``array`` is the colour."""
        return self.array.ndim > len(self.spacing)

    @property
    def geometry(self) -> Geometry:
        """The grid alone."""
        shape = self.array.shape[1:] if self.has_channels else self.array.shape
        channels = self.array.shape[0] if self.has_channels else 0
        return Geometry(shape, self.affine, self.spacing, channels, str(self.array.dtype))


def spacing_of(affine: np.ndarray, dims: int) -> tuple[float, ...]:
    """Give the length in mm of each of the first ``dims`` columns of ``affine``."""
    return tuple(float(value) for value in np.linalg.norm(affine[:3, :dims], axis=0))


def orientation_of(affine: np.ndarray, dims: int) -> str:
    """Name the side of the patient towards which each array axis grows, taking the closest one for oblique axes.

    Args:
        affine: 4x4, RAS, not singular.
        dims: how many axes to name, 2 or 3.
    """
    directions = affine[:3, :dims] / np.linalg.norm(affine[:3, :dims], axis=0)
    weight = np.abs(directions)
    letters = [""] * dims
    for _ in range(dims):
        world, axis = np.unravel_index(int(weight.argmax()), weight.shape)
        letters[axis] = RAS_LETTERS[world][int(directions[world, axis] > 0)]
        weight[world, :] = -1.0
        weight[:, axis] = -1.0
    return "".join(letters)


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Refuse an image that has no voxel along an axis, or more voxels in all than any scanner makes.

    Raises:
        InputError: naming ``path``.
    """
    told = "x".join(str(int(size)) for size in shape)
    if any(size < 1 for size in shape):
        raise InputError(path, f"its header gives the impossible shape {told}")
    if math.prod(int(size) for size in shape) > MAX_VOXELS:
        raise InputError(path, f"its header gives the shape {told}, more than {MAX_VOXELS:.3g} voxels")


def check_spacing(path: Path, spacing: Any) -> None:
    """Refuse spacings that are no lengths in mm.

    Raises:
        InputError: naming ``path``, for NaN, infinite, zero, negative or absurd values.
    """
    values = [float(value) for value in spacing]
    told = " x ".join(f"{value:g}" for value in values)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise InputError(path, f"its voxel spacing is {told}, but every spacing must be a positive number of mm")
    if max(values) > MAX_SPACING_MM:
        raise InputError(path, f"its voxel spacing of {told} mm is beyond {MAX_SPACING_MM:g} mm; is the unit wrong?")


def check_affine(path: Path, affine: np.ndarray) -> None:
    """Refuse an affine that does not put every voxel at a place of its own.

    Raises:
        InputError: naming ``path``, for NaN or infinite entries, and for (nearly) parallel or zero axes.
    """
    if not np.isfinite(affine).all():
        raise InputError(path, "its affine holds NaN or infinity")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (lengths > 0).all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < SINGULAR_BELOW:
        raise InputError(path, "its affine is singular: it puts different voxels at the same place")


def complete_plane(affine: np.ndarray) -> np.ndarray:
    """Give the affine of a 2D image a third axis: 1 mm along the normal of the plane."""
    affine = np.array(affine, dtype=float)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    if length > 0:
        affine[:3, 2] = normal / length
    return affine


def check_finite(path: Path, array: np.ndarray) -> None:
    """Refuse NaN and infinite voxels.

    Raises:
        InputError: naming ``path`` and how many there are.
    """
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = int(array.size - np.count_nonzero(finite))
        raise InputError(path, f"holds NaN or infinity in {bad} of {array.size} voxels")
