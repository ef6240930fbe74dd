from __future__ import annotations

import csv

from pipelines.data.dataset import Case, DataSet, read_dataset
from pipelines.registration.atlas_dataset import COLUMNS, write_atlas_dataset, write_table
from pipelines.registration.pair_job import PairJob
from pipelines.registration.settings import PairSettings


def test_the_folder_is_a_data_set(tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("t0.nii.gz", "t1.nii.gz", "l.nii.gz", "v.nii.gz"):
        (source / name).write_text(name)
    target = Case("t", (source / "t0.nii.gz", source / "t1.nii.gz"), source / "l.nii.gz", "somebody")
    test = Case("v", (source / "v.nii.gz",), source / "l.nii.gz")
    atlases = DataSet(source, "atlases", ("MR",), {0: "background", 1: "organ"})
    targets = DataSet(source, "targets", ("T1", "T2"), {0: "background"}, training=(target,), test=(test,))
    jobs = [PairJob(output, Case(name, (source / "v.nii.gz",)), target, PairSettings()) for name in ("a", "b")]
    for job in jobs:
        job.label_file.parent.mkdir(parents=True, exist_ok=True)
        job.label_file.write_text("label")
    write_atlas_dataset(output, atlases, targets, [target], jobs)
    found = read_dataset(output)
    (case,) = found.training
    assert (case.case_id, case.patient) == ("t", "somebody")
    assert [path.read_text() for path in (*case.images, case.label)] == ["t0.nii.gz", "t1.nii.gz", "l.nii.gz"]
    assert case.extras["raters"] == ["raters/t/a.nii.gz", "raters/t/b.nii.gz"]
    assert case.extras["atlas"] == ["a", "b"]
    assert dict(found.labels) == {0: "background", 1: "organ"}
    assert found.modality == ("T1", "T2")
    assert [case.case_id for case in found.test] == ["v"]


def test_the_table_leaves_unknown_cells_empty(tmp_path):
    write_table(tmp_path / "t.csv", [{"atlas": "a", "target": "t", "dice_final": None, "seconds": 1.23456789}])
    with (tmp_path / "t.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert (row["atlas"], row["dice_final"], row["seconds"]) == ("a", "", "1.23457")
