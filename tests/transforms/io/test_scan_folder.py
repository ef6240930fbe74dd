"""Folders of pictures as volumes: order, spacing, and refusals of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImaged
from PIL import Image

from transforms.io.geometry import orientation_of
from transforms.io.input_error import InputError
from transforms.io.scan_folder import is_scan_folder, read_scan_folder, read_scan_folder_geometry
from transforms.io.volume import read_geometry, read_volume, write_mask
from transforms.io.volume_reader import VolumeReader

SCANS = np.random.default_rng(0).integers(0, 256, (12, 5, 7)).astype(np.uint8)


def written(folder: Path, *names: str, scans: np.ndarray = SCANS) -> Path:
    folder.mkdir(exist_ok=True)
    for name, scan in zip(names, scans, strict=False):
        Image.fromarray(scan).save(folder / name)
    return folder


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_natural_order(tmp_path: Path, ending: str) -> None:
    folder = written(tmp_path / "eye", *(f"bscan_{number}{ending}" for number in range(1, 13)))
    volume, geometry = read_volume(folder), read_geometry(folder)
    np.testing.assert_array_equal(volume.array, np.moveaxis(SCANS, 0, -1))
    assert volume.array.dtype == np.uint8
    assert geometry.shape == volume.geometry.shape == (5, 7, 12)
    assert geometry.spacing == (1, 1, 1)
    assert is_scan_folder(folder)


def test_colours_spacing_and_the_reader(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (3, 5, 7, 3)).astype(np.uint8)
    folder = written(tmp_path / "eye", "1.png", "2.png", "3.png", scans=colours)
    (folder / "spacing.json").write_text(json.dumps({"spacing_mm": [0.0039, 0.0117, 0.047]}))
    volume = read_scan_folder(folder)
    np.testing.assert_array_equal(volume.array, colours.transpose(3, 1, 2, 0))
    assert volume.spacing == read_scan_folder_geometry(folder).spacing == (0.0039, 0.0117, 0.047)
    upright = [[0, -0.0117, 0, 0], [-0.0039, 0, 0, 0], [0, 0, 0.047, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(volume.affine, upright)
    assert orientation_of(volume.affine, 3) == "PLS"
    image = LoadImaged("image", reader=VolumeReader(), ensure_channel_first=True)({"image": str(folder)})["image"]
    assert image.shape == (3, 5, 7, 3)
    labels = written(tmp_path / "labels", "1.png", "2.png", scans=SCANS)
    label = LoadImaged("label", reader=VolumeReader(), ensure_channel_first=True)({"label": str(labels)})["label"]
    assert label.shape == (1, 5, 7, 2)


def test_masks_are_written_on_the_grid_of_a_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "eye", "1.png", "2.png")
    mask = np.zeros((5, 7, 2), np.uint8)
    mask[1, 2, 1] = 3
    write_mask(tmp_path / "mask.nii.gz", mask, folder)
    np.testing.assert_array_equal(read_volume(tmp_path / "mask.nii.gz").array, mask)


def test_several_numbers_in_a_name(tmp_path: Path) -> None:
    """Numbers that stay are no count; where several change there is an order, but no gap can be told."""
    folder = written(tmp_path / "one", "eye2_9_v1.png", "eye2_10_v1.png", "eye2_11_v1.png")
    np.testing.assert_array_equal(read_scan_folder(folder).array[..., 1], SCANS[1])
    folder = written(tmp_path / "two", "1_2130.png", "2_2131.png", "3_2145.png")
    assert read_scan_folder_geometry(folder).shape == (5, 7, 3)
    assert read_scan_folder_geometry(written(tmp_path / "three", "single.png")).shape == (5, 7, 1)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("b_1.png", "b_2.png", "b_4.png"), "lacks the B-scans between b_2.png and b_4.png"),
        (("b_1.png", "b_01.png"), "holds two pictures of one number, b_01.png and b_1.png"),
        (("left_1.png", "right_1.png"), "holds pictures of different names (left_1.png, right_1.png)"),
        (("b_1.png", "b_2.tif"), "holds pictures of different names"),
    ],
)
def test_refused_names(tmp_path: Path, names: tuple[str, ...], reason: str) -> None:
    folder = written(tmp_path / "eye", *names)
    for read in (read_volume, read_geometry):
        with pytest.raises(InputError) as refused:
            read(folder)
        assert str(refused.value).startswith(f"{folder}: {reason}")


def test_refused_contents(tmp_path: Path) -> None:
    folder = written(tmp_path / "eye", "1.png")
    Image.fromarray(SCANS[0, :4]).save(folder / "2.png")
    with pytest.raises(InputError, match=r"2.png: has 4x7 pixels, but 1.png of the same volume has 5x7"):
        read_volume(folder)
    Image.fromarray(SCANS[0].astype(np.uint16)).save(folder / "2.png")
    with pytest.raises(InputError, match="other colours or bits than 1.png"):
        read_volume(folder)
    (folder / "2.png").unlink()
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="holds B-scans, but notes.txt too, which is no picture"):
        read_volume(folder)
    (folder / "notes.txt").unlink()
    (folder / "inside").mkdir()
    with pytest.raises(InputError, match="inside too"):
        read_volume(folder)


@pytest.mark.parametrize("content", ["{", "[1, 1, 1]", '{"spacing_mm": [1, 1]}', '{"spacing_mm": [1, "a", true]}'])
def test_refused_spacing(tmp_path: Path, content: str) -> None:
    folder = written(tmp_path / "eye", "1.png")
    (folder / "spacing.json").write_text(content)
    with pytest.raises(InputError, match=r"spacing.json: (is not valid JSON|must tell)"):
        read_geometry(folder)


def test_spacing_must_be_positive(tmp_path: Path) -> None:
    folder = written(tmp_path / "eye", "1.png")
    (folder / "spacing.json").write_text('{"spacing_mm": [1, -1, 1]}')
    with pytest.raises(InputError, match="positive"):
        read_geometry(folder)


def test_previews_beside_a_series_make_it_no_folder_of_scans(tmp_path: Path) -> None:
    folder = written(tmp_path / "series", "preview.png")
    (folder / "0001").write_bytes(bytes(128) + b"DICM" + bytes(64))
    assert not is_scan_folder(folder)
    assert not is_scan_folder(folder / "preview.png")
    (tmp_path / "empty").mkdir()
    assert not is_scan_folder(tmp_path / "empty")
