"""What follows a training: bundle, scores and report, with test cases, with validation cases only, and with none."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from pipelines.data.dataset import read_dataset
from pipelines.runs.conclusion import conclude_run

RESULTS = ("summary.json", "cases.csv", "report.html", "pictures", "bundle")


def entries(cases):
    return [case.entry() for case in cases]


@pytest.fixture
def run(smoke_run, tmp_path, monkeypatch):
    """A run whose training has just ended."""
    monkeypatch.setattr("pipelines.figures.overlays.case_png", lambda image, **parts: b"\x89PNG")
    return shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns(*RESULTS, "tensorboard"))


def conclude(run, smoke_run, test=(), validation=()):
    cohort = SimpleNamespace(class_names={1: "left atrium cavity"}, test=entries(test), validation=entries(validation))
    conclude_run(run, cohort, torch.device("cpu"))


def test_test_cases_are_evaluated(run, smoke_run, capsys):
    dataset = read_dataset(smoke_run.data)
    conclude(run, smoke_run, test=dataset.test, validation=dataset.training[:1])
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["split"], summary["n_cases"]) == ("test", 2)
    assert summary == {**json.loads((smoke_run.run / "summary.json").read_text()), "cases": summary["cases"]}
    assert all((run / name).exists() for name in RESULTS)
    card = (run / "bundle" / "docs" / "README.md").read_text()
    assert f"{summary['aggregate']['left atrium cavity']['dice']['mean']:.3f}" in card
    told = capsys.readouterr().out
    assert "dice" in told
    assert f"bundle: {run / 'bundle'}" in told


def test_validation_cases_where_there_are_no_test_cases(run, smoke_run):
    dataset = read_dataset(smoke_run.data)
    conclude(run, smoke_run, test=[dataset.test[0].without_label()], validation=dataset.test[1:])
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["split"], summary["n_cases"]) == ("validation", 1)


def test_nothing_to_evaluate_on(run, smoke_run, capsys):
    conclude(run, smoke_run)
    assert "nothing was evaluated" in capsys.readouterr().out
    assert (run / "report.html").is_file()
    assert (run / "bundle" / "models" / "model.ts").is_file()
    assert "Not evaluated" in (run / "bundle" / "docs" / "README.md").read_text()
