"""NRRD and MetaImage files (.nrrd, .nhdr, .mha, .mhd): strict reading, and label maps written with the same geometry.

Both are a text header and a block of voxels. The header is parsed here and not by SimpleITK, which fills what is
missing with defaults, and which reads on when a checksum at the end of the compressed voxels is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.io.geometry import (
    LPS_TO_RAS,
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
    ZLIB,
    collect,
    describe_content,
    inflated_chunks,
    plain_chunks,
    require_readable,
)

MAX_HEADER = 1 << 16

_META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NRRD_TYPES = {
    "i1": "signed char|int8|int8_t", "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t", "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t", "f4": "float", "f8": "double",
}  # fmt: skip
_NRRD_SPACES = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip


@dataclass(frozen=True)
class _Block:
    """Where the voxels of an image are and how they are stored."""

    geometry: Geometry
    dtype: np.dtype
    file: Path
    offset: int
    wbits: int | None
    """``None`` when the voxels are not compressed."""


def read_itk(path: Path) -> Volume:
    """Read an NRRD or MetaImage file.

    Returns:
        The voxels ``(H, W[, D])``, fastest axis of the file first, and the affine turned from LPS to RAS.

    Raises:
        InputError: when the file is damaged or truncated, has several components per voxel, NaN or infinity, an
            encoding or type that is not read, or does not say where its voxels lie.
    """
    block = _parse(path)
    size = require_readable(block.file)
    expected = math.prod(block.geometry.shape) * block.dtype.itemsize
    limit = (size - block.offset) * (1 if block.wbits is None else MAX_DEFLATE_RATIO) + 1024 * (block.wbits is not None)
    if expected > limit:
        raise InputError(
            path, f"is truncated: its header promises {expected} bytes of voxels, which cannot be in {size}"
        )
    with block.file.open("rb") as source:
        source.seek(block.offset)
        chunks = plain_chunks(source) if block.wbits is None else inflated_chunks(source, block.file, block.wbits)
        content = collect(chunks, expected, block.file)
    array = np.frombuffer(content, dtype=block.dtype).reshape(block.geometry.shape, order="F")
    array = array.astype(block.dtype.newbyteorder("="), copy=False)
    check_finite(path, array)
    return Volume(array, block.geometry.affine, block.geometry.spacing)


def read_itk_geometry(path: Path) -> Geometry:
    """Read the grid from the header alone.

    Raises:
        InputError: as ``read_itk`` does for the header.
    """
    return _parse(path).geometry


def voxel_file(path: Path) -> Path:
    """Give the file that holds the voxels: ``path`` itself, or the one beside it that a detached header names.

    Raises:
        InputError: as ``read_itk`` does for the header.
    """
    return _parse(path).file


def write_itk_mask(path: Path, array: np.ndarray, affine: np.ndarray, spacing: Sequence[float]) -> None:
    """Write the integer label map ``array`` ``(H, W[, D])`` as the format that the name of ``path`` says.

    Raises:
        InputError: when the grid is sheared, which these formats' readers do not agree on.
    """
    import SimpleITK as sitk  # noqa: N813

    dims = array.ndim
    lps = LPS_TO_RAS @ affine
    direction = lps[:dims, :dims] / np.asarray(spacing)
    if not np.allclose(direction.T @ direction, np.eye(dims), atol=1e-3):
        raise InputError(
            path, "cannot be written in this format, since the grid of its input is sheared; choose .nii.gz"
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing([float(value) for value in spacing])
    image.SetOrigin([float(value) for value in lps[:dims, 3]])
    image.SetDirection([float(value) for value in direction.ravel()])
    sitk.WriteImage(image, str(path), useCompression=True)


def _parse(path: Path) -> _Block:
    require_readable(path)
    with path.open("rb") as source:
        head = source.read(MAX_HEADER)
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        return _parse_nrrd(path, head)
    return _parse_metaimage(path, head)


def _parse_nrrd(path: Path, head: bytes) -> _Block:
    if not head.startswith(b"NRRD000"):
        raise InputError(path, f"is not an NRRD file: it holds {describe_content(head)}")
    end = re.search(rb"\r?\n\r?\n", head)
    detached = path.suffix.lower() == ".nhdr"
    if end is None and not detached:
        raise InputError(path, "is truncated within its header")
    fields = {}
    for line in head[: end.start() if end else None].decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#") and not value.startswith("="):
            fields[name.strip().lower().replace("datafile", "data file")] = value.strip()
    shape = tuple(_numbers(path, fields, "sizes", int))
    if len(shape) not in (2, 3) or int(fields.get("dimension", len(shape))) != len(shape):
        raise InputError(path, f"has {len(shape)} axes; one 2D or 3D image with one value per voxel is read")
    dtype = _nrrd_dtype(path, fields)
    affine = _nrrd_affine(path, fields, len(shape))
    encodings = {"raw": None, "gzip": GZIP, "gz": GZIP}
    encoding = fields.get("encoding", "").lower()
    if encoding not in encodings:
        raise InputError(path, f"its encoding {encoding!r} is not read; write it again as raw or gzip")
    if any(fields.get(name, "0") != "0" for name in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise InputError(path, "skips lines or bytes before its voxels, which is not read")
    file = _detached(path, fields.get("data file")) if "data file" in fields else path
    offset = 0 if file != path or end is None else end.end()
    return _Block(_geometry(path, shape, affine, dtype), dtype, file, offset, encodings[encoding])


def _nrrd_dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    name = " ".join(fields.get("type", "").lower().split())
    for code, names in _NRRD_TYPES.items():
        if name in names.split("|"):
            order = fields.get("endian", "little").lower()
            return np.dtype(("<" if order == "little" else ">") + code)
    raise InputError(path, f"its voxel type {name!r} is not read")


def _nrrd_affine(path: Path, fields: dict[str, str], dims: int) -> np.ndarray:
    affine = np.eye(4)
    space = fields.get("space", "").lower()
    if dims == 3 and space not in _NRRD_SPACES:
        raise InputError(
            path,
            f"has no orientation that is understood (space: {space or 'not given'}), so left and right are unknown",
        )
    if "space directions" in fields:
        vectors = re.findall(r"\(([^)]*)\)", fields["space directions"])
        origin = re.findall(r"\(([^)]*)\)", fields.get("space origin", ""))
        if len(vectors) != dims or (dims == 3 and len(origin) != 1):
            raise InputError(path, "its space directions or its space origin is missing or incomplete")
        rows = [_vector(path, vector, dims) for vector in [*vectors, *(origin or ["0," * (dims - 1) + "0"])]]
        for column, vector in zip([*range(dims), 3], rows, strict=True):
            affine[:dims, column] = vector
    elif dims == 2 and "spacings" in fields:
        affine[0, 0], affine[1, 1] = _numbers(path, fields, "spacings", float)
    else:
        raise InputError(path, "has no space directions, so where its voxels lie is unknown")
    signs = np.diag([*_NRRD_SPACES.get(space, (1, 1, 1)), 1.0])
    return LPS_TO_RAS @ signs @ affine


def _vector(path: Path, text: str, dims: int) -> list[float]:
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError as fault:
        raise InputError(path, f"its header holds {text!r} where numbers belong") from fault
    if len(values) != dims:
        raise InputError(path, f"its header holds a vector of {len(values)} numbers in {dims} dimensions")
    return values


def _parse_metaimage(path: Path, head: bytes) -> _Block:
    fields: dict[str, str] = {}
    offset = 0
    for line in head.splitlines(keepends=True):
        name, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
        if not equals or not name.strip().isidentifier():
            break
        fields[name.strip()] = value.strip()
        offset += len(line)
        if name.strip() == "ElementDataFile":
            break
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        holds = "a header without end" if fields else describe_content(head)
        raise InputError(path, f"is not a MetaImage file or is truncated within its header: it holds {holds}")
    shape = tuple(_numbers(path, fields, "DimSize", int))
    if len(shape) not in (2, 3) or fields.get("ElementNumberOfChannels", "1") != "1":
        raise InputError(
            path, f"has {len(shape)} axes or several channels; one 2D or 3D image with one value per voxel is read"
        )
    if fields.get("ElementType") not in _META_TYPES or not _true(fields.get("BinaryData", "True")):
        raise InputError(path, f"its voxel type {fields.get('ElementType')!r} or its text encoding is not read")
    if fields.get("HeaderSize", "0") != "0":
        raise InputError(path, "skips a header before its voxels (HeaderSize), which is not read")
    big = _true(fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")))
    dtype = np.dtype((">" if big else "<") + _META_TYPES[fields["ElementType"]])
    local = fields["ElementDataFile"].upper() == "LOCAL"
    file = path if local else _detached(path, fields["ElementDataFile"])
    wbits = ZLIB if _true(fields.get("CompressedData", "False")) else None
    geometry = _geometry(path, shape, _meta_affine(path, fields, len(shape)), dtype)
    return _Block(geometry, dtype, file, offset if local else 0, wbits)


def _meta_affine(path: Path, fields: dict[str, str], dims: int) -> np.ndarray:
    affine = np.eye(4)
    names = (("TransformMatrix", "Rotation", "Orientation"), ("Offset", "Position", "Origin"), ("ElementSpacing",))
    given = [next((name for name in group if name in fields), None) for group in names]
    for group, name in zip(names, given, strict=True):
        if name is None:
            raise InputError(path, f"has no {group[0]}, so where its voxels lie is unknown")
    matrix, offset, spacing = (_numbers(path, fields, str(name), float) for name in given)
    if (len(matrix), len(offset), len(spacing)) != (dims * dims, dims, dims):
        raise InputError(path, "its TransformMatrix, Offset or ElementSpacing does not have one value per dimension")
    check_spacing(path, spacing)
    # The file lists the direction of the first axis first: a row there is a column of the affine.
    affine[:dims, :dims] = np.reshape(matrix, (dims, dims)).T * spacing
    affine[:dims, 3] = offset
    return LPS_TO_RAS @ affine


def _geometry(path: Path, shape: tuple[int, ...], affine: np.ndarray, dtype: np.dtype) -> Geometry:
    check_shape(path, shape)
    dims = len(shape)
    affine = complete_plane(affine) if dims == 2 else affine
    spacing = spacing_of(affine, dims)
    check_spacing(path, spacing)
    check_affine(path, affine)
    return Geometry(shape, affine, spacing, 0, str(dtype.newbyteorder("=")))


def _numbers(path: Path, fields: dict[str, str], name: str, kind: type) -> list:
    try:
        return [kind(value) for value in fields[name].split()]
    except (KeyError, ValueError) as fault:
        raise InputError(path, f"its header has no usable {name}") from fault


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "1")


def _detached(path: Path, name: str | None) -> Path:
    """Give the file that holds the voxels; it must lie beside its header."""
    if not name or Path(name).name != name or name.upper() == "LIST" or "%" in name:
        raise InputError(path, f"its voxels are in {name!r}; they are read from one file in the same folder only")
    return path.with_name(name)
