"""Cases that a network has seen are found by their images, or by their ids in a data set of the same name."""

from __future__ import annotations

import json

import pytest
import yaml

from pipelines.runs.leakage import cases_of_training, leakage_warning
from transforms.io.input_error import InputError

SPLITS = {"labeled": ["a"], "unlabeled": ["b"], "validation": ["c"], "test": ["d"]}


def case(image):
    return {"files": {"images/x.nii": image, "labels/x.nii": "empty"}}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    data = {"name": "hearts", "cases": {case_id: case(f"image of {case_id}") for case_id in "abcd"}}
    (tmp_path / "run.json").write_text(json.dumps({"data": data}))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"use_unlabeled": True}))
    return tmp_path


def fingerprint(name, **images):
    return {"name": name, "cases": {case_id: case(image) for case_id, image in images.items()}}


WITH, WITHOUT, CHOSE = "with its label", "without its label", "to choose the weights"
FOUND = {
    "the same data": (
        fingerprint("hearts", **{case_id: f"image of {case_id}" for case_id in "abcd"}),
        {"a": WITH, "b": WITHOUT, "c": CHOSE},
    ),
    "only test cases": (fingerprint("hearts", d="image of d"), {}),
    "the same images under other names": (fingerprint("renamed", z="image of a", y="image of d"), {"z": WITH}),
    "resampled": (fingerprint("hearts", a="image of a at 1 mm"), {"a": WITH}),
    "other images of the same id elsewhere": (fingerprint("livers", a="a liver", b="another"), {}),
}


@pytest.mark.parametrize(("data", "found"), FOUND.values(), ids=FOUND.keys())
def test_cases_that_were_seen(run, data, found):
    assert cases_of_training(run, data) == found


def test_a_supervised_run_has_not_seen_the_unlabelled(run):
    (run / "config.yaml").write_text(yaml.safe_dump({"use_unlabeled": False}))
    assert cases_of_training(run, fingerprint("hearts", b="image of b", a="image of a")) == {"a": WITH}


@pytest.mark.parametrize("name", ["splits.json", "run.json", "config.yaml"])
def test_a_damaged_run(run, name):
    (run / name).write_text("{")
    with pytest.raises(InputError, match="what it was trained on cannot be read"):
        cases_of_training(run, fingerprint("hearts"))


def test_the_warning():
    assert leakage_warning({}, 5) == ""
    told = leakage_warning({"a": WITH, "b": WITHOUT, "c": WITH}, 5)
    assert told.startswith("3 of the 5 evaluated cases had a part in the training (2 with its label, 1 without")
