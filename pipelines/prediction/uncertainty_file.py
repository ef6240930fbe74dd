"""Writing how uncertain a mask is, on the grid of the image that it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transforms.io.atomic import atomic_path
from transforms.io.volume import format_of, read_geometry, write_mask

MARK, SUFFIXES = "_uncertainty", (".nii.gz", ".png")


def uncertainty_file(mask: Path) -> Path:
    """Give the file beside ``NAME_seg.nii.gz`` or ``NAME_seg.png``: ``NAME_uncertainty`` of the same suffix."""
    suffix = next(suffix for suffix in SUFFIXES if mask.name.endswith(suffix))
    return mask.with_name(f"{mask.name.removesuffix(suffix).removesuffix('_seg')}{MARK}{suffix}")


def write_uncertainty(path: Path, uncertainty: np.ndarray, like: Path) -> None:
    """Write a map of values in [0, 1]: as they are into NIfTI, as grey values from 0 to 255 into a picture.

    Args:
        path: ``.nii.gz`` or ``.png``.
        uncertainty: (H, W[, D]).
        like: the image whose grid it is.

    Raises:
        ValueError: when it is of another shape than the image.
        InputError: when ``like`` cannot be read.
    """
    if path.suffix == ".png":
        write_mask(path, np.rint(255 * uncertainty), like)
        return
    from transforms.io.nifti_file import encode_nifti

    geometry = read_geometry(like)
    if uncertainty.shape != geometry.shape:
        raise ValueError(f"The map has shape {uncertainty.shape}, but {like} has {geometry.shape}.")
    header = like if format_of(like) == "nifti" and not like.is_dir() else None
    content = encode_nifti(uncertainty.astype(np.float32), geometry.affine, header, compress=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
