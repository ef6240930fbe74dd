"""Every fault of a data set in one pass."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipelines.data.dataset import scan_dataset
from pipelines.data.integrity import Report, check_dataset
from tests.data_sets import FOLDER, needs_data
from transforms.io.input_error import InputErrors

SHAPE = (10, 9, 8)
AFFINE = np.diag([0.8, 0.8, 1.5, 1.0])


def _save(root: Path, name: str, array: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return name


def _image(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _label(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[3:6, 2:6] = 1
    return label


class Cohort:
    """A good data set of four labelled cases, one unlabelled and one test case, to be spoilt by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content: dict[str, Any] = {
            "name": "cohort",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "organ"},
            "training": [self.pair(number) for number in range(4)],
            "unlabeled": [{"image": _save(root, "images/4.nii.gz", _image(4))}],
            "test": [self.pair(5)],
        }

    def pair(self, number: int) -> dict[str, Any]:
        image = _save(self.root, f"images/{number}.nii.gz", _image(number))
        return {"image": image, "label": _save(self.root, f"labels/{number}.nii.gz", _label())}

    def image(self, number: int, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
        _save(self.root, f"images/{number}.nii.gz", array, affine)

    def label(self, number: int, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
        _save(self.root, f"labels/{number}.nii.gz", array, affine)

    def damage(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.root / name
        path.write_bytes(change(path.read_bytes()))

    def check(self, cache: Path | None = None) -> Report:
        (self.root / "dataset.json").write_text(json.dumps(self.content))
        dataset, faults = scan_dataset(self.root)
        return check_dataset(dataset, cache, faults)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path / "set")


def test_a_good_data_set_has_no_faults_and_a_fingerprint(cohort: Cohort) -> None:
    report = cohort.check()
    assert (report.faults, report.warnings) == ((), ())
    report.raise_for_faults()
    fingerprint = report.fingerprint
    assert json.loads(json.dumps(fingerprint, allow_nan=False)) == fingerprint
    assert fingerprint["summary"]["cases"] == {"training": 4, "test": 1, "unlabeled": 1}
    assert fingerprint["summary"]["labelled"] == {"training": 4, "test": 1}
    case = fingerprint["cases"]["0"]
    assert (case["shape"], case["split"], case["orientation"], case["channels"]) == (list(SHAPE), "training", "RAS", 1)
    assert case["label_fractions"] == {"background": 1 - 96 / 720, "organ": 96 / 720}
    assert set(case["files"]) == {"images/0.nii.gz", "labels/0.nii.gz"}
    assert case["intensity"][0]["p50"] == pytest.approx(float(np.median(_image(0))))


def test_the_fingerprint_is_of_contents_and_roles_not_of_the_place(cohort: Cohort, tmp_path: Path) -> None:
    first = cohort.check().fingerprint["hash"]
    other = Cohort(tmp_path / "elsewhere")
    for path in (cohort.root / "images").iterdir():
        (other.root / "images" / path.name).write_bytes(path.read_bytes())
    assert other.check().fingerprint["hash"] == first
    other.content["validation"] = [other.content["training"].pop()]
    moved = other.check().fingerprint["hash"]
    other.label(0, 1 - _label())
    assert len({first, moved, other.check().fingerprint["hash"]}) == 3


def _flip_bit(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


def _nan() -> np.ndarray:
    array = _image(1)
    array[2, 2, 2] = np.nan
    return array


def _valued(value: float, dtype: type) -> np.ndarray:
    label = _label().astype(dtype)
    label[0, 0, 0] = value
    return label


SPOILT: dict[str, tuple[Callable[[Cohort], object], str, str]] = {
    "bit flip": (lambda c: c.damage("images/1.nii.gz", _flip_bit), "images/1", "corrupt"),
    "checksum": (lambda c: c.damage("images/1.nii.gz", lambda d: d[:-8] + b"abcd" + d[-4:]), "images/1", "checksum"),
    "truncated": (lambda c: c.damage("labels/1.nii.gz", lambda d: d[:-30]), "labels/1", "truncated"),
    "empty file": (lambda c: c.damage("images/4.nii.gz", lambda d: b""), "images/4", "zero bytes"),
    "wrong format": (lambda c: c.damage("images/5.nii.gz", lambda d: b"\x89PNG\r\n\x1a\n"), "images/5", "PNG"),
    "missing": (lambda c: (c.root / "labels/1.nii.gz").unlink(), "labels/1", "does not exist"),
    "nan": (lambda c: c.image(1, _nan()), "images/1", "NaN"),
    "4D": (lambda c: c.image(1, _image(1, (*SHAPE, 2))), "images/1", "is 4D"),
    "complex": (lambda c: c.image(1, _image(1).astype(np.complex64)), "images/1", "complex"),
    "2D": (lambda c: (c.image(4, _image(4, SHAPE[:2]))), "images/4", "is 2D, but most images of the data set are 3D"),
    "shape": (lambda c: c.label(1, _label((10, 9, 7))), "labels/1", "shape 10x9x7"),
    "flip": (lambda c: c.label(1, _label(), AFFINE * [-1, 1, 1, 1]), "labels/1", "flipped in x"),
    "origin": (lambda c: c.label(1, _label(), AFFINE + np.eye(4, k=3)), "labels/1", "origin 1 mm away"),
    "spacing": (lambda c: c.label(1, _label(), AFFINE * [1, 1, 1.1, 1]), "labels/1", "spacing"),
    "undeclared": (lambda c: c.label(1, _valued(5, np.uint8)), "labels/1", "does not declare: 5"),
    "negative": (lambda c: c.label(5, _valued(-1, np.int16)), "labels/5", "negative labels: -1"),
    "fractional": (lambda c: c.label(1, _valued(0.5, np.float32)), "labels/1", "not whole numbers, such as 0.5"),
    "duplicate": (lambda c: c.image(2, _image(1)), "images/2", "(training) holds the same image as"),
    "leak": (lambda c: c.image(5, _image(1)), "images/5", "(test) holds the same image as"),
    "re-encoded leak": (lambda c: c.image(5, _image(1).astype(np.float64)), "images/5", "same image as"),
    "two splits": (lambda c: c.content["test"].append(c.content["training"][0]), "images/0", "in training and in test"),
    "listed twice": (lambda c: c.content["training"].append(c.content["training"][0]), "images/0", "twice in training"),
    "escape": (lambda c: c.content["test"].append("../../x.nii.gz"), "dataset.json", "leaves the folder"),
    "channels": (lambda c: c.content["training"][3].update(image=["images/3.nii.gz", "images/6.nii.gz"])
                 or c.image(6, _image(6)), "images/3", "2 channels, but most"),
    "channel grid": (lambda c: c.content["training"][3].update(image=["images/3.nii.gz", "images/6.nii.gz"])
                     or c.image(6, _image(6, (4, 4, 4))), "images/6", "its first channel has"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "subject", "reason"), SPOILT.values(), ids=SPOILT.keys())
def test_every_fault_is_found_and_named(cohort: Cohort, spoil: Callable, subject: str, reason: str) -> None:
    spoil(cohort)
    report = cohort.check()
    told = [str(fault) for fault in report.faults]
    assert any(subject in fault.subject and reason in fault.reason for fault in report.faults), told
    others = [fault for fault in report.faults if subject not in fault.subject]
    assert all("images/3" in fault.subject for fault in others), told
    with pytest.raises(InputErrors):
        report.raise_for_faults()


def test_a_patient_in_two_splits(cohort: Cohort) -> None:
    cohort.content["training"][1]["patient"] = cohort.content["test"][0]["patient"] = "p"
    (fault,) = cohort.check().faults
    assert "images/5" in fault.subject and "images/1" in fault.reason and "same patient" in fault.reason


def test_all_faults_come_in_one_pass(cohort: Cohort) -> None:
    names = ["bit flip", "empty file", "negative", "missing", "escape"]
    for name in names:
        SPOILT[name][0](cohort)
    assert len(cohort.check().faults) == len(names)


def test_fields_of_view_are_checked(cohort: Cohort) -> None:
    for number, entry in enumerate(cohort.content["training"]):
        entry["fov"] = _save(cohort.root, f"fov/{number}.nii.gz", np.ones(SHAPE, np.uint8))
    report = cohort.check()
    assert report.faults == ()
    assert "fov/0.nii.gz" in report.fingerprint["cases"]["0"]["files"]
    assert report.fingerprint["cases"]["0"]["field_of_view"] == 1
    assert report.fingerprint["summary"]["fields_of_view"] == 4
    assert "fields_of_view" not in Cohort(cohort.root / "other").check().fingerprint["summary"]
    _save(cohort.root, "fov/0.nii.gz", np.ones((10, 9, 7), np.uint8))
    _save(cohort.root, "fov/1.nii.gz", _valued(2, np.uint8))
    _save(cohort.root, "fov/2.nii.gz", np.zeros(SHAPE, np.uint8))
    cohort.damage("fov/3.nii.gz", lambda data: data[:-20])
    told = {Path(fault.subject).name: fault.reason for fault in cohort.check().faults}
    assert sorted(told) == [f"{number}.nii.gz" for number in range(4)]
    for number, part in enumerate(("has shape 10x9x7", "no field of view", "empty field of view", "")):
        assert part in told[f"{number}.nii.gz"]


def test_links_that_lead_nowhere(cohort: Cohort) -> None:
    for name in ("images/0.nii.gz", "images/1.nii.gz"):
        (cohort.root / name).unlink()
    (cohort.root / "images/0.nii.gz").symlink_to("0.nii.gz")
    (cohort.root / "images/1.nii.gz").symlink_to("none.nii.gz")
    assert sorted(fault.reason for fault in cohort.check().faults) == [
        "is a link to a file that does not exist",
        "is a symbolic link that leads back to itself",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may read everything")
def test_an_unreadable_file(cohort: Cohort) -> None:
    (cohort.root / "images/0.nii.gz").chmod(0)
    (fault,) = cohort.check().faults
    assert "cannot be read" in fault.reason


WARNED: dict[str, tuple[Callable[[Cohort], object], str]] = {
    "empty label": (lambda c: c.label(1, _label() * 0), "labels/1.nii.gz: the label is empty"),
    "full label": (lambda c: c.label(1, _label() * 0 + 1), "labels/1.nii.gz: the label is full"),
    "constant": (lambda c: c.image(4, _image(4) * 0), "images/4.nii.gz: every voxel has the value 0"),
    "orientations": (lambda c: c.image(4, _image(4), AFFINE * [-1, -1, 1, 1]), "different orientations (5 RAS, 1 LPS)"),
    "spacings": (lambda c: c.image(4, _image(4), AFFINE * [1, 1, 5, 1]), "from 0.8x0.8x1.5 to 0.8x0.8x7.5 mm"),
    "unused": (lambda c: c.content["labels"].update({"2": "other"}), "label 2 (other) occurs in no training case"),
    "shared": (
        lambda c: c.content["training"][1].update(label="labels/0.nii.gz"),
        "is the label of two cases, 0 and 1",
    ),
}


@pytest.mark.parametrize(("change", "told"), WARNED.values(), ids=WARNED.keys())
def test_oddities_are_warned_of(cohort: Cohort, change: Callable, told: str) -> None:
    change(cohort)
    report = cohort.check()
    assert report.faults == ()
    assert len(report.warnings) == 1
    assert told in report.warnings[0]


def test_pictures(tmp_path: Path) -> None:
    rng, training = np.random.default_rng(0), []
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (12, 9, 3)).astype(np.uint8)).save(tmp_path / f"{number}.png")
        Image.fromarray((rng.integers(0, 2, (12, 9)) * (255 if number == 2 else 1)).astype(np.uint8)).save(
            tmp_path / f"l{number}.png"
        )
        training.append({"image": f"{number}.png", "label": f"l{number}.png"})
    labels = {"0": "background", "1": "vessel"}
    content = {"labels": labels, "modality": {"0": "fundus"}, "training": training}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    report = check_dataset(*scan_dataset(tmp_path)[:1])
    (fault,) = report.faults
    assert "should 255 be 1?" in fault.reason
    assert report.fingerprint["cases"]["0"]["channels"] == 3


def test_a_second_check_is_fast_and_sees_changes(cohort: Cohort, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    first = cohort.check(cache)
    assert cohort.check(cache) == first
    SPOILT["checksum"][0](cohort)
    assert len(cohort.check(cache).faults) == 1


@needs_data("la2018")
def test_the_left_atrium_set_is_good(tmp_path: Path) -> None:
    dataset, faults = scan_dataset(FOLDER / "la2018")
    report = check_dataset(dataset, tmp_path / "cache.json", faults)
    assert (report.faults, report.warnings) == ((), ())
    started = time.monotonic()
    assert check_dataset(dataset, tmp_path / "cache.json").fingerprint == report.fingerprint
    assert time.monotonic() - started < 3


@needs_data("hippocampus")
def test_the_hippocampus_set_is_good() -> None:
    report = check_dataset(*scan_dataset(FOLDER / "hippocampus")[:1])
    assert report.faults == ()
    assert report.fingerprint["summary"]["orientation"] == {"RAS": 220}


def test_folders_of_pictures_are_volumes(tmp_path: Path) -> None:
    """One case has its B-scans and their labels as pictures; the label of another lacks one."""
    rng = np.random.default_rng(0)
    for case in ("a", "b"):
        for kind, high in (("images", 256), ("labels", 2)):
            (tmp_path / kind / case).mkdir(parents=True)
            for number in range(1, 12):
                scan = rng.integers(0, high, (6, 7)).astype(np.uint8)
                Image.fromarray(scan).save(tmp_path / kind / case / f"bscan_{number}.png")
    listing = {
        "labels": {"0": "background", "1": "fluid"},
        "modality": {"0": "OCT"},
        "training": [{"image": f"images/{case}", "label": f"labels/{case}"} for case in ("a", "b")],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(listing))
    dataset, _ = scan_dataset(tmp_path)
    report = check_dataset(dataset)
    assert report.faults == ()
    assert [case["shape"] for case in report.fingerprint["cases"].values()] == [[6, 7, 11]] * 2
    (tmp_path / "labels" / "b" / "bscan_7.png").unlink()
    (fault,) = check_dataset(dataset).faults
    assert fault.reason == "lacks the B-scans between bscan_6.png and bscan_8.png"
