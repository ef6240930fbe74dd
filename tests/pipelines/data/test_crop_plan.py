"""Planning crops: where centres come from, files of centres, and refusals before any work."""

import json

import numpy as np
import pytest

from pipelines.data.crop_plan import Centre, check_headers, plan_samples, read_centres
from pipelines.data.dataset import read_dataset
from tests.pipelines.data.crop_phantom import write, write_data_set
from transforms.io.input_error import InputError, InputErrors


@pytest.fixture
def dataset(tmp_path):
    return read_dataset(write_data_set(tmp_path / "raw"))


def test_one_sample_a_case(dataset):
    samples = plan_samples(dataset, None)
    assert [(s.sample_id, s.split, s.centre) for s in samples] == [
        ("left_a", "training", None), ("right_b", "training", None), ("right_c", "test", None)
    ]  # fmt: skip
    check_headers(dataset)


CSV = "side,case_id,z,y,x\nleft,left_a,3,2,1\n,right_b,6,5,4\nright,right_b,9,8,7\n,right_c,0,0,0\n"
JSON = {
    "left_a": [{"centre_mm": [1, 2, 3], "side": "left"}],
    "right_b": [{"centre_mm": [4, 5, 6]}, {"centre_mm": [7, 8, 9], "side": "right"}],
    "right_c": [0, 0, 0],
}


@pytest.mark.parametrize(("name", "text"), [("c.csv", CSV), ("c.json", json.dumps(JSON))])
def test_centres_from_a_file(dataset, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    samples = plan_samples(dataset, read_centres(tmp_path / name, dataset))
    assert [(s.sample_id, s.centre) for s in samples] == [
        ("left_a", Centre((1.0, 2.0, 3.0), "file", "left")),
        ("right_b_c1", Centre((4.0, 5.0, 6.0), "file")),
        ("right_b_c2", Centre((7.0, 8.0, 9.0), "file", "right")),
        ("right_c", Centre((0.0, 0.0, 0.0), "file")),
    ]


BAD_CENTRES = [
    ("c.csv", "case_id,x,y\na,1,2\n", "has no column z"),
    ("c.csv", "case_id,x,y,z\nleft_a,1,2,nan\n", "the centre of left_a must be three numbers of mm"),
    ("c.csv", "case_id,x,y,z\nleft_a,1,2\n", "the centre of left_a must be three numbers of mm"),
    ("c.csv", "case_id,x,y,z,side\nleft_a,1,2,3,L\n", "the side of left_a must be left or right, got L"),
    ("c.csv", "case_id,x,y,z\nother,1,2,3\n", "names no case of the data set"),
    ("c.json", "[1]", "must map each case id"),
    ("c.json", "{", "is not valid JSON"),
    ("c.json", '{"left_a": {"x": 1}}', "the centre of left_a must be three numbers"),
    ("c.txt", "", "must be a .csv or .json file"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_CENTRES)
def test_bad_files_of_centres(dataset, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_centres(tmp_path / name, dataset)


def test_cases_without_a_centre_are_named(dataset, tmp_path):
    (tmp_path / "c.csv").write_text("case_id,x,y,z\nleft_a,1,2,3\n")
    with pytest.raises(InputErrors) as refusal:
        plan_samples(dataset, read_centres(tmp_path / "c.csv", dataset))
    assert [fault.reason for fault in refusal.value.faults] == [
        f"its case {name} has no centre in the file of --centres" for name in ("right_b", "right_c")
    ]
    bare = {"name": "x", "modality": {"0": "MR"}, "labels": {"0": "background"},
            "training": ["image/left_a.nii.gz"]}  # fmt: skip
    (dataset.root / "dataset.json").write_text(json.dumps(bare))
    with pytest.raises(InputErrors, match="has no label to centre a crop on"):
        plan_samples(read_dataset(dataset.root), None)


def test_files_that_do_not_fit(dataset):
    write(dataset.root / "label" / "left_a.nii.gz", np.zeros((26, 22, 13), np.uint8), "LAS")
    write(dataset.root / "rater1" / "right_b.nii.gz", np.zeros((26, 22, 14), np.uint8), "LAS")
    write(dataset.root / "image" / "right_c.nii.gz", np.zeros((26, 22, 15), np.int16))
    with pytest.raises(InputErrors) as refusal:
        check_headers(dataset)
    told = [str(fault) for fault in refusal.value.faults]
    assert "label/left_a.nii.gz: has shape 26x22x13, but its image has 26x22x14" in told[0]
    assert "rater1/right_b.nii.gz: does not lie on the grid of its image" in told[1]
    assert "label/right_c.nii.gz: has shape" in told[2]
