"""The prepare_crops command: what it writes and says, where centres come from, how it goes on, what it refuses."""

import json
import shutil
from collections import namedtuple

import nibabel as nib
import numpy as np
import pytest

from pipelines import prepare_crops
from pipelines.data.dataset import read_dataset
from pipelines.data.integrity import check_dataset
from tests.pipelines.data.crop_phantom import write, write_data_set
from tests.pipelines.data.vestibular_phantom import write_crossmoda

SMALL = ["--size", "24", "--workers", "1"]


@pytest.fixture
def raw(tmp_path):
    return write_data_set(tmp_path / "raw")


def run(raw, output, *options):
    return prepare_crops.main(["--data", str(raw), "--output", str(output), *SMALL, *options])


def crops(output):
    return json.loads((output / "crops.json").read_text())


def test_writes_a_sound_data_set_and_says_what_it_did(raw, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(raw, output, "--flip-to", "left") == 0
    dataset = read_dataset(output)
    assert not check_dataset(dataset).faults
    assert [case.case_id for case in dataset.training] == ["left_a", "right_b"]
    assert [case.case_id for case in dataset.test] == ["right_c"]
    assert dataset.training[0].atlases == ("x", "y")
    assert len(dataset.training[0].raters) == 2
    assert dict(dataset.labels) == {0: "background", 1: "front", 2: "back"}
    assert {record["sample_id"]: record["grid"]["flipped"] for record in crops(output)["samples"]} == {
        "left_a": False, "right_b": True, "right_c": True
    }  # fmt: skip
    assert not (output / "records").exists()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("left_a: left, centre from label (")
    assert said[1].startswith("right_b: right, centre from label (")
    assert "mirrored" in said[1]
    assert said[3].startswith("warning: 1 test cases are centred on their label")
    assert said[4] == f"{output}: 3 crops (centres: 3 by label), 2 mirrored"


def test_crossmoda_as_it_is(tmp_path, capsys):
    write_crossmoda(tmp_path / "raw")
    centres = {f"crossmoda_{number}_hrT2": [10, 6, 2] for number in (106, 107, 211)}
    centres |= {f"crossmoda_{number}_ceT1": [10, 6, 2] for number in (1, 2, 3)}
    (tmp_path / "centres.json").write_text(json.dumps(centres))
    options = ["--form", "crossmoda", "--labels", "1", "--flip-to", "left", "--centres", str(tmp_path / "centres.json")]
    assert run(tmp_path / "raw", tmp_path / "out", *options, "--size", "96") == 0
    dataset = read_dataset(tmp_path / "out")
    assert not check_dataset(dataset).faults
    assert dict(dataset.labels) == {0: "background", 1: "vestibular schwannoma"}
    assert [len(part) for part in (dataset.training, dataset.validation, dataset.unlabeled)] == [2, 1, 2]
    out = capsys.readouterr().out
    assert "crossmoda_3_ceT1: left out: its label does not hold the structure" in out
    assert "left out: 1 (crossmoda_3_ceT1)" in out
    assert "centres: 5 by file" in out
    labels = [nib.load(case.label).get_fdata() for case in dataset.training]
    assert all(set(np.unique(label)) == {0, 1} for label in labels)
    assert run(tmp_path / "raw", tmp_path / "two", "--form", "crossmoda") == 2
    assert "has no label to centre a crop on; pass --centres or --locate-with" in capsys.readouterr().err


def test_coarse_model(raw, tmp_path, capsys, monkeypatch):
    """With a model, no label is looked at for the centre; the case in which it finds nothing is left out."""
    Facts = namedtuple("Facts", "in_channels spatial_dims spacing_mm")
    Prediction = namedtuple("Prediction", "labels")

    class Model:
        def predict(self, entry):
            shape = nib.load(entry["image"]).shape
            labels = np.zeros(shape, np.uint8)
            if entry["case_id"] != "right_b":
                labels[tuple(size // 2 for size in shape)] = 1
            return Prediction(labels)

    monkeypatch.setattr("pipelines.prediction.loading.load_predictor", lambda *_: (Model(), Facts(1, 3, (1, 1, 1))))
    monkeypatch.setattr("pipelines.trust.fingerprint.bundle_sha256", lambda _: "abc")
    assert run(raw, tmp_path / "out", "--locate-with", str(tmp_path), "--size", "60") == 0
    records = {record["sample_id"]: record for record in crops(tmp_path / "out")["samples"]}
    image = nib.load(raw / "image" / "left_a.nii.gz")
    np.testing.assert_allclose(records["left_a"]["centre_mm"], (image.affine @ [13, 11, 7, 1])[:3], atol=1e-4)
    assert records["left_a"]["centre_from"] == "model"
    assert records["right_b"]["left_out"] == "the model finds nothing"
    out = capsys.readouterr().out
    assert "2 crops (centres: 2 by model)" in out
    assert "warning" not in out


def test_slices_are_a_2d_data_set_whose_patients_stay_together(raw, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(raw, output, "--slices", "W", "--min-foreground", "20", "--slice-format", "png") == 0
    dataset = read_dataset(output)
    assert not check_dataset(dataset).faults
    assert {case.patient for case in dataset.training} == {"p0", "p1"}
    assert {case.patient for case in dataset.test} == {"p2"}
    assert all(len(case.raters) == 2 and case.label is not None for case in dataset.training)
    assert dataset.training[0].case_id.startswith("left_a_s0")
    told = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" slices")]
    assert len(told) == 3
    assert len(dataset.test) > len(dataset.training) / 2, "test cases keep slices without foreground"


def test_goes_on_after_a_damaged_file(raw, tmp_path, capsys):
    good = (raw / "label" / "right_b.nii.gz").read_bytes()
    (raw / "label" / "right_b.nii.gz").write_bytes(good[:-30])
    assert run(raw, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "right_b.nii.gz" in error
    assert not (tmp_path / "out" / "dataset.json").exists()
    done = tmp_path / "out" / "images" / "left_a.nii.gz"
    before = done.stat().st_mtime_ns
    (raw / "label" / "right_b.nii.gz").write_bytes(good)
    assert run(raw, tmp_path / "out") == 0
    assert done.stat().st_mtime_ns == before, "what was done is not done again"
    assert len(read_dataset(tmp_path / "out").cases) == 3


def test_overwrite(raw, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(raw, output) == 0
    assert run(raw, output) == 2
    assert "holds a finished run (dataset.json)" in capsys.readouterr().err
    assert run(raw, output, "--overwrite", "--slices", "D") == 0
    assert not (output / "images" / "left_a.nii.gz").exists()
    assert not check_dataset(read_dataset(output)).faults
    shutil.copytree(raw, tmp_path / "other")
    assert run(raw, tmp_path / "other", "--overwrite") == 2
    assert "without crops.json, which is not replaced" in capsys.readouterr().err


REFUSED = [
    (["--spacing-mm", "0"], "--spacing-mm: must lie within 0.01 and 100, got 0"),
    (["--spacing-mm", "1", "1"], "--spacing-mm: takes one value, or three along R A S, got 1 1"),
    (["--size", "0"], "--size: must be 1 or more"),
    (["--size", "5000"], "--size: must be 1 or more, 1073741824 voxels at most, got 5000"),
    (["--labels", "0"], "--labels: takes different labels from 1, got 0"),
    (["--labels", "3"], "--labels: 3 is no label of"),
    (["--labels", "1", "--structure", "2"], "--structure: must be among --labels (1)"),
    (["--fill", "nan"], "--fill: must be a number"),
    (["--min-foreground", "-1"], "--min-foreground: must not be negative"),
    (["--workers", "0"], "--workers: must be at least 1"),
    (["--centres", "none.csv"], "none.csv: cannot be read"),
    (["--locate-with", "none"], "none: does not exist"),
    (["--locate-with", "a", "--centres", "b"], "not allowed with argument"),
    (["--flip-to", "up"], "invalid choice: 'up'"),
    (["--slices", "X"], "invalid choice: 'X'"),
    (["--form", "crossmoda"], "holds no scan"),
    (["--device", "tpu"], "--device: must be auto"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refuses_in_one_line(raw, tmp_path, capsys, options, message):
    assert run(raw, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_refuses_itself_and_full_disks_and_no_structure(raw, tmp_path, capsys, monkeypatch):
    assert run(raw, raw, "--overwrite") == 2
    assert "is --data itself" in capsys.readouterr().err
    for name in ("left_a", "right_b", "right_c"):
        write(raw / "label" / f"{name}.nii.gz", np.zeros((26, 22, 14), np.uint8),
              {"left_a": "LAS", "right_b": "RAS", "right_c": "PIR"}[name])  # fmt: skip
    assert run(raw, tmp_path / "out") == 2
    assert "gives no crop: no case holds the structure" in capsys.readouterr().err
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10, 9, 1))
    assert run(raw, tmp_path / "full") == 2
    assert "but its disk has 0.0 GB free" in capsys.readouterr().err
    assert not (tmp_path / "full").exists()
