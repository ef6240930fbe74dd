from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from pipelines.handlers.metrics_log import MetricsLog, read_metrics


def train(path: Path, iterations: int, *, start: int = 0, every: int = 2, tensorboard: Path | None = None) -> None:
    """Run an engine whose loss at iteration t is t."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    log = MetricsLog(path, torch.optim.SGD([parameter], lr=0.5), every=every, tensorboard=tensorboard)
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(engine.state.iteration)), "unheard_of": 1.0})
    log.attach(engine)
    engine.load_state_dict({"iteration": start, "epoch_length": iterations, "max_epochs": 1})
    engine.run(range(start, iterations), max_epochs=1, epoch_length=iterations)


def test_a_row_is_the_mean_since_the_row_before(tmp_path: Path) -> None:
    train(tmp_path / "metrics.csv", 6)
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [(row["iteration"], float(row["loss"])) for row in rows] == [("2", 1.5), ("4", 3.5), ("6", 5.5)]
    assert {row["learning_rate"] for row in rows} == {"0.5"}
    assert {row["val_dice"] for row in rows} == {""}


def test_a_resumed_run_writes_no_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    train(path, 6)
    before = [{**row, "seconds": ""} for row in read_metrics(path)]
    train(path, 6, start=4)
    assert [{**row, "seconds": ""} for row in read_metrics(path)] == before


def test_a_row_that_a_killed_process_left_unfinished_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    train(path, 4)
    whole = path.read_text()
    path.write_text(whole + "6,1")
    assert [row["iteration"] for row in read_metrics(path)] == ["2", "4"]


def test_there_are_no_rows_before_the_first_run(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.csv") == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_same(tmp_path: Path) -> None:
    train(tmp_path / "metrics.csv", 4, tensorboard=tmp_path / "tensorboard")
    assert [path.name.split(".")[0] for path in (tmp_path / "tensorboard").iterdir()] == ["events"]
