"""Labelled, unlabelled, validation and test, by patient."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.data.dataset import Case, DataSet
from pipelines.data.splits import (
    Splits,
    cases_of_share,
    make_rater_splits,
    make_splits,
    patient_faults,
    read_splits,
    write_splits,
)
from transforms.io.input_error import InputError, InputErrors

ROOT = Path("/data/set")


def _case(name: str, patient: str | None = None, *, label: bool = True) -> Case:
    return Case(name, (ROOT / f"{name}.nii.gz",), ROOT / f"{name}_seg.nii.gz" if label else None, patient)


def _dataset(**parts: tuple[Case, ...]) -> DataSet:
    training = tuple(_case(f"t{number}") for number in range(6))
    return DataSet(ROOT, "set", ("MRI",), {0: "background", 1: "a"}, **{"training": training, **parts})


def _ids(splits: Splits) -> dict[str, list[str]]:
    return {name: sorted(ids) for name, ids in splits.to_json().items() if ids}


def test_first_labels_in_file_order_are_kept() -> None:
    bare = _case("u0", label=False)
    training = (_case("t1"), bare, _case("t0"), _case("t2"))
    dataset = _dataset(training=training, unlabeled=(_case("u1", label=False),), test=(_case("x0"),))
    splits = make_splits(dataset, 2, None, 0)
    assert splits.to_json() == {
        "labeled": ["t1", "t0"],
        "unlabeled": ["u0", "t2", "u1"],
        "validation": [],
        "test": ["x0"],
    }
    assert all(case.label is None for case in splits.unlabeled)
    assert [set(entry) for entry in splits.entries("unlabeled")] == [{"image", "case_id"}] * 3
    assert splits.entries("labeled")[0]["label"] == str(ROOT / "t1_seg.nii.gz")
    assert len(make_splits(dataset, None, 0, 0).labeled) == 3


@pytest.mark.parametrize(
    ("labeled", "validation", "reason"),
    [
        (0, None, "at least 1"),
        (-3, None, "at least 1"),
        (7, None, r"is 7, but /data/set has 6 training cases with a label"),
        (4, 4, "at least 1 must stay"),
        (4, -1, "at least 1 must stay"),
    ],
)
def test_impossible_numbers_are_refused(labeled: int, validation: int | None, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        make_splits(_dataset(), labeled, validation, 0)
    assert refusal.value.subject in ("--labeled", "--validation")


def test_without_labels_there_is_nothing_to_learn() -> None:
    with pytest.raises(InputError, match="no training case with a label"):
        make_splits(_dataset(training=(_case("u", label=False),)), None, None, 0)


def test_validation_is_drawn_from_the_labelled_by_seed() -> None:
    drawn = [_ids(make_splits(_dataset(), 5, 2, seed)) for seed in range(6)]
    assert drawn[3] == _ids(make_splits(_dataset(), 5, 2, 3))
    assert len({tuple(ids["validation"]) for ids in drawn}) > 1
    for ids in drawn:
        assert (len(ids["labeled"]), len(ids["validation"]), ids["unlabeled"]) == (3, 2, ["t5"])
        assert "t5" not in ids["validation"]


def test_whole_patients_are_drawn_and_leave_the_unlabelled() -> None:
    training = (*(_case(f"{patient}{k}", patient) for patient in "abc" for k in (0, 1)), _case("a9", "a", label=False))
    for seed in range(5):
        splits = make_splits(_dataset(training=training), None, 2, seed)
        (patient,) = {case.patient_id for case in splits.validation}
        learned = {case.patient_id for case in (*splits.labeled, *splits.unlabeled)}
        assert len(splits.validation) == 2
        assert learned == set("abc") - {patient}
    with pytest.raises(InputError, match="do not add up to; try 2"):
        make_splits(_dataset(training=training), None, 3, 0)


def test_listed_validation_cases_are_taken() -> None:
    dataset = _dataset(validation=(_case("v0"), _case("v1")))
    assert _ids(make_splits(dataset, 3, None, 0))["validation"] == ["v0", "v1"]
    assert _ids(make_splits(dataset, 3, 2, 0))["validation"] == ["v0", "v1"]
    with pytest.raises(InputError, match="lists its own 2"):
        make_splits(dataset, 3, 1, 0)


@pytest.mark.parametrize(
    "parts",
    [
        {"test": (_case("x", "p"),)},
        {"validation": (_case("x", "p"),)},
        {"training": (_case("t"),), "unlabeled": (_case("u", "p", label=False),), "test": (_case("x", "p"),)},
    ],
)
def test_a_patient_in_two_parts_is_refused(parts: dict[str, tuple[Case, ...]]) -> None:
    dataset = _dataset(**{"training": (_case("t", "p"), _case("s", "q")), **parts})
    with pytest.raises(InputErrors, match=r"x.nii.gz: in (test|validation) shows the same patient as .*[tu].nii.gz"):
        make_splits(dataset, None, None, 0)


def test_a_patient_may_be_labelled_and_unlabelled() -> None:
    dataset = _dataset(training=(_case("t", "p"), _case("s", "p")))
    assert _ids(make_splits(dataset, 1, None, 0)) == {"labeled": ["t"], "unlabeled": ["s"]}


def test_each_pair_of_parts_is_told_once() -> None:
    parts = {"training": [_case("a", "p"), _case("b", "p")], "test": [_case("c", "p"), _case("d", "p")]}
    assert len(patient_faults(parts)) == 1
    assert "is the same case" in patient_faults({"training": [_case("a")], "test": [_case("a")]})[0].reason


def test_round_trip(tmp_path: Path) -> None:
    dataset = _dataset(test=(_case("x"),), unlabeled=(_case("u", label=False),))
    splits = make_splits(dataset, 4, 1, 7)
    write_splits(tmp_path / "splits.json", splits)
    assert read_splits(tmp_path / "splits.json", dataset) == splits


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "must hold the lists"),
        ('{"labeled": 3, "unlabeled": [], "validation": [], "test": []}', "must hold the lists"),
        ('{"labeled": [], "unlabeled": [], "validation": [], "test": ["gone"]}', "for example gone"),
        ('{"labeled": ["u"], "unlabeled": [], "validation": [], "test": []}', "needs the label of u"),
        ('{"labeled": ["t0"], "unlabeled": [], "validation": [], "test": ["t0"]}', "same case"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "splits.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_splits(path, _dataset())
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_splits(path, _dataset(unlabeled=(_case("u", label=False),)))


def rated(number: int, *, label: bool = True, raters: int = 2) -> Case:
    """A case with the labels of some raters and, perhaps, an expert's."""
    files = tuple(Path(f"/data/r/{number}_{rater}.nii.gz") for rater in range(raters))
    expert = Path(f"/data/l/{number}.nii.gz") if label else None
    return Case(f"case{number}", (Path(f"/data/i/{number}.nii.gz"),), expert, raters=files)


