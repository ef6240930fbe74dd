from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.data.datalists import images_in, labeled_cases
from pipelines.data.phantoms import make_cohort
from transforms.io.input_error import InputError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort("two_class", folder, 4, labeled=1, unlabeled=1, test=2, shape=(16, 18, 14), seed=0)
    return folder


def test_images_of_a_folder_come_sorted_with_their_case_ids(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.mha", "notes.txt", ".hidden.nii"):
        (tmp_path / name).write_bytes(b"")
    assert images_in(tmp_path) == [
        {"image": str(tmp_path / "a.mha"), "case_id": "a"},
        {"image": str(tmp_path / "b.nii.gz"), "case_id": "b"},
    ]


@pytest.mark.parametrize(("name", "reason"), [("absent", "is no folder"), ("empty", "holds no image")])
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=reason):
        images_in(tmp_path / name)


def test_labeled_cases_are_those_of_the_split(cohort: Path) -> None:
    entries = labeled_cases(cohort, "test")
    assert [sorted(entry) for entry in entries] == [["case_id", "image", "label"]] * 2
    assert not {entry["case_id"] for entry in entries} & {
        entry["case_id"] for entry in labeled_cases(cohort, "training")
    }


@pytest.mark.parametrize(("split", "reason"), [("tset", "must be training"), ("validation", "has no labelled")])
def test_a_split_without_labels_is_refused(cohort: Path, split: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        labeled_cases(cohort, split)
