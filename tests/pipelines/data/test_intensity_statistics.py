"""Streamed moments, against numpy on all values at once."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from pipelines.data import intensity_statistics as module
from pipelines.data.intensity_statistics import IntensityMoments, intensity_statistics
from transforms.io.input_error import InputError


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_volumes_and_pictures_as_numpy_has_them(tmp_path: Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    volumes = [rng.integers(0, 250, shape).astype(dtype) for shape in ((7, 6, 5), (3, 4, 2), (8, 8, 9))]
    cases = []
    for number, volume in enumerate(volumes):
        path = tmp_path / f"{number}.nii.gz"
        nibabel.Nifti1Image(volume, np.eye(4)).to_filename(path)
        cases.append({"image": str(path)})
    pictures = [rng.integers(0, 256, (5, 6)).astype(np.uint8) for _ in range(2)]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    cases.append({"image": [str(tmp_path / f"{number}.png") for number in range(2)]})
    values = np.concatenate([part.ravel().astype(np.float64) for part in (*volumes, *pictures)])
    mean, std = intensity_statistics(cases)
    assert mean == pytest.approx(values.mean(), rel=1e-13)
    assert std == pytest.approx(values.std(), rel=1e-13)


def test_no_digits_are_lost_far_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 10)
    moments = IntensityMoments()
    values = 1e8 + np.array([0.0, 1.0] * 50)
    for part in np.split(values, [7, 30, 30, 99]):
        moments.add(part.reshape(-1, 1))
    assert moments.count == 100
    assert moments.mean == pytest.approx(1e8 + 0.5, rel=1e-15)
    assert moments.std == pytest.approx(0.5, rel=1e-8)
    assert IntensityMoments().std == 0


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        intensity_statistics([])
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="every voxel of its images has the value 9"):
        intensity_statistics([{"image": str(tmp_path / "flat.png")}])
    with pytest.raises(InputError, match="absent"):
        intensity_statistics([{"image": str(tmp_path / "absent.png")}])
