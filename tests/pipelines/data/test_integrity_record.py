"""What is kept about one file."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipelines.data.integrity_record import FileRecord, measure_file, record_kind


def _nifti(path: Path, array: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, np.diag([0.5, 1.0, 2.0, 1.0])), path)
    return path


def test_image(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    record = measure_file(_nifti(tmp_path / "i.nii.gz", array), as_label=False)
    assert (record.shape, record.spacing, record.orientation, record.channels) == ((2, 3, 4), (0.5, 1.0, 2.0), "RAS", 0)
    assert (record.intensity["min"], record.intensity["max"], record.intensity["p50"]) == (0, 23, 11.5)
    assert record.intensity["std"] == pytest.approx(array.std(), rel=1e-6)
    assert (record.fault, record.counts, record.distinct) == ("", {}, 0)


@pytest.mark.parametrize(
    ("values", "counts", "fraction"),
    [
        (np.array([0, 0, 1, 5], np.uint8), {0: 2, 1: 1, 5: 1}, None),
        (np.array([-1, 0, 1, 1], np.int16), {-1: 1, 0: 1, 1: 2}, None),
        (np.array([0, 1, 1, 100_000], np.int32), {0: 1, 1: 2, 100_000: 1}, None),
        (np.array([0, 1, 2, 2], np.float32), {0: 1, 1: 1, 2: 2}, None),
        (np.array([0, 0.25, 1, 1], np.float32), {0: 1, 1: 2}, 0.25),
        (np.array([0.5, 0.5, 0.5, 0.5], np.float32), {}, 0.5),
    ],
)
def test_label(tmp_path: Path, values: np.ndarray, counts: dict[int, int], fraction: float | None) -> None:
    record = measure_file(_nifti(tmp_path / "l.nii.gz", values.reshape(2, 2, 1)), as_label=True)
    assert (record.counts, record.fraction, record.distinct) == (counts, fraction, len(counts))


def test_an_image_given_as_label_does_not_fill_the_record(tmp_path: Path) -> None:
    record = measure_file(
        _nifti(tmp_path / "l.nii", np.arange(1000, dtype=np.int16).reshape(10, 10, 10)), as_label=True
    )
    assert (len(record.counts), record.distinct) == (64, 1000)


def test_fault_of_a_file_and_of_a_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_text("text")
    assert "holds text" in measure_file(tmp_path / "a.nii.gz", as_label=False).fault
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM1.dcm").write_text("text")
    assert measure_file(tmp_path / "series", as_label=False).fault_in == "IM1.dcm"


def test_equal_voxels_have_equal_hashes_whatever_the_format(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (6, 5)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    paths = [
        tmp_path / "a.png",
        _nifti(tmp_path / "a.nii.gz", array),
        _nifti(tmp_path / "b.nii", array.astype(np.float32)),
    ]
    array[2, 2] ^= 1
    paths.append(_nifti(tmp_path / "c.nii", array))
    paths.append(_nifti(tmp_path / "d.nii", array.reshape(5, 6)))
    hashes = [measure_file(path, as_label=False).voxels for path in paths]
    assert len(set(hashes[:3])) == 1
    assert len(set(hashes)) == 3


def test_json_round_trip(tmp_path: Path) -> None:
    for as_label in (False, True):
        record = measure_file(_nifti(tmp_path / "i.nii.gz", np.ones((2, 3, 4), np.uint8)), as_label=as_label)
        assert FileRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_kind_depends_on_role_and_name() -> None:
    paths = [Path("a.nii.gz"), Path("a.nii"), Path("a.png"), Path("a")]
    assert len({record_kind(path, as_label=role) for path in paths for role in (False, True)}) == 8
