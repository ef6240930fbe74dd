"""Decathlon and nnU-Net v2 folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.dataset import Case, read_dataset, scan_dataset
from transforms.io.input_error import InputError, InputErrors

LABELS = {"0": "background", "1": "atrium"}


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def _describe(root: Path, **content: Any) -> Path:
    (root / "dataset.json").write_text(
        json.dumps({"name": "set", "modality": {"0": "MRI"}, "labels": LABELS, **content})
    )
    return root


def _pair(name: str, **more: Any) -> dict[str, Any]:
    return {"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz", **more}


def test_decathlon_folder(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"images/{name}.nii.gz" for name in "abcdef"), "labels/a.nii.gz", "labels/e.nii.gz")
    bare = "images/b.nii.gz"
    _describe(
        tmp_path,
        training=[_pair("a", patient=7, presence=[1], label_2nd="x.png"), {"image": bare}],
        validation=[_pair("e", subject="S1")],
        test=["./images/c.nii.gz", {"image": "images/d.nii.gz", "label": None}],
        unlabeled=[{"image": "images/f.nii.gz", "label": "never/read.nii.gz"}],
        licence="free",
    )
    dataset = read_dataset(tmp_path)
    assert (dataset.name, dataset.modality, dataset.labels) == ("set", ("MRI",), {0: "background", 1: "atrium"})
    assert [(split, case.case_id, case.label is not None) for split, case in dataset.cases] == [
        ("training", "a", True),
        ("training", "b", False),
        ("validation", "e", True),
        ("test", "c", False),
        ("test", "d", False),
        ("unlabeled", "f", False),
    ]
    first = dataset.training[0]
    assert (first.patient, first.patient_id, dataset.training[1].patient_id) == ("7", "7", "b")
    assert dataset.validation[0].patient == "S1"
    assert first.extras == {"presence": [1], "label_2nd": "x.png"}
    assert dataset.extras == {"licence": "free"}
    image, label = tmp_path / "images/a.nii.gz", tmp_path / "labels/a.nii.gz"
    assert first.entry() == {"image": str(image), "label": str(label), "case_id": "a", "presence": [1]}
    assert dataset.training[1].entry() == {"image": str(tmp_path / bare), "case_id": "b"}
    assert "label" not in first.without_label().entry()


def test_channels_and_equal_names(tmp_path: Path) -> None:
    names = ["p1/CT.nii.gz", "p2/CT.nii.gz", "p3/T1.nii.gz", "p3/T2.nii.gz", "p4/1.2.840/IM1"]
    _touch(tmp_path, *names)
    training = [{"image": names[0]}, {"image": names[1]}, {"image": names[2:4]}, {"image": "p4/1.2.840"}]
    dataset = read_dataset(_describe(tmp_path, training=training, test=[names[0]]))
    assert [case.case_id for case in dataset.training] == ["p1_CT", "p2_CT", "T1", "1.2.840"]
    assert dataset.test[0].case_id == "p1_CT"
    assert dataset.training[2].entry()["image"] == [str(tmp_path / name) for name in names[2:4]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"0": "background", "1": "a", "2": "b"}, {0: "background", 1: "a", 2: "b"}),
        ({"background": 0, "b": 2, "a": 1}, {0: "background", 1: "a", 2: "b"}),
        (["background", "a"], {0: "background", 1: "a"}),
    ],
)
def test_labels_in_either_form(tmp_path: Path, labels: Any, expected: dict[int, str]) -> None:
    _touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    assert read_dataset(_describe(tmp_path, labels=labels, training=[_pair("a")])).labels == expected


def test_no_labels_are_needed_without_labelled_cases(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.nii.gz")
    dataset = read_dataset(_describe(tmp_path, labels={}, training=[], unlabeled=["images/a.nii.gz"]))
    assert dataset.labels == {0: "background"}


GOOD = [_pair("a")]
BAD = {
    "gap": ({"labels": {"0": "background", "2": "a"}}, "without a gap; given: 0, 2"),
    "no background": ({"labels": {"1": "a"}}, "without a gap"),
    "only background": ({"labels": {"0": "background"}}, "without a gap"),
    "no labels": ({"labels": {}}, "given: none"),
    "region": ({"labels": {"background": 0, "whole": [1, 2]}}, "not one whole number"),
    "truth": ({"labels": {"background": 0, "a": True}}, "not one whole number"),
    "fraction": ({"labels": {"background": 0, "a": 0.5}}, "not one whole number"),
    "same name": ({"labels": {"0": "a", "1": "a"}}, "same name"),
    "two names": ({"labels": {"a": 0, "b": 0}}, "two names"),
    "text": ({"labels": "atrium"}, "must map"),
    "modality": ({"modality": 3}, "modality"),
    "no list": ({"training": {"image": "a"}}, "must be a list"),
    "no cases": ({"training": []}, "lists no cases"),
    "no image": ({"training": [{"label": "labels/a.nii.gz"}]}, 'training case 1.*no "image"'),
    "empty image": ({"training": [{"image": []}]}, "empty list"),
    "number": ({"training": [{"image": 3}]}, "where the path of a file belongs"),
    "leaves": ({"training": [{"image": "images/../../x.nii.gz"}]}, "leaves the folder"),
    "label leaves": ({"training": [{**_pair("a"), "label": "../x.nii.gz"}]}, "leaves the folder"),
    "absolute": ({"training": [{"image": "/etc/passwd"}]}, "relative to the folder"),
    "home": ({"training": [{"image": "~/x.nii.gz"}]}, "relative to the folder"),
    "own label": ({"training": [{"image": "images/a.nii.gz", "label": "./images/a.nii.gz"}]}, "both image and label"),
    "missing": ({"test": ["images/none.nii.gz"]}, "none.nii.gz: does not exist"),
}


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_descriptions_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    _touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    _describe(tmp_path, **{"training": GOOD, **change})
    with pytest.raises(InputError, match=reason) as refusal:
        read_dataset(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON in line 1"),
        ("[1]", "one JSON object"),
        ("{}", "neither"),
        ('{"training": []}', 'no "labels"'),
        ('{"training": [], "labels": {"0": "a"}}', 'no "modality", for example'),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_unreadable_descriptions_are_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=reason):
        read_dataset(tmp_path)


def test_folders_that_are_no_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in {"none": "does not exist", "file": "is a file", ".": "has no dataset.json"}.items():
        with pytest.raises(InputError, match=reason):
            read_dataset(tmp_path / name)


def test_all_faults_are_told_at_once_and_the_good_cases_stay(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    _describe(tmp_path, training=[_pair("a"), {}, {"image": "../x"}], test=["images/none.nii.gz"])
    with pytest.raises(InputErrors) as refusal:
        read_dataset(tmp_path)
    assert len(refusal.value.faults) == 3
    dataset, faults = scan_dataset(tmp_path)
    assert (len(faults), len(dataset.training), len(dataset.test)) == (2, 1, 1)


def _nnunet(root: Path, **more: Any) -> Path:
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps({**content, **more}))
    return root


def test_nnunet_folder(tmp_path: Path) -> None:
    files = [f"imagesTr/case_{case}_{channel:04d}.nii.gz" for case in (2, 1) for channel in (1, 0)]
    tests = [f"imagesTs/t_1_{channel:04d}.nii.gz" for channel in (0, 1)]
    _touch(tmp_path, *files, *tests, "labelsTr/case_1.nii.gz", "labelsTs/t_1.nii.gz", "imagesTr/readme.txt")
    dataset = read_dataset(_nnunet(tmp_path))
    assert dataset.modality == ("T1", "T2")
    assert dataset.name == tmp_path.name
    assert [(case.case_id, case.label is not None) for case in dataset.training] == [
        ("case_1", True),
        ("case_2", False),
    ]
    assert [path.name for path in dataset.training[0].images] == ["case_1_0000.nii.gz", "case_1_0001.nii.gz"]
    assert dataset.test == (Case("t_1", tuple(tmp_path / name for name in tests), tmp_path / "labelsTs/t_1.nii.gz"),)


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (["imagesTr/a_0000.nii.gz"], {}, "has the channels 0000"),
        (["imagesTr/a.nii.gz"], {}, "4-digit channel"),
        (
            ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/b.nii.gz"],
            {},
            "b.nii.gz: is a label whose image",
        ),
        (["imagesTr/a_0000.nii.gz"], {"file_ending": None}, "file_ending"),
        (["imagesTr/a_0000.nii.gz"], {"channel_names": {}}, "channel_names"),
        ([], {}, "lists no cases"),
    ],
)
def test_bad_nnunet_folders_are_refused(tmp_path: Path, names: list[str], more: dict[str, Any], reason: str) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(InputError, match=reason):
        read_dataset(_nnunet(tmp_path, **more))


def test_fields_of_view(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/b.nii.gz", "fov/all.nii.gz")
    fov = {"fov": "fov/all.nii.gz"}
    unlabeled = {"image": "images/b.nii.gz", **fov}
    first, second = (
        case for _, case in read_dataset(_describe(tmp_path, training=[_pair("a", **fov), unlabeled])).cases
    )
    path = tmp_path / "fov/all.nii.gz"
    assert (first.fov, second.fov) == (path, path)
    assert first.files == (tmp_path / "images/a.nii.gz", tmp_path / "labels/a.nii.gz", path)
    assert first.entry()["fov"] == str(path)
    assert first.without_label().fov == path
    assert Case("c", (tmp_path / "images/b.nii.gz",)).entry().keys() == {"image", "case_id"}


@pytest.mark.parametrize(
    ("fov", "reason"),
    [
        ("../outside.png", "leaves the folder"),
        (["a.png"], "where the path of a file belongs"),
        ("images/a.nii.gz", "as the field of view and as image or label too"),
        ("labels/a.nii.gz", "as the field of view and as image or label too"),
        ("fov/none.png", "does not exist"),
    ],
)
def test_bad_fields_of_view_are_refused(tmp_path: Path, fov: Any, reason: str) -> None:
    _touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    with pytest.raises(InputError, match=reason):
        read_dataset(_describe(tmp_path, training=[_pair("a", fov=fov)]))
