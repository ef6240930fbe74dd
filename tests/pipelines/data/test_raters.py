"""Raters in a data set: read, checked, hashed, and expanded into instances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipelines.data.dataset import read_dataset, scan_dataset
from pipelines.data.integrity import Report, check_dataset
from pipelines.data.raters import EXPERT, atlas_names, expand_raters, rater_labels
from transforms.io.input_error import InputError

AFFINE = np.diag([0.8, 0.8, 1.5, 1.0])


def save(root: Path, name: str, array: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return name


def label(first: int = 3, value: int = 1, shape: tuple[int, ...] = (10, 9, 8)) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    array[first : first + 3, 2:6] = value
    return array


@pytest.fixture
def root(tmp_path):
    """Two training cases of two raters, the second without an expert's label, and a test case."""
    random = np.random.default_rng(0)
    for number in range(3):
        save(tmp_path, f"i/{number}.nii.gz", random.normal(size=(10, 9, 8)).astype(np.float32))
        save(tmp_path, f"l/{number}.nii.gz", label())
        for rater in range(2):
            save(tmp_path, f"r/{number}_{rater}.nii.gz", label(2 + rater))
    write(tmp_path)
    return tmp_path


def write(root: Path, **first: Any) -> None:
    raters = [[f"r/{number}_{rater}.nii.gz" for rater in range(2)] for number in range(2)]
    content = {
        "name": "noisy",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ"},
        "training": [
            {"image": "i/0.nii.gz", "label": "l/0.nii.gz", "raters": raters[0], "atlas": ["a", "b"], **first},
            {"image": "i/1.nii.gz", "raters": raters[1], "atlas": "a"},
        ],
        "test": [{"image": "i/2.nii.gz", "label": "l/2.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(content))


def check(root: Path) -> Report:
    dataset, faults = scan_dataset(root)
    return check_dataset(dataset, found_before=faults)


def told(root: Path) -> list[str]:
    return [str(fault) for fault in check(root).faults]


def test_raters_and_their_atlases(root):
    first, second = read_dataset(root).training
    assert rater_labels(first) == (root / "r/0_0.nii.gz", root / "r/0_1.nii.gz")
    assert atlas_names(first) == ("a", "b")
    assert atlas_names(second) == ("a", "a")
    assert first.extras["atlas"] == ["a", "b"]
    test = read_dataset(root).test[0]
    assert rater_labels(test) == atlas_names(test) == ()


def test_no_atlas_is_an_empty_name(root):
    write(root, atlas=None)
    assert atlas_names(read_dataset(root).training[0]) == ("", "")


def test_good_raters_have_no_faults_and_count_in_the_hash(root):
    report = check(root)
    assert report.faults == report.warnings == ()
    assert len(report.fingerprint["cases"]["0"]["files"]) == 4
    assert report.fingerprint["summary"]["raters"] == 4
    save(root, "r/0_1.nii.gz", label(5))
    assert check(root).fingerprint["hash"] != report.fingerprint["hash"]


@pytest.mark.parametrize(
    ("array", "affine", "said"),
    [
        (label(shape=(10, 9, 7)), AFFINE, "has shape 10x9x7, but its image has 10x9x8"),
        (label(), np.diag([0.8, 0.8, 1.4, 1.0]), "has spacing 0.8x0.8x1.4 mm"),
        (label(), np.diag([-0.8, 0.8, 1.5, 1.0]), "is flipped in"),
        (label(), AFFINE + np.array([[0, 0, 0, 2.0], [0] * 4, [0] * 4, [0] * 4]), "has its origin 2 mm away"),
        (label(value=3), AFFINE, "labels that the data set does not declare: 3"),
        (label().astype(np.float32) / 2, AFFINE, "holds labels that are not whole numbers, such as 0.5"),
    ],
)
def test_a_rater_that_does_not_fit_its_image(root, array, affine, said):
    save(root, "r/1_1.nii.gz", array, affine)
    (line,) = told(root)
    assert line.startswith(f"{root}/r/1_1.nii.gz: ")
    assert said in line


def test_a_missing_rater(root):
    (root / "r/1_0.nii.gz").unlink()
    assert any(line.startswith(f"{root}/r/1_0.nii.gz: ") for line in told(root))
    with pytest.raises(InputError, match=r"r/1_0.nii.gz: does not exist"):
        read_dataset(root)


def test_an_empty_rater_is_allowed_and_told(root):
    save(root, "r/1_0.nii.gz", np.zeros((10, 9, 8), np.uint8))
    report = check(root)
    assert report.faults == ()
    assert report.warnings == (f"{root}/r/1_0.nii.gz: the label is empty (background only)",)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"raters": ["../r/0_0.nii.gz"]}, "which leaves the folder of the data set"),
        ({"raters": ["/etc/passwd"]}, "paths are relative to the folder"),
        ({"raters": "r/0_0.nii.gz"}, 'its "raters" must be a list of label files'),
        ({"raters": [3]}, "holds 3 where the path of a file belongs"),
        ({"raters": ["r/0_0.nii.gz"] * 2, "atlas": None}, "names the rater r/0_0.nii.gz twice"),
        ({"raters": ["l/0.nii.gz"], "atlas": None}, "as a rater and as image or label too"),
        ({"atlas": ["a"]}, "must be one name, or a list of 2 names"),
        ({"atlas": [1, 2]}, "must be one name, or a list of 2 names"),
    ],
)
def test_entries_that_make_no_sense(root, entry, said):
    write(root, **entry)
    assert said in told(root)[0]


def test_instances_of_every_rater(root):
    dataset = read_dataset(root)
    instances = expand_raters(dataset.training, dataset.root)
    assert [(each.index, *each.key, each.atlas) for each in instances] == [
        (0, "0", "r/0_0.nii.gz", "a"),
        (1, "0", "r/0_1.nii.gz", "b"),
        (2, "1", "r/1_0.nii.gz", "a"),
        (3, "1", "r/1_1.nii.gz", "a"),
    ]
    entry = instances[1].entry()
    assert entry["label"] == str(root / "r/0_1.nii.gz")
    assert entry[EXPERT] == str(root / "l/0.nii.gz")
    assert entry["instance_index"] == 1
    assert EXPERT not in instances[2].entry()


def test_without_raters_the_labels_are_the_instances(root):
    dataset = read_dataset(root)
    (instance,) = expand_raters(dataset.test, dataset.root)
    assert instance.is_expert
    assert instance.key == ("2", "l/2.nii.gz")


def test_check_data_tells_of_raters(root, capsys):
    from pipelines.check_data import main

    save(root, "r/1_0.nii.gz", np.zeros((10, 9, 8), np.uint8))
    assert main([str(root), "--no-cache"]) == 0
    said = capsys.readouterr().out
    assert "raters          4 noisy labels of 2 cases" in said
    assert f"warning: {root}/r/1_0.nii.gz: the label is empty (background only)" in said
