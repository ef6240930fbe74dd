"""NIfTI files, read so that nothing damaged or contradictory passes, and label maps written with the same geometry."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transforms.io.geometry import (
    Geometry,
    Volume,
    check_affine,
    check_finite,
    check_shape,
    check_spacing,
    complete_plane,
    spacing_of,
)
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import (
    GZIP,
    MAX_DEFLATE_RATIO,
    collect,
    describe_content,
    inflated_chunks,
    plain_chunks,
    require_readable,
)

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

TOLERANCE = 1e-3
_MAGIC_AT = {348: (344, b"n+1\0"), 540: (4, b"n+2\0\r\n\x1a\n")}
_UNITS = {0: "unknown", 2: "mm"}


def read_nifti(path: Path) -> Volume:
    """Read a ``.nii`` or ``.nii.gz`` file whole: every byte is read and every checksum verified.

    Args:
        path: the file.

    Returns:
        The voxels ``(H, W[, D])`` in file order, scaled by ``scl_slope`` and ``scl_inter``: 8- and 16-bit integers
        become float32, wider types float64; not scaled, they keep their type. The affine is the sform's when it has
        one, else the qform's.

    Raises:
        InputError: when the file is damaged or truncated, holds more than one channel or time point, complex numbers,
            colours, NaN or infinity, or says nothing certain about where its voxels lie.
    """
    size = require_readable(path)
    with _open(path) as (chunks, compressed):
        header, start = _read_header(path, chunks)
        geometry, dtype, offset = _examine(path, header)
        expected = offset + math.prod(geometry.shape) * dtype.itemsize
        limit = size * MAX_DEFLATE_RATIO + 1024 if compressed else size
        if expected > limit:
            raise InputError(path, f"is truncated: its header promises {expected} bytes, which cannot be in {size}")
        content = collect(chain([start], chunks), expected, path)
    array = np.frombuffer(content, dtype=dtype, offset=offset).reshape(geometry.shape, order="F")
    array = _scaled(path, array.astype(dtype.newbyteorder("="), copy=False), header)
    check_finite(path, array)
    return Volume(array, geometry.affine, geometry.spacing)


def read_nifti_geometry(path: Path) -> Geometry:
    """Read the grid from the header alone; the voxels are not looked at.

    Raises:
        InputError: as ``read_nifti`` does for the header.
    """
    require_readable(path)
    with _open(path) as (chunks, _):
        header, _ = _read_header(path, chunks)
    return _examine(path, header)[0]


def encode_nifti(array: np.ndarray, affine: np.ndarray, like: Path | None, *, compress: bool) -> bytes:
    """Make the bytes of a NIfTI file that holds the integer label map ``array``.

    Args:
        array: ``(H, W[, D])`` of an integer type.
        affine: 4x4, RAS mm; used when ``like`` is None.
        like: a NIfTI file whose qform, sform, codes, spacing and units are taken over bit for bit.
        compress: whether to gzip. The same input gives the same bytes.
    """
    header = _header_like(like) if like is not None else _header_from(affine, array.shape)
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    offset = int(header["sizeof_hdr"]) + 4
    header["vox_offset"] = offset
    body = array.astype(array.dtype.newbyteorder(header.endianness)).tobytes(order="F")
    content = header.binaryblock + bytes(4) + body
    if not compress:
        return content
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as target:
        target.write(content)
    return packed.getvalue()


@contextmanager
def _open(path: Path) -> Iterator[tuple[Iterator[bytes], bool]]:
    """Open the file as a stream of verified chunks; also say whether it is compressed."""
    compressed = path.name.lower().endswith(".gz")
    with path.open("rb") as source:
        if compressed:
            head = source.read(132)
            if head[:2] != b"\x1f\x8b":
                raise InputError(path, f"is named as gzip but holds {describe_content(head)}")
            source.seek(0)
        try:
            yield (inflated_chunks(source, path, GZIP) if compressed else plain_chunks(source)), compressed
        except OSError as fault:
            raise InputError(path, f"cannot be read: {fault.strerror}") from fault


def _read_header(path: Path, chunks: Iterator[bytes]) -> tuple[Nifti1Header, bytes]:
    """Take the header from the front of the stream; give back also all bytes that this consumed."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    start = b""
    while len(start) < 544 and (chunk := next(chunks, b"")):
        start += chunk
    length = next((size for size in _MAGIC_AT if int(size) in _both_endian(start[:4])), 0)
    at, magic = _MAGIC_AT.get(length, (0, b"-"))
    if start[at : at + len(magic)] != magic:
        raise InputError(path, f"is not a NIfTI file: it holds {describe_content(start[:512])}")
    if len(start) < length:
        raise InputError(path, f"is truncated within its header: it holds {len(start)} of {length} bytes")
    kind = Nifti1Header if length == 348 else Nifti2Header
    return kind(start[:length], check=False), start


