"""The command writes a data set with warped labels, goes on where it was stopped, and refuses in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pipelines.data.dataset import read_dataset
from pipelines.register_atlases import build_parser, main
from pipelines.registration import job_runner
from tests.data_sets import FOLDER, needs_data
from tests.pipelines.registration.small_cohort import small_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_cohort(tmp_path_factory.mktemp("cohort"))


def arguments(data: Path, output: Path, *more: str) -> list[str]:
    return [
        "--atlases",
        str(data),
        "--targets",
        str(data),
        "--output",
        str(output),
        "--jobs",
        "1",
        "--device",
        "cpu",
        *more,
    ]


def test_goes_on_where_it_was_stopped(cohort, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    right, calls = job_runner.run_job, []

    def stops(job):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(job)
        return right(job)

    monkeypatch.setattr(job_runner, "run_job", stops)
    assert main(arguments(cohort, output)) == 130
    assert not (output / "dataset.json").exists()
    first = {path: path.stat().st_mtime_ns for path in output.rglob("raters/*/*")}
    assert len(first) == 2
    monkeypatch.setattr(job_runner, "run_job", right)
    capsys.readouterr()
    assert main(arguments(cohort, output)) == 0
    assert "2 of 4 pairs were registered before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in first} == first
    found = read_dataset(output)
    atlases = [case.case_id for case in read_dataset(cohort).training]
    assert [case.extras["atlas"] for case in found.training] == [[atlases[1]], [atlases[0]], atlases]
    assert [case.label is None for case in found.training] == [False, False, True]
    with (output / "registration_quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert all(float(row["similarity_final"]) > float(row["similarity_start"]) for row in rows)
    assert all(0 < float(row["dice_final"]) <= 1 for row in rows[:2])
    assert rows[3]["dice_final"] == ""
    assert not list(output.rglob("fields"))
    assert main(arguments(cohort, output)) == 2
    assert "pass --overwrite" in capsys.readouterr().err


def test_in_the_plane(tmp_path, capsys):
    data = small_cohort(tmp_path / "pictures", 2, flat=True)
    assert main(arguments(data, tmp_path / "out", "--save-fields", "--atlas-count", "1", "--disjoint")) == 0
    (case,) = read_dataset(tmp_path / "out").training
    assert case.extras["raters"][0].endswith(".png")
    assert len(list((tmp_path / "out" / "fields").rglob("*.nii.gz"))) == 1
    assert "1 targets with labels of 1 atlases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--engine", "best"], "error: --engine: must be convexadam or simpleitk, got best"),
        (["--start", "left"], "error: --start: must be auto or header or centre, got left"),
        (["--affine", "some"], "error: --affine: must be affine or rigid or none, got some"),
        (["--jobs", "0"], "error: --jobs: must be at least 1, got 0"),
        (["--channel", "-1"], "error: --channel: must be 0 or more"),
        (["--channel", "3"], "error: "),
        (["--spacing", "nan"], "error: --spacing: must be a positive number of mm"),
        (["--device", "tpu"], "error: --device: must be auto"),
        (["--atlas-ids", "nobody"], "error: --atlas-ids: nobody is no case of"),
        (["--atlas-ids", "two_class_0003"], "error: --atlas-ids: two_class_0003 has no label"),
        (["--atlas-count", "9"], "error: --atlas-count: must lie within 1 and 2"),
    ],
)
def test_refuses_in_one_line(cohort, tmp_path, capsys, more, message):
    output = tmp_path / "out"
    assert main(arguments(cohort, output, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert all(line.startswith("error: ") for line in error.splitlines())
    assert not output.exists()


def test_refuses_what_cannot_be_read_before_it_starts(tmp_path, capsys):
    data = small_cohort(tmp_path / "data")
    images = sorted((data / "images").iterdir())
    images[1].write_bytes(images[1].read_bytes()[:400])
    assert main(arguments(data, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert images[1].name in error
    (data / "labels" / images[0].name).unlink()
    assert main(arguments(data, tmp_path / "out")) == 2
    assert f"labels/{images[0].name}: does not exist" in capsys.readouterr().err
    assert main(arguments(data, data)) == 2
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_an_input_is_refused(cohort, capsys):
    before = (cohort / "dataset.json").read_bytes()
    assert main(arguments(cohort, cohort, "--overwrite")) == 2
    assert "is an input" in capsys.readouterr().err
    assert (cohort / "dataset.json").read_bytes() == before


def test_help_tells_units_and_intended_use():
    text = " ".join(build_parser().format_help().split())
    for part in ("convexadam or simpleitk", "mm, LPS", "not for diagnosis"):
        assert part in text


@needs_data("hippocampus")
def test_real_hippocampi(tmp_path):
    ids = [f"hippocampus_{number}" for number in ("084", "154")]
    data = FOLDER / "hippocampus"
    subset = json.loads((data / "dataset.json").read_text())
    subset["training"] = [entry for entry in subset["training"] if any(name in entry["image"] for name in ids)]
    subset["test"], subset["unlabeled"] = [], []
    for folder in ("images", "labels"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / folder).symlink_to(data / folder)
    (tmp_path / "in" / "dataset.json").write_text(json.dumps(subset))
    assert main(arguments(tmp_path / "in", tmp_path / "out")) == 0
    with (tmp_path / "out" / "registration_quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(float(row["dice_final"]) > float(row["dice_start"]) + 0.1 for row in rows)
