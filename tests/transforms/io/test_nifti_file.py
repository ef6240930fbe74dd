"""NIfTI: good files as nibabel reads them, bad ones refused."""

from __future__ import annotations

import gzip
import resource
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from transforms.io.input_error import InputError
from transforms.io.nifti_file import encode_nifti, read_nifti, read_nifti_geometry

AFFINE = np.array([[-0.7, 0.02, 0, 12.5], [0.02, 0.7, 0, -30.25], [0, 0, 2.5, 4], [0, 0, 0, 1]])
RNG = np.random.default_rng(5)
# Position in the file and size of the fields that the faults below change.
DIM, DATATYPE, BITPIX, PIXDIM, OFFSET, SLOPE, UNITS = 40, 70, 72, 76, 108, 112, 123
QCODE, SCODE, QUATERN, QOFFSET, SROW = 252, 254, 256, 268, 280


def _image(
    dtype: type = np.int16, shape: tuple[int, ...] = (9, 8, 7), image: type = nib.Nifti1Image
) -> nib.Nifti1Image:
    array = RNG.integers(0, 200, shape).astype(dtype)
    made = image(array, AFFINE)
    made.set_qform(AFFINE, 1)
    made.set_sform(AFFINE, 1)
    return made


def _save(folder: Path, image: nib.Nifti1Image, name: str = "scan.nii.gz") -> Path:
    path = folder / name
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "späce 肝.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_reads_what_nibabel_reads(tmp_path: Path, name: str, dtype: type) -> None:
    path = _save(tmp_path, _image(dtype), name)
    volume, expected = read_nifti(path), nib.load(path)
    np.testing.assert_array_equal(volume.array, np.asanyarray(expected.dataobj))
    np.testing.assert_array_equal(volume.affine, expected.affine)
    assert volume.array.dtype == dtype
    assert volume.array.flags.writeable
    np.testing.assert_allclose(volume.spacing, nib.affines.voxel_sizes(expected.affine), rtol=1e-7)
    assert read_nifti_geometry(path).shape == (9, 8, 7)


def test_scaled_integers_big_endian_and_nifti2(tmp_path: Path) -> None:
    scaled = _image(np.uint8)
    content = bytearray(scaled.to_bytes())
    content[SLOPE : SLOPE + 8] = np.array([0.013, -1.5], "<f4").tobytes()
    path = tmp_path / "scaled.nii"
    path.write_bytes(content)
    volume = read_nifti(path)
    expected = np.asanyarray(nib.load(path).dataobj)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, expected.astype(np.float32))
    for image in (nib.Nifti1Image(np.arange(60, dtype=">i2").reshape(3, 4, 5), AFFINE), _image(image=nib.Nifti2Image)):
        path = _save(tmp_path, image, "other.nii.gz")
        np.testing.assert_array_equal(read_nifti(path).array, np.asanyarray(nib.load(path).dataobj))


@pytest.mark.parametrize(("shape", "expected"), [((6, 5), (6, 5)), ((6, 5, 1), (6, 5, 1)), ((6, 5, 4, 1), (6, 5, 4))])
def test_dimensions(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    volume = read_nifti(_save(tmp_path, _image(shape=shape)))
    assert volume.array.shape == expected
    assert len(volume.spacing) == len(expected)


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 1), (1, 2)])
def test_either_form_is_enough(tmp_path: Path, qform: int, sform: int) -> None:
    image = _image()
    image.set_qform(AFFINE if qform else None, qform)
    image.set_sform(AFFINE if sform else None, sform)
    np.testing.assert_allclose(read_nifti(_save(tmp_path, image)).affine, AFFINE, atol=1e-5)


def _put(at: int, value: object, kind: str) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        data = np.asarray(value, dtype=kind).tobytes()
        content[at : at + len(data)] = data

    return change


def _first_voxel(value: float) -> Callable[[bytearray], None]:
    return _put(352, value, "<f4")


def _both(*changes: Callable[[bytearray], None]) -> Callable[[bytearray], None]:
    return lambda content: [change(content) for change in changes] and None


