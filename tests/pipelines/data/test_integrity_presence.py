"""Faults of what a data list says about lesions, through the check of a whole data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from pipelines.data.dataset import read_dataset
from pipelines.data.integrity import check_dataset

LABEL = np.zeros((4, 5, 3), np.uint8)
LABEL[1, 1, 1:] = 1
LABEL[2, 2, 2] = 2


def faults_of(folder: Path, presence: Any, label: np.ndarray | None = LABEL) -> list[str]:
    entry: dict[str, Any] = {"image": "a.nii"}
    image = np.random.default_rng(0).integers(0, 99, LABEL.shape).astype(np.uint8)
    nibabel.Nifti1Image(image, np.eye(4)).to_filename(folder / "a.nii")
    if label is not None:
        nibabel.Nifti1Image(label, np.eye(4)).to_filename(folder / "l.nii")
        entry["label"] = "l.nii"
    if presence is not None:
        entry["presence"] = presence
    names = {"0": "background", "1": "REA", "2": "SRF", "3": "PED"}
    listing = {"labels": names, "modality": {"0": "OCT"}, "training": [entry]}
    (folder / "dataset.json").write_text(json.dumps(listing))
    return [fault.reason for fault in check_dataset(read_dataset(folder)).faults]


@pytest.mark.parametrize(
    "presence",
    [None, ["REA", "SRF"], [1, 1, 0], [1, 1, None], {"slices": [[], ["REA"], ["REA", "SRF"]]}],
)
def test_sound(tmp_path: Path, presence: Any) -> None:
    assert faults_of(tmp_path, presence) == []


@pytest.mark.parametrize(
    ("presence", "message"),
    [
        (["REA", "drusen"], "its \"presence\" names 'drusen'; the classes are REA, SRF, PED"),
        ([1, 1], 'its "presence" has 2 numbers for 3 classes'),
        ({"slices": [[], ["REA"]]}, 'its "presence" tells of 2 slices, but the image has 3'),
        (["REA"], 'its "presence" says that there is no SRF, but its label holds some'),
        (["REA", "SRF", "PED"], 'its "presence" says that there is some PED, but its label holds none'),
        (
            {"slices": [[], ["REA", "SRF"], ["REA"]]},
            'its "presence" and its label disagree on SRF in slices 1, 2 (counted from 0)',
        ),
    ],
)
def test_one_line_for_each_fault(tmp_path: Path, presence: Any, message: str) -> None:
    assert faults_of(tmp_path, presence) == [message]


def test_slices_along_another_axis(tmp_path: Path) -> None:
    rows = [["REA"] if row == 1 else ["SRF"] if row == 2 else [] for row in range(5)]
    assert faults_of(tmp_path, {"slices": rows}) == []


def test_without_a_mask_the_form_alone_is_checked(tmp_path: Path) -> None:
    assert faults_of(tmp_path, ["PED"], label=None) == []
    assert len(faults_of(tmp_path, ["drusen"], label=None)) == 1


def test_a_label_with_faults_of_its_own_is_blamed_once(tmp_path: Path) -> None:
    strange = LABEL.copy()
    strange[0, 0, 0] = 9
    (fault,) = faults_of(tmp_path, ["PED"], strange)
    assert "does not declare: 9" in fault
