import json
import shutil

import pytest

from pipelines.consensus import data_set
from pipelines.consensus.data_set import bring, case_tasks, cases_with_raters, mask_suffix, write_data_set
from pipelines.data.data_parameters_table import read_data_parameters
from pipelines.data.dataset import read_dataset
from tests.pipelines.consensus.tiny_raters import PARAMETERS, save, truth
from tests.pipelines.consensus.tiny_raters import write_data_set as write_source
from transforms.io.input_error import InputError, InputErrors


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source")


def test_tasks(source, tmp_path):
    table = source / "data_parameters.csv"
    tasks = case_tasks(read_dataset(source), {"staple": tmp_path}, read_data_parameters(table), table, False)
    assert [task.case_id for task in tasks] == ["c0", "c1"]
    assert tasks[0].parameters == PARAMETERS
    assert tasks[1].names[2] == "raters/c1_2.nii.gz"
    assert tasks[0].declared == (0, 1, 2)
    assert tasks[0].files["staple"].label == tmp_path / "consensus_labels" / "c0.nii.gz"
    assert tasks[0].files["staple"].probability is None


def test_missing_parameters_are_all_named(source, tmp_path):
    with pytest.raises(InputErrors, match=r"t\.csv: has no parameter for rater raters/c0_0\.nii\.gz") as refusal:
        case_tasks(read_dataset(source), {"hybrid": tmp_path}, {}, tmp_path / "t.csv", False)
    assert len(refusal.value.faults) == 8


def test_a_data_set_without_raters(source):
    path = source / "dataset.json"
    content = json.loads(path.read_text())
    for entry in content["training"]:
        del entry["raters"], entry["atlas"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no training case with"):
        cases_with_raters(read_dataset(source))


def test_the_data_set_is_whole(source, tmp_path):
    dataset, folder = read_dataset(source), tmp_path / "out"
    for case in ("c0", "c1"):
        save(folder / "consensus_labels" / f"{case}.nii.gz", truth())
    write_data_set(dataset, folder, "staple")
    shutil.rmtree(source)
    written = read_dataset(folder)
    assert written.name == "tiny (staple consensus)"
    assert written.labels == dataset.labels
    assert written.modality == ("MRI",)
    assert [case.case_id for case in written.training] == ["c0", "c1"]
    case = written.training[0]
    assert case.label == folder / "consensus_labels" / "c0.nii.gz"
    assert case.raters == ()
    assert (case.patient, case.extras) == ("p0", {"presence": [1, 1]})
    assert written.test[0].label == folder / "labels" / "t.nii.gz"
    assert len(written.unlabeled) == 1
    assert not (folder / "labels" / "c0.nii.gz").exists(), "the expert's label of a training case is not handed on"


@pytest.mark.parametrize("can_link", [True, False])
def test_files_are_linked_or_copied(tmp_path, monkeypatch, can_link):
    def refuse(*_):
        raise OSError("no links here")

    if not can_link:
        monkeypatch.setattr(data_set.os, "link", refuse)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_text("one")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.dcm").write_text("before")
    for _ in range(2):
        bring(tmp_path / "series", tmp_path / "other")
    target = tmp_path / "other" / "1.dcm"
    assert target.read_text() == "one"
    assert target.samefile(tmp_path / "series" / "1.dcm") == can_link


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.b.nii.gz", ".nii.gz"), ("a.nii", ".nii"), ("a.mhd", ".mha"), ("a.JPG", ".png")]
)
def test_suffix_of_the_consensus(tmp_path, name, suffix):
    assert mask_suffix(tmp_path / name) == suffix