BAD_CONTENT = {
    "nan voxel": (_first_voxel(np.nan), "NaN or infinity in 1 of"),
    "infinite voxel": (_first_voxel(-np.inf), "NaN or infinity"),
    "complex": (_both(_put(DATATYPE, 32, "<i2"), _put(BITPIX, 64, "<i2")), "complex"),
    "colours": (_both(_put(DATATYPE, 128, "<i2"), _put(BITPIX, 24, "<i2")), "colours"),
    "unknown type": (_put(DATATYPE, 999, "<i2"), "type code 999"),
    "contradicting bits": (_put(BITPIX, 8, "<i2"), "contradicts"),
    "magic": (_put(344, [0, 0, 0, 0], "u1"), "not a NIfTI"),
    "1 dimension": (_put(DIM, 1, "<i2"), "1 dimensions"),
    "negative size": (_put(DIM + 2, -9, "<i2"), "impossible shape"),
    "zero size": (_put(DIM + 2, 0, "<i2"), "impossible shape"),
    "smaller than its data": (_put(DIM + 2, 8, "<i2"), "more data"),
    "larger than its data": (_put(DIM + 2, 10, "<i2"), "truncated"),
    "huge": (_put(DIM, [3, 30000, 30000, 300], "<i2"), "voxels"),
    "large": (_put(DIM, [3, 2000, 2000, 1000], "<i2"), "promises"),
    "zero spacing": (_put(PIXDIM + 4, 0, "<f4"), "spacing"),
    "negative spacing": (_put(PIXDIM + 8, -1, "<f4"), "spacing"),
    "NaN spacing": (_put(PIXDIM + 12, np.nan, "<f4"), "spacing"),
    "metres": (_put(UNITS, 1, "u1"), "millimetre"),
    "offset": (_put(OFFSET, np.nan, "<f4"), "start at byte"),
    "NaN inter": (_put(SLOPE, [2, np.nan], "<f4"), "scl_inter"),
    "no codes": (_both(_put(QCODE, 0, "<i2"), _put(SCODE, 0, "<i2")), "no orientation"),
    "singular": (_both(_put(QCODE, 0, "<i2"), _put(SROW, np.zeros(12), "<f4")), "singular|spacing"),
    "parallel axes": (
        _both(_put(QCODE, 0, "<i2"), _put(SROW, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "<f4")),
        "singular",
    ),
    "NaN sform": (_put(SROW, np.nan, "<f4"), "NaN"),
    "flipped sform": (_put(SROW, 0.7, "<f4"), "differently"),
    "moved qform": (_put(QOFFSET, 12.6, "<f4"), "differently"),
    "no rotation": (_put(QUATERN, [1, 1, 1], "<f4"), "not a rotation"),
    "1000 mm": (_both(_put(QCODE, 0, "<i2"), _put(SROW, [1000, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "<f4")), "beyond"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("change", "reason"), BAD_CONTENT.values(), ids=BAD_CONTENT.keys())
def test_bad_content_is_refused(tmp_path: Path, change: Callable, reason: str, packed: bool) -> None:
    content = bytearray(_image(np.float32).to_bytes())
    change(content)
    path = tmp_path / ("bad.nii.gz" if packed else "bad.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=reason) as refusal:
        read_nifti(path)
    assert refusal.value.subject == str(path)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


BAD_FILES = {
    "bit flip": (lambda data: _flip(data, len(data) // 2), "corrupt|truncated"),
    "bad checksum": (lambda data: _flip(data, len(data) - 7), "checksum"),
    "bad length": (lambda data: _flip(data, len(data) - 3), "checksum"),
    "cut in half": (lambda data: data[: len(data) // 2], "truncated"),
    "last byte lost": (lambda data: data[:-1], "truncated"),
    "stray bytes": (lambda data: data + b"stray", "stray"),
    "picture": (lambda data: b"\x89PNG\r\n\x1a\n" + data, "holds a PNG picture"),
    "text": (lambda data: b"this is not an image", "holds text"),
    "not packed": (gzip.decompress, "holds a NIfTI"),
    "packed text": (lambda data: gzip.compress(b"not an image"), "not a NIfTI file: it holds text"),
    "half a header": (lambda data: gzip.compress(gzip.decompress(data)[:300]), "not a NIfTI"),
    "zero bytes": (lambda data: b"", "zero bytes"),
}


@pytest.mark.parametrize(("damage", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_damaged_files_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes], reason: str) -> None:
    path = _save(tmp_path, _image())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=reason) as refusal:
        read_nifti(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("shape", [(4, 4, 4, 3), (4, 4, 1, 1, 3)])
def test_channels_and_time_points_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="one file per channel or time point"):
        read_nifti(_save(tmp_path, _image(shape=shape)))


def test_a_huge_header_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    content = bytearray(_image(np.float32).to_bytes())
    _put(DIM, [3, 2000, 2000, 1500], "<i2")(content)
    path = tmp_path / "huge.nii.gz"
    path.write_bytes(gzip.compress(content))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(InputError, match="promises"):
        read_nifti(path)
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("source", [nib.Nifti1Image, nib.Nifti2Image])
def test_encoding_copies_the_header_bit_for_bit(tmp_path: Path, source: type) -> None:
    image = _image(np.int16, image=source)
    image.set_sform(AFFINE, 2)
    like = _save(tmp_path, image)
    mask = RNG.integers(0, 3, (9, 8, 7)).astype(np.uint8)
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(encode_nifti(mask, np.eye(4), like, compress=True))
    written, original = nib.load(path), nib.load(like)
    assert type(written) is type(original)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), mask)
    for name in ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "sform_code"):
        assert written.header[name].tobytes() == original.header[name].tobytes()
    for name in ("qform_code", "pixdim", "xyzt_units"):
        assert written.header[name].tobytes() == original.header[name].tobytes()
    assert written.get_data_dtype() == np.uint8
    assert encode_nifti(mask, np.eye(4), like, compress=True) == path.read_bytes()


def test_encoding_without_model_gives_both_forms_unless_sheared(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    path.write_bytes(encode_nifti(np.ones((3, 4, 5), np.uint8), AFFINE, None, compress=False))
    header = nib.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(read_nifti(path).affine, AFFINE, atol=1e-5)
    sheared = AFFINE + np.array([[0, 0.5, 0, 0], [0] * 4, [0] * 4, [0] * 4])
    path.write_bytes(encode_nifti(np.ones((3, 4, 5), np.uint8), sheared, None, compress=False))
    assert int(nib.load(path).header["qform_code"]) == 0
    np.testing.assert_allclose(read_nifti(path).affine, sheared, atol=1e-5)
