"""Pictures: rows first, whole, and nothing turned or recoloured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transforms.io.input_error import InputError
from transforms.io.raster_file import read_raster, read_raster_geometry, write_raster_mask

RNG = np.random.default_rng(2)
GREY8 = RNG.integers(0, 256, (40, 30)).astype(np.uint8)
GREY16 = RNG.integers(0, 60000, (40, 30)).astype(np.uint16)
COLOUR = RNG.integers(0, 256, (40, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".PNG", ".tiff"])
@pytest.mark.parametrize("array", [GREY8, GREY16, GREY8 > 100], ids=["8 bit", "16 bit", "1 bit"])
def test_grey_values_have_rows_first(tmp_path: Path, suffix: str, array: np.ndarray) -> None:
    path = tmp_path / f"späce 肝{suffix}"
    Image.fromarray(array).save(path)
    volume = read_raster(path)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == (np.uint8 if array.dtype == bool else array.dtype)
    assert volume.spacing == (1.0, 1.0)
    np.testing.assert_array_equal(volume.affine, np.eye(4))


def test_float_tiff(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(GREY8.astype(np.float32) / 3).save(path)
    np.testing.assert_array_equal(read_raster(path).array, GREY8.astype(np.float32) / 3)


@pytest.mark.parametrize("opaque", [False, True])
def test_colours_come_first(tmp_path: Path, opaque: bool) -> None:
    path = tmp_path / "c.png"
    image = Image.fromarray(COLOUR)
    (image.convert("RGBA") if opaque else image).save(path)
    volume = read_raster(path)
    np.testing.assert_array_equal(volume.array, np.moveaxis(COLOUR, -1, 0))
    assert volume.has_channels
    assert read_raster_geometry(path).channels == 3
    assert read_raster_geometry(path).shape == (40, 30)


def test_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "c.jpg"
    Image.fromarray(np.full((40, 30, 3), 77, np.uint8)).save(path)
    assert np.abs(read_raster(path).array.astype(int) - 77).max() <= 2


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("suffix", "damage", "reason"),
    [
        (".png", lambda data: _flip(data, len(data) // 2), "corrupt"),
        (".png", lambda data: data[: len(data) // 2], "corrupt or truncated"),
        (".png", lambda data: b"text", "holds text"),
        (".png", lambda data: b"", "zero bytes"),
        (".jpg", lambda data: data[: len(data) // 2], "truncated"),
        (".tif", lambda data: data[: len(data) // 2], "corrupt or truncated|not a readable"),
    ],
)
def test_damaged_pictures_are_refused(tmp_path: Path, suffix: str, damage: Callable, reason: str) -> None:
    path = tmp_path / f"bad{suffix}"
    Image.fromarray(GREY8).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=reason) as refusal:
        read_raster(path)
    assert refusal.value.subject == str(path)


def test_pictures_of_another_kind_are_refused(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR)
    table: dict[str, tuple[Image.Image, dict, str]] = {
        "palette.png": (image.convert("P"), {}, "mode P"),
        "clear.png": (Image.fromarray(np.dstack([COLOUR, GREY8])), {}, "transparent"),
        "cmyk.tif": (image.convert("CMYK"), {}, "mode CMYK"),
        "pages.tif": (image, {"save_all": True, "append_images": [image]}, "2 pages"),
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    table["turned.jpg"] = (image, {"exif": exif}, "EXIF")
    for name, (picture, options, reason) in table.items():
        picture.save(tmp_path / name, **options)
        with pytest.raises(InputError, match=reason):
            read_raster(tmp_path / name)
    image.save(tmp_path / "really.png", format="JPEG")
    with pytest.raises(InputError, match="JPEG picture"):
        read_raster(tmp_path / "really.png")


@pytest.mark.parametrize("high", [2, 700])
def test_masks_are_written_as_their_values(tmp_path: Path, high: int) -> None:
    mask = RNG.integers(0, high, (12, 9))
    write_raster_mask(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_raster(tmp_path / "m.png").array, mask)


def test_masks_that_would_be_changed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="JPEG changes"):
        write_raster_mask(tmp_path / "m.jpg", np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match="3D"):
        write_raster_mask(tmp_path / "m.png", np.zeros((3, 3, 3), np.uint8))