def _both_endian(four: bytes) -> tuple[int, int]:
    return int.from_bytes(four, "little"), int.from_bytes(four, "big")


def _examine(path: Path, header: Nifti1Header) -> tuple[Geometry, np.dtype, int]:
    """Check everything the header claims. Gives the grid, the voxel type of the file, and where the voxels start."""
    shape = _shape(path, header)
    dtype = _voxel_type(path, header)
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and offset.is_integer() and offset >= int(header["sizeof_hdr"])):
        raise InputError(path, f"its header says that the voxels start at byte {offset:g}")
    if offset > 2**31:
        raise InputError(path, f"its header says that the voxels start at byte {offset:.0f}, far beyond any header")
    dims = len(shape)
    check_spacing(path, header["pixdim"][1 : dims + 1])
    unit = int(header["xyzt_units"]) & 0x07
    if unit not in _UNITS:
        raise InputError(path, "its unit of length is not the millimetre; write it again in mm")
    affine = _affine(path, header, dims)
    spacing = spacing_of(affine, dims)
    check_spacing(path, spacing)
    return Geometry(shape, affine, spacing, 0, str(dtype.newbyteorder("="))), dtype, int(offset)


def _shape(path: Path, header: Nifti1Header) -> tuple[int, ...]:
    rank = int(header["dim"][0])
    if not 2 <= rank <= 7:
        raise InputError(path, f"its header says that it has {rank} dimensions; 2 or 3 are read")
    sizes = tuple(int(size) for size in header["dim"][1 : rank + 1])
    check_shape(path, sizes)
    if any(size > 1 for size in sizes[3:]):
        told = "x".join(str(size) for size in sizes)
        raise InputError(
            path, f"is {rank}D ({told}); one 2D or 3D image is read, so write one file per channel or time point"
        )
    return sizes[:3]


def _voxel_type(path: Path, header: Nifti1Header) -> np.dtype:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as fault:
        raise InputError(path, f"its voxel type code {int(header['datatype'])} is not known") from fault
    kinds = {"c": "complex numbers", "V": "colours"}
    if dtype.kind not in "iuf" or not 1 <= dtype.itemsize <= 8:
        raise InputError(
            path, f"holds {kinds.get(dtype.kind, f'voxels of type {dtype}')}; real numbers up to 64 bit are read"
        )
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise InputError(
            path, f"its header contradicts itself: type {dtype} with {int(header['bitpix'])} bits per voxel"
        )
    return dtype


def _affine(path: Path, header: Nifti1Header, dims: int) -> np.ndarray:
    """Give the affine that the header certainly means."""
    found = {}
    if int(header["sform_code"]) > 0:
        found["sform"] = np.array(header.get_sform(), dtype=float)
    if int(header["qform_code"]) > 0:
        try:
            found["qform"] = np.array(header.get_qform(), dtype=float)
        except Exception as fault:
            raise InputError(path, "its qform is not a rotation") from fault
    if not found:
        raise InputError(
            path, "has no orientation: its qform and sform codes are both 0, so left and right are unknown"
        )
    for name, affine in found.items():
        found[name] = complete_plane(affine) if dims == 2 else affine
        check_affine(path, found[name])
    if len(found) == 2:
        _require_agreement(path, found["sform"], found["qform"])
    return found["sform"] if "sform" in found else found["qform"]


def _require_agreement(path: Path, sform: np.ndarray, qform: np.ndarray) -> None:
    # A qform is a float32 quaternion, whose directions are good to about 1e-4: allow 1e-3 of a voxel step on the axes.
    steps = np.maximum(1.0, np.linalg.norm(sform[:3, :3], axis=0))
    axes = np.abs(sform[:3, :3] - qform[:3, :3]) / steps
    origin = np.abs(sform[:3, 3] - qform[:3, 3])
    if axes.max() > TOLERANCE or origin.max() > TOLERANCE:
        raise InputError(
            path, "its sform and qform place the voxels differently; keep the right one, set the other's code to 0"
        )


def _scaled(path: Path, array: np.ndarray, header: Nifti1Header) -> np.ndarray:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope) or (slope == 1 and inter == 0):
        return array
    if not math.isfinite(inter):
        raise InputError(path, "its scl_inter is NaN or infinite")
    scaled = array.astype(np.float64) * slope + inter
    return scaled.astype(np.float32) if array.dtype.itemsize <= 2 or array.dtype == np.float32 else scaled


def _header_like(like: Path) -> Nifti1Header:
    require_readable(like)
    with _open(like) as (chunks, _):
        return _read_header(like, chunks)[0]


def _header_from(affine: np.ndarray, shape: tuple[int, ...]) -> Nifti1Header:
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_qform(affine, code=1, strip_shears=True)
    if not np.allclose(header.get_qform(), affine, rtol=0, atol=TOLERANCE):
        header["qform_code"] = 0
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm")
    return header
