"""Frequencies of labels and the weights that follow: by hand, and files that are no labels."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipelines.data.label_frequencies import LabelFrequencies, label_weights, measure_label_frequencies
from transforms.io.input_error import InputError


def write(path: Path, labels: np.ndarray, dtype: type = np.uint8) -> dict[str, str]:
    nib.Nifti1Image(labels.astype(dtype), np.eye(4)).to_filename(path)
    return {"label": str(path), "case_id": path.stem}


@pytest.fixture
def cases(tmp_path: Path) -> list[dict[str, str]]:
    first = np.zeros((4, 5, 5))
    first[0, 0] = 1
    first[1, :2] = 255
    second = np.zeros((4, 5, 5))
    second[0] = 1
    second[1, 0] = 2
    return [
        write(tmp_path / "first.nii.gz", first),
        write(tmp_path / "second.nii.gz", second),
        {"image": "a scan without a label"},
    ]


def test_counts(cases: list[dict[str, str]]) -> None:
    found = measure_label_frequencies(cases, 3)
    assert found.voxels == (85 + 70, 5 + 25, 5, 0)
    assert found.cases == (2, 2, 1, 0)
    assert found.voxels_around == (190, 190, 100, 0)
    assert found.ignored == 10
    assert found.shares == pytest.approx((155 / 190, 30 / 190, 5 / 190, 0))
    assert found.to_json()["voxels"] == [155, 30, 5, 0]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("square_root", [math.sqrt(190 / 155), math.sqrt(190 / 30), math.sqrt(38), 0]),
        ("inverse", [190 / 155, 190 / 30, 38, 0]),
        # Shares 155/190, 30/190, 5/100 where present; their median is the second.
        ("median", [30 / 155, 1, (30 / 190) / 0.05, 0]),
    ],
)
def test_weights_by_hand(cases: list[dict[str, str]], rule: str, expected: list[float]) -> None:
    assert label_weights(cases, 3, rule) == pytest.approx(expected, rel=1e-6)


def test_power_is_the_published_one() -> None:
    # 1024^-0.35 = 2^-3.5 = 0.0883883, 1^-0.35 = 1; their mean is 0.5441942.
    found = LabelFrequencies((1024, 1), (1, 1), (1025, 1025)).weights("power")
    assert found == pytest.approx([0.0883883 / 0.5441942, 1 / 0.5441942], rel=1e-6)


def test_weights_of_the_published_frequencies() -> None:
    """8960 slices of 512 x 1024, of which 2.91e8, 3.96e7 and 1.29e6 pixels are lesions."""
    total = 8960 * 512 * 1024
    lesions = (int(2.91e8), int(3.96e7), int(1.29e6))
    found = LabelFrequencies((total - sum(lesions), *lesions), (1,) * 4, (total,) * 4).weights()
    assert found == pytest.approx([1.037, 4.018, 10.892, 60.345], rel=1e-3)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the label 4, but the configuration is for 3 classes"):
        measure_label_frequencies([write(tmp_path / "four.nii.gz", np.full((2, 2, 2), 4))], 3)
    with pytest.raises(InputError, match="no labels"):
        measure_label_frequencies([write(tmp_path / "half.nii.gz", np.full((2, 2, 2), 0.5), np.float32)], 3)
    with pytest.raises(InputError, match="no labels"):
        measure_label_frequencies([write(tmp_path / "less.nii.gz", np.full((2, 2, 2), -1), np.int16)], 3)
    with pytest.raises(ValueError, match="one of square_root, inverse, median, power, not best"):
        LabelFrequencies((1,), (1,), (1,)).weights("best")
    with pytest.raises(ValueError, match="no voxel"):
        LabelFrequencies((0, 0), (0, 0), (0, 0)).weights()
