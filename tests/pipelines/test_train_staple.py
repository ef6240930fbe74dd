"""What ``train_staple`` refuses, quickly and in one line; what it would keep; what a run leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pipelines.data.data_parameters_table import ParameterRow, write_data_parameters
from pipelines.train_staple import DISTURBANCES, MODES, build_parser
from tests.pipelines.data.noisy_cohort import make_noisy_cohort
from tests.pipelines.tiny_staple import command_line, refusal, train


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_noisy_cohort(tmp_path_factory.mktemp("noisy") / "data")


@pytest.fixture
def table(data, tmp_path) -> Path:
    """Parameters of an earlier run: each rater's number, the last the highest."""
    rows = [
        ParameterRow(f"raters2d_{case:04d}", f"raters/raters2d_{case:04d}_rater{rater}.png", parameter=float(rater))
        for case in (1, 2, 3)
        for rater in range(1, 6)
    ]
    write_data_parameters(tmp_path / "earlier" / "data_parameters.csv", rows)
    return tmp_path / "earlier"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--mode", "inline"], "error: concord train_staple: argument --mode: invalid choice: 'inline'"),
        (["--disturb", "1.5"], "error: --disturb: must lie between 0 and 1, got 1.5"),
        (["--strength", "2"], "error: --disturb: is needed to say which share"),
        (["--disturb", "0.5", "--strength", "-1"], "error: --strength: must be at least 0, got -1.0"),
        (["--keep-quantile", "0.5"], "error: --keep-quantile: needs --parameters FILE"),
        (["--keep-quantile", "7"], "error: --keep-quantile: must lie between 0 and 1"),
        (["--parameters", "none.csv"], "error: --parameters: is of no use without"),
        (["--parameters", "none.csv", "--keep-above", "0"], "error: none.csv: cannot be read: No such file"),
        (["--validation", "2"], "error: --validation: is 2, but the data set lists its own 1"),
        (["--iterations", "0"], "error: --iterations: must be at least 1, got 0"),
        (["--set", "fixed_weigting=false"], "error: --set: unknown id fixed_weigting; did you mean fixed_weighting?"),
        (["--overlay", "fast"], "error: tumour_deep_staple_2d: has no configs/fast.yaml"),
        (["--resume", "--overwrite"], "error: --resume: and --overwrite contradict each other"),
        (["--data", "/no/such/folder"], "error: /no/such/folder"),
    ],
)
def test_what_is_refused_before_torch_is_loaded(data, tmp_path, capsys, more, said):
    assert refusal(capsys, [*command_line(data, tmp_path / "run"), *more]).startswith(said)
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused_in_one_line(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = refusal(capsys, command_line(data, tmp_path / "run"))
    assert said == "error: --nproc_per_node: data parameters are learnt by one process; start it without torchrun"


def test_a_data_set_without_any_label_is_refused(data, tmp_path, capsys):
    content = json.loads((data / "dataset.json").read_text())
    bare = tmp_path / "bare"
    bare.mkdir()
    for folder in ("images", "labels", "raters"):
        (bare / folder).symlink_to(data / folder)
    content["training"] = [{"image": entry["image"]} for entry in content["training"]]
    (bare / "dataset.json").write_text(json.dumps(content))
    assert refusal(capsys, command_line(bare, tmp_path / "run")) == (
        f'error: {bare}: has no training case with "raters" or a label'
    )


def test_a_rater_of_another_shape_is_refused_by_name(tmp_path, capsys):
    from PIL import Image

    data = make_noisy_cohort(tmp_path / "data")
    path = data / "raters" / "raters2d_0002_rater3.png"
    Image.new("L", (30, 28)).save(path)
    assert refusal(capsys, command_line(data, tmp_path / "run")).startswith(f"error: {path}: has shape 28x30")


@pytest.mark.parametrize(
    ("bound", "kept"), [(["--keep-quantile", "0.5"], 9), (["--keep-above", "4"], 3), (["--keep-above", "0"], 15)]
)
def test_a_dry_run_tells_what_would_be_kept(data, tmp_path, table, capsys, bound, kept):
    arguments = [*command_line(data, tmp_path / "run"), "--parameters", str(table), *bound, "--dry-run"]
    assert train(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("keep  ") for line in lines) == kept
    assert sum(line.startswith("drop  ") for line in lines) == 15 - kept
    assert lines[-1] == f"would keep {kept} of 15 labels, of 3 of 3 images; nothing trained"
    assert "keep  raters2d_0001  raters/raters2d_0001_rater5.png" in lines
    assert not (tmp_path / "run").exists()


def test_options_reach_the_training(data, tmp_path, table):
    run = tmp_path / "run"
    options = ["--mode", "in-line", "--disturb", "0.5", "--kind", "drop", "--strength", "1.5", "--iterations", "2"]
    options += ["--parameters", str(table), "--keep-above", "2"]
    arguments = command_line(data, run, *options)
    place = arguments.index("iterations=6")
    del arguments[place - 1 : place + 1]
    assert train(arguments) == 0
    with (run / "data_parameters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["instance_index"] for row in rows] == ["2", "3", "4", "7", "8", "9", "12", "13", "14"]
    assert 0 < sum(int(row["disturbed"]) for row in rows) < 9
    assert all(row["true_dice"] and row["atlas"].startswith("rater") for row in rows)
    with (run / "data_parameter_quality.csv").open() as file:
        (quality,) = csv.DictReader(file)
    assert quality["iteration"] == "2"
    assert quality["spearman"]
    assert quality["auc"]
    # Labels are in the record with their hashes.
    record = json.loads((run / "run.json").read_text())
    assert "raters/raters2d_0001_rater1.png" in record["data"]["cases"]["raters2d_0001"]["files"]


def test_the_choices_are_those_of_the_parts():
    from pipelines.engines import data_parameter_trainer
    from transforms import rand_label_noise

    assert MODES == data_parameter_trainer.MODES
    assert DISTURBANCES == rand_label_noise.KINDS
    assert "Research use only" in build_parser().format_help()


def test_a_finished_run_is_left_alone(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(command_line(data, run, settings={"iterations": "2"})) == 0
    assert "holds a finished run" in refusal(capsys, command_line(data, run))
    assert train(["--output", str(run), "--resume", "--device", "cpu"]) == 0
    assert "nothing to do" in capsys.readouterr().out