def noisy(*cases: Case, **parts: tuple[Case, ...]) -> DataSet:
    return DataSet(Path("/data"), "noisy", ("MRI",), {0: "background", 1: "organ"}, cases, **parts)


def test_cases_with_raters_are_learnt_from_whether_or_not_an_expert_has_labelled_them():
    splits = make_rater_splits(noisy(rated(0), rated(1, label=False), rated(2, raters=0)), None, 0)
    assert [case.case_id for case in splits.labeled] == ["case0", "case1"]


def test_where_nobody_rates_labels_are_learnt_from():
    splits = make_rater_splits(noisy(rated(0, raters=0), rated(1, raters=0, label=False)), None, 0)
    assert [case.case_id for case in splits.labeled] == ["case0"]
    with pytest.raises(InputError, match='has no training case with "raters" or a label'):
        make_rater_splits(noisy(rated(1, raters=0, label=False)), None, 0)


def test_validation_cases_of_noisy_data_have_an_experts_label():
    splits = make_rater_splits(noisy(rated(0, label=False), rated(1), rated(2)), 1, 0)
    (chosen,) = splits.validation
    assert chosen.label is not None
    assert {case.case_id for case in splits.labeled} == {"case0", "case1", "case2"} - {chosen.case_id}
    listed = make_rater_splits(noisy(rated(0), validation=(rated(5),)), None, 0)
    assert [case.case_id for case in listed.validation] == ["case5"]
    with pytest.raises(InputError, match="the data set lists its own 1"):
        make_rater_splits(noisy(rated(0), validation=(rated(5),)), 2, 0)


def test_a_share_is_made_of_whole_patients() -> None:
    pairs = tuple(_case(f"p{number}", f"patient{number // 2}") for number in range(10))
    assert cases_of_share(_dataset(training=pairs), 0.2, 0) == 2
    assert cases_of_share(_dataset(training=pairs), 0.5, 0) == 4  # 5 are no whole patients
    assert cases_of_share(_dataset(training=pairs, validation=(_case("v"),)), 0.2, 0) == 0
    assert cases_of_share(_dataset(training=pairs[:1]), 0.2, 0) == 0
    one = tuple(_case(f"p{number}", "patient") for number in range(4))
    with pytest.raises(InputError, match="no part of the cases can be set aside by whole patients"):
        cases_of_share(_dataset(training=one), 0.2, 0)
