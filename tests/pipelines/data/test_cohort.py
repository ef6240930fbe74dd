from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.cohort import Cohort
from pipelines.data.phantoms import make_cohort
from transforms.io.input_error import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort("two_class", folder, 7, labeled=3, unlabeled=2, test=2, shape=(16, 18, 14), seed=0)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make(folder: Path, **changed: Any) -> Cohort:
    settings = {"labeled": None, "validation": None, "seed": 0, "spatial_dims": 3, "in_channels": 1, "num_classes": 2}
    return Cohort(folder, **{**settings, **changed})


def sizes(cohort: Cohort) -> tuple[int, int, int, int]:
    return len(cohort.labeled), len(cohort.unlabeled), len(cohort.validation), len(cohort.test)


def test_labels_are_hidden_and_unlabelled_scans_left_out_on_demand(folder: Path) -> None:
    assert sizes(make(folder)) == (3, 2, 0, 2)
    assert sizes(make(folder, labeled=1)) == (1, 4, 0, 2)
    assert sizes(make(folder, labeled=3, validation=1)) == (2, 2, 1, 2)
    assert sizes(make(folder, labeled=1, unlabeled=False)) == (1, 0, 0, 2)


def test_training_entries_come_labelled_first_and_no_hidden_label_is_left(folder: Path) -> None:
    training = make(folder, labeled=2).training
    assert ["label" in entry for entry in training] == [True, True, False, False, False]


def test_the_splits_are_written_with_every_case_once(folder: Path, tmp_path: Path) -> None:
    make(folder, labeled=2).write_splits(tmp_path / "splits.json")
    splits = json.loads((tmp_path / "splits.json").read_text())
    ids = [case_id for part in splits.values() for case_id in part]
    assert len(ids) == len(set(ids)) == 7


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"num_classes": 1}, "num_classes=2"),
        ({"in_channels": 2}, "in_channels=1"),
        ({"spatial_dims": 2}, "spatial_dims=3"),
        ({"labeled": 9}, "3"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(folder: Path, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        make(folder, **changed)


def test_a_damaged_file_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    victim = next((copy / "images").iterdir())
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(bytes(content))
    with pytest.raises(InputError, match=victim.name):
        make(copy)
