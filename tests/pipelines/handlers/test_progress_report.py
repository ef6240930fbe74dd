from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from pipelines.handlers.progress_report import ProgressReport


def run(iterations: int, every_s: float, start: int = 0) -> None:
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(0.25)})
    ProgressReport(iterations, every_s).attach(engine)
    engine.load_state_dict({"iteration": start, "epoch_length": iterations, "max_epochs": 1})
    engine.run(range(start, iterations), max_epochs=1, epoch_length=iterations)


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    run(3, every_s=0.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"iteration {number} of 3" for number in (1, 2, 3)]
    assert "loss 0.2500" in lines[0]
    assert lines[-1].endswith("0:00 min left")


def test_lines_are_as_rare_as_wanted_but_the_last_one_comes(capsys: pytest.CaptureFixture[str]) -> None:
    run(5, every_s=1000.0)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["iteration 5 of 5"]


def test_a_resumed_run_says_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run(4, every_s=1000.0, start=2)
    assert capsys.readouterr().out.splitlines()[0] == "going on from iteration 2 of 4"
