from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.data.dataset import Case, DataSet
from pipelines.registration.atlas_plan import (
    AtlasChoice,
    choose_atlases,
    choose_targets,
    mask_of,
    plan_pairs,
    require_same_labels,
    same_person,
)
from transforms.io.input_error import InputError

ROOT = Path("/data")


def case(name: str, *, label: bool = True, patient: str | None = None, **extras: str) -> Case:
    return Case(name, (ROOT / f"{name}.nii.gz",), ROOT / f"l{name}.nii.gz" if label else None, patient, extras)


def dataset(
    *training: Case, unlabeled: tuple[Case, ...] = (), labels: tuple[str, ...] = ("background", "a")
) -> DataSet:
    return DataSet(ROOT, "d", ("CT",), dict(enumerate(labels)), training=training, unlabeled=unlabeled)


DATA = dataset(
    case("a"),
    case("b", patient="p"),
    case("c", patient="p"),
    case("d", label=False),
    unlabeled=(case("u", label=False),),
)


def names(cases: tuple[Case, ...]) -> str:
    return "".join(found.case_id for found in cases)


def test_labelled_training_cases_are_atlases_and_nobody_is_his_own():
    atlases = choose_atlases(DATA, AtlasChoice())
    targets = choose_targets(DATA, atlases, AtlasChoice())
    assert (names(atlases), names(targets)) == ("abc", "abcdu")
    pairs = ["".join(names(pair)) for pair in plan_pairs(atlases, targets)]
    assert pairs == ["ba", "ca", "ab", "ac", "ad", "bd", "cd", "au", "bu", "cu"]


def test_choices():
    assert names(choose_atlases(DATA, AtlasChoice(atlas_ids=("c", "a")))) == "ca"
    drawn = [names(choose_atlases(DATA, AtlasChoice(atlas_count=2, seed=seed))) for seed in range(20)]
    assert set(drawn) == {"ab", "ac", "bc"}
    assert drawn[3] == names(choose_atlases(DATA, AtlasChoice(atlas_count=2, seed=3)))
    one = choose_atlases(DATA, AtlasChoice(atlas_ids=("b",)))
    assert names(choose_targets(DATA, one, AtlasChoice(disjoint=True))) == "adu"
    assert len(choose_targets(DATA, one, AtlasChoice(disjoint=True, target_count=2))) == 2


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (AtlasChoice(atlas_ids=("x",)), "--atlas-ids: x is no case of"),
        (AtlasChoice(atlas_ids=("d",)), "--atlas-ids: d has no label"),
        (AtlasChoice(atlas_count=4), "--atlas-count: must lie within 1 and 3"),
    ],
)
def test_refuses_atlases(choice, message):
    with pytest.raises(InputError, match=message):
        choose_atlases(DATA, choice)


def test_refuses_what_leaves_nothing():
    with pytest.raises(InputError, match="no labelled training case"):
        choose_atlases(dataset(case("d", label=False)), AtlasChoice())
    only = dataset(case("a"))
    with pytest.raises(InputError, match="no target is left"):
        plan_pairs(only.training, only.training)
    with pytest.raises(InputError, match="no training or unlabelled case"):
        choose_targets(only, only.training, AtlasChoice(disjoint=True))


def test_one_person():
    assert same_person(case("b", patient="p"), case("c", patient="p"))
    assert same_person(case("a"), case("a", patient="q"))
    assert not same_person(case("a"), case("b"))


def test_labels_must_mean_the_same():
    require_same_labels(DATA, dataset(case("u", label=False), labels=("background",)))
    with pytest.raises(InputError, match="0 background, 1 b, not 0 background, 1 a"):
        require_same_labels(DATA, dataset(case("a"), labels=("background", "b")))


def test_masks(tmp_path):
    data = DataSet(tmp_path, "d", (), {})
    assert mask_of(data, case("a")) is None
    with pytest.raises(InputError, match="does not exist"):
        mask_of(data, case("a", mask="m.nii.gz"))
    (tmp_path / "m.nii.gz").touch()
    assert mask_of(data, case("a", mask="m.nii.gz")) == tmp_path / "m.nii.gz"
    with pytest.raises(InputError, match="leaves the folder"):
        mask_of(data, case("a", mask="../m.nii.gz"))
