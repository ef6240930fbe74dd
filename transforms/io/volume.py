"""Images of every format that is read, as one ``Volume``, and label maps written back on the grid of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transforms.io.atomic import atomic_path
from transforms.io.geometry import Geometry, Volume
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import is_folder

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES + RASTER_SUFFIXES

__all__ = ["SUFFIXES", "Geometry", "Volume", "format_of", "read_geometry", "read_volume", "stem_of", "write_mask"]


def format_of(path: str | Path) -> str:
    """Say how ``path`` is read, by its name: ``nifti``, ``itk``, ``raster``, or ``""`` when no reader takes it."""
    name = Path(path).name.lower()
    formats = (("nifti", NIFTI_SUFFIXES), ("itk", ITK_SUFFIXES), ("raster", RASTER_SUFFIXES))
    return next((kind for kind, suffixes in formats if name.endswith(suffixes)), "")


def stem_of(path: str | Path) -> str:
    """Give the name of ``path`` without the suffix of an image format; other dots stay, as in a folder ``1.2.840``."""
    name = Path(path).name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def read_volume(path: str | Path) -> Volume:
    """Read one image: NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, or a folder that holds one DICOM series or the slices
    of one volume as pictures (see ``scan_folder``).

    Nothing is repaired or guessed: what is returned is what the file certainly says.

    Args:
        path: the file or folder.

    Returns:
        The voxels with their affine (RAS, mm) and spacing.

    Raises:
        InputError: naming the file and what is wrong with it, for everything that is damaged, contradictory or of the
            wrong kind.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "dicom":
        from transforms.io.dicom_series import read_dicom_series

        return read_dicom_series(path)
    if kind == "scans":
        from transforms.io.scan_folder import read_scan_folder

        return read_scan_folder(path)
    if kind == "nifti":
        from transforms.io.nifti_file import read_nifti

        return read_nifti(path)
    if kind == "itk":
        from transforms.io.itk_file import read_itk

        return read_itk(path)
    from transforms.io.raster_file import read_raster

    return read_raster(path)


def read_geometry(path: str | Path) -> Geometry:
    """Read the grid of an image from its header, without decoding or verifying its voxels.

    Raises:
        InputError: as ``read_volume`` does for the header.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "dicom":
        from transforms.io.dicom_series import read_dicom_geometry

        return read_dicom_geometry(path)
    if kind == "scans":
        from transforms.io.scan_folder import read_scan_folder_geometry

        return read_scan_folder_geometry(path)
    if kind == "nifti":
        from transforms.io.nifti_file import read_nifti_geometry

        return read_nifti_geometry(path)
    if kind == "itk":
        from transforms.io.itk_file import read_itk_geometry

        return read_itk_geometry(path)
    from transforms.io.raster_file import read_raster_geometry

    return read_raster_geometry(path)


def write_mask(path: str | Path, array: np.ndarray, like: str | Path) -> None:
    """Write a label map on the grid of the image it was made from; the file appears whole or not at all.

    From NIfTI to NIfTI, qform, sform, their codes, spacing and units are copied bit for bit.

    Args:
        path: the file to write; its suffix chooses the format: ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``, and for 2D
            ``.png`` or ``.tif``.
        array: ``(H, W[, D])`` without channels, whole numbers from 0 upwards, any numeric type. It is stored as the
            smallest of uint8, uint16 and int32 that holds it.
        like: the image whose grid it is.

    Raises:
        InputError: when ``like`` cannot be read or ``path`` has a suffix that cannot be written.
        ValueError: when ``array`` is not of the shape of ``like``, or holds anything but whole numbers from 0 upwards.
    """
    path, like = Path(path), Path(like)
    kind = format_of(path)
    if kind == "" or path.suffix.lower() in (".mhd", ".nhdr"):
        raise InputError(path, "cannot be written: choose a name that ends in .nii.gz, .nii, .nrrd, .mha, .png or .tif")
    geometry = read_geometry(like)
    labels = _as_labels(np.asarray(array))
    if labels.shape != geometry.shape:
        raise ValueError(f"The label map has shape {labels.shape}, but {like} has {geometry.shape}.")
    with atomic_path(path) as temporary:
        if kind == "nifti":
            from transforms.io.nifti_file import encode_nifti

            header = like if format_of(like) == "nifti" and not like.is_dir() else None
            compress = path.name.lower().endswith(".gz")
            temporary.write_bytes(encode_nifti(labels, geometry.affine, header, compress=compress))
        elif kind == "itk":
            from transforms.io.itk_file import write_itk_mask

            write_itk_mask(temporary, labels, geometry.affine, geometry.spacing)
        else:
            from transforms.io.raster_file import write_raster_mask

            write_raster_mask(temporary, labels)


def _as_labels(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"A label map holds whole numbers, not {array.dtype}.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise ValueError("The label map holds values that are no whole numbers.")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(f"The label map holds values from {low} to {high}; labels are 0 to {np.iinfo(np.int32).max}.")
    dtype = next(kind for kind in (np.uint8, np.uint16, np.int32) if high <= np.iinfo(kind).max)
    return array.astype(dtype, copy=False)


def _kind(path: Path) -> str:
    if is_folder(path):
        from transforms.io.scan_folder import is_scan_folder

        return "scans" if is_scan_folder(path) else "dicom"
    kind = format_of(path)
    if kind:
        return kind
    if path.suffix.lower() in (".dcm", ".ima"):
        raise InputError(path, "is one DICOM file; an image is read from the folder that holds its series")
    folders = "folders with a DICOM series or the slices of a volume"
    raise InputError(path, f"has no known image suffix; {', '.join(SUFFIXES)} and {folders} are read")
