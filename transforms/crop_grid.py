"""Where an isotropic crop lies on the image that it was cut from, mirrored or not, and the ways there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.axis_resample import resample_labels, resample_linear, share_inside
from transforms.io.geometry import RAS_LETTERS, Geometry, orientation_of

__all__ = ["CropGrid", "crop_around", "right_of_middle"]


@dataclass(frozen=True)
class CropGrid:
    """The grid of a crop. Its axes are those of the image, put in the order R, A, S as nearly as they run so.

    Attributes:
        shape: voxels along R, A, S.
        affine: 4x4, crop index to mm (RAS). When ``flipped``, the crop lies where the image mirrored about its middle
            plane (through the middle of the grid, across its left-right axis) has it: a structure on the right of
            the patient appears, in array and in space, on the left.
        to_source: 4x4, crop index to index of the image.
        source_shape: of the image.
        source_affine: of the image, 4x4.
        flipped: whether it is mirrored.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    to_source: npt.NDArray[np.float64]
    source_shape: tuple[int, int, int]
    source_affine: npt.NDArray[np.float64]
    flipped: bool = False

    def image(self, array: npt.NDArray[Any], fill: float) -> npt.NDArray[np.float32]:
        """Cut the crop out of an image (H, W, D) on the source's grid: one linear resampling, ``fill`` outside."""
        return resample_linear(array, self.to_source, self.shape, fill)

    def labels(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Cut the crop out of a label map (H, W, D); see :func:`transforms.axis_resample.resample_labels`."""
        return resample_labels(array, self.to_source, self.shape)

    def put_back(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give a label map of the crop's shape on the grid of the source, unmirrored, 0 outside the crop.

        Where voxel centres of both grids coincide (the source's spacing is a whole multiple of the crop's), each takes
        its label as it is: what :meth:`labels` has cut out comes back the same.

        Raises:
            ValueError: when ``labels`` has another shape.
        """
        if labels.shape != self.shape:
            raise ValueError(f"The label map has shape {labels.shape}, but the crop has {self.shape}.")
        inverse = np.linalg.inv(self.to_source).astype(np.float64)
        return resample_labels(labels, inverse, self.source_shape)

    def outside(self) -> float:
        """Give the share of the crop's voxels that lie beyond the image, 0 to 1."""
        return 1 - share_inside(self.source_shape, self.to_source, self.shape)

    def to_json(self) -> dict[str, Any]:
        """Give what :meth:`from_json` needs."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "to_source": self.to_source.tolist(),
            "source_shape": list(self.source_shape),
            "source_affine": self.source_affine.tolist(),
            "flipped": self.flipped,
        }

    @classmethod
    def from_json(cls, content: Any) -> CropGrid:
        """Make the grid that :meth:`to_json` has told.

        Raises:
            ValueError: when ``content`` is anything else.
        """
        try:
            matrices = [np.array(content[key], float) for key in ("affine", "to_source", "source_affine")]
            shapes = [tuple(int(size) for size in content[key]) for key in ("shape", "source_shape")]
            flipped = bool(content["flipped"])
        except (KeyError, TypeError) as fault:
            raise ValueError(f"It is no grid of a crop: {fault}.") from fault
        if any(matrix.shape != (4, 4) or not np.isfinite(matrix).all() for matrix in matrices):
            raise ValueError("An affine of a crop is 4x4 and finite.")
        if any(len(shape) != 3 or min(shape) < 1 for shape in shapes):
            raise ValueError("A crop has three sizes from 1.")
        affine, to_source, source_affine = matrices
        return cls(shapes[0], affine, to_source, shapes[1], source_affine, flipped)  # type: ignore[arg-type]


def crop_around(
    source: Geometry,
    centre_mm: Sequence[float],
    size: Sequence[int],
    spacing_mm: Sequence[float],
    flip: bool = False,
) -> CropGrid:
    """Lay a crop around a place in an image.

    The voxel centres of all crops of an image are nodes of one lattice of ``spacing_mm`` that starts at the centre of
    the image's corner voxel, so a crop is a part of the whole image resampled to that spacing. Voxel ``size // 2`` of
    the crop is the node that is closest to the centre.

    Args:
        source: grid of the image, 3D.
        centre_mm: R, A, S of the image's affine.
        size: voxels along R, A, S.
        spacing_mm: along R, A, S.
        flip: mirror it left to right.
    """
    shape = (int(size[0]), int(size[1]), int(size[2]))
    axes, grows = _canonical_axes(source)
    centre = np.linalg.inv(source.affine) @ [*map(float, centre_mm), 1.0]
    to_source = np.zeros((4, 4))
    to_source[3, 3] = 1
    for axis, (along, forward) in enumerate(zip(axes, grows, strict=True)):
        step = spacing_mm[axis] / source.spacing[along]
        last = source.shape[along] - 1
        place = centre[along] if forward else last - centre[along]
        first = (round(place / step) - shape[axis] // 2) * step
        to_source[along, axis] = step if forward else -step
        to_source[along, 3] = first if forward else last - first
    affine = source.affine @ to_source
    if flip:
        reverse = np.eye(4)
        reverse[0, 0], reverse[0, 3] = -1, shape[0] - 1
        mirror = np.eye(4)
        mirror[axes[0], axes[0]], mirror[axes[0], 3] = -1, source.shape[axes[0]] - 1
        to_source = to_source @ reverse
        affine = source.affine @ mirror @ to_source
    source_shape = (source.shape[0], source.shape[1], source.shape[2])
    return CropGrid(shape, affine, to_source, source_shape, np.array(source.affine, float), flip)


def right_of_middle(source: Geometry, centre_mm: Sequence[float]) -> float:
    """Say how far, in mm, a place lies to the patient's right of an image's middle plane; negative is left.

    The plane goes through the middle of the grid, across the axis that runs most nearly left to right: the
    mid-sagittal plane of a head that lies in the middle of its image.
    """
    axes, grows = _canonical_axes(source)
    place = (np.linalg.inv(source.affine) @ [*map(float, centre_mm), 1.0])[axes[0]]
    offset = (place - (source.shape[axes[0]] - 1) / 2) * source.spacing[axes[0]]
    return float(offset if grows[0] else -offset)


def _canonical_axes(source: Geometry) -> tuple[list[int], list[bool]]:
    """For R, A and S: which array axis runs that way, and whether it grows towards R, A or S."""
    letters = orientation_of(source.affine, 3)
    axes = [next(axis for axis, letter in enumerate(letters) if letter in pair) for pair in RAS_LETTERS]
    return axes, [letters[axis] == pair[1] for axis, pair in zip(axes, RAS_LETTERS, strict=True)]
