"""Synthetic images and labels as files: the same array always gives the same bytes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np

from pipelines.data.phantom_shapes import Array
from transforms.io.atomic import atomic_path


def write_array(path: Path, array: Array, affine: Array) -> None:
    """Write an image or label as ``.png``, ``.nii`` or ``.nii.gz``; the file appears whole or not at all.

    Args:
        path: its suffix chooses the format.
        array: (X, Y[, Z]); in colour, for ``.png`` alone, (X, Y, 3).
        affine: (4, 4) voxel index to RAS+ world in mm, which a picture forgets.
    """
    content = png_bytes(array) if path.suffix == ".png" else nifti_bytes(array, affine)
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=4, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def nifti_bytes(array: Array, affine: Array) -> bytes:
    """A NIfTI file of ``array`` (X, Y[, Z]) whose voxels lie where ``affine`` (4, 4) says, in mm.

    Args:
        array: image or label.
        affine: voxel index to RAS+ world.
    """
    import nibabel

    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units(xyz="mm")
    return bytes(image.to_bytes())


def png_bytes(array: Array) -> bytes:
    """A PNG of 8 bit, x to the right and y down.

    Args:
        array: (X, Y) grey, or (X, Y, 3) red, green, blue. uint8 is kept; anything else is scaled to its own range.
    """
    from PIL import Image

    if array.dtype != np.uint8:
        low, high = int(array.min()), int(array.max())
        array = np.rint((array.astype(np.float32) - low) * (255 / max(high - low, 1))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array.swapaxes(0, 1))).save(stream, format="PNG")
    return stream.getvalue()
