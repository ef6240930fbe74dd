from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine

from pipelines.handlers.validation import Validation


class Scores:
    """An evaluator that gives one score after the other, and counts the recalibrations before each."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = list(scores)
        self.state = SimpleNamespace(metrics={})
        self.recalibrations = 0

    def run(self) -> None:
        assert self.recalibrations == 1, "the norm statistics must be made anew before each scoring"
        self.recalibrations = 0
        self.state.metrics["val_dice"] = self.scores.pop(0)

    def recompute(self) -> None:
        self.recalibrations += 1


class Saves:
    best = Path("best.pt")

    def __init__(self) -> None:
        self.at: list[int] = []

    def save(self, engine: Engine, path: Path) -> None:
        assert path == self.best
        self.at.append(engine.state.iteration)


def select(scores: Sequence[float], *, cases: int = 2, patience: int | None = None) -> tuple[Validation, Saves, int]:
    evaluator: Any = Scores(scores)
    selection = Validation(evaluator, cases, every=10, recalibration=evaluator, patience=patience)
    saves: Any = Saves()
    selection.checkpoint = saves
    engine = Engine(lambda engine, batch: None)
    selection.attach(engine)
    state = engine.run(range(40), max_epochs=1)
    return selection, saves, state.iteration


def test_the_best_score_decides_and_only_better_ones_are_saved() -> None:
    selection, saves, _ = select([0.5, 0.7, 0.7, 0.6])
    assert saves.at == [10, 20]
    assert (selection.best_score, selection.best_iteration, selection.without_better) == (0.7, 20, 2)


def test_training_stops_when_nothing_gets_better() -> None:
    _, saves, iterations = select([0.5, 0.4, 0.3, 0.9], patience=2)
    assert iterations == 30
    assert saves.at == [10]


def test_without_validation_cases_nothing_is_selected() -> None:
    selection, saves, iterations = select([], cases=0, patience=1)
    assert (saves.at, iterations, selection.best_score) == ([], 40, -1.0)


def test_the_state_survives_a_resume() -> None:
    selection, *_ = select([0.5, 0.7, 0.6, 0.6])
    other, *_ = select([0.1] * 4)
    other.load_state_dict(selection.state_dict())
    assert other.state_dict() == selection.state_dict()
    assert (other.best_score, other.best_iteration, other.without_better) == (0.7, 20, 2)


def test_another_number_may_decide_and_all_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    class Areas(Scores):
        def run(self) -> None:
            super().run()
            self.state.metrics |= {"val_auc": 1.0 - self.state.metrics["val_dice"], "curves": [1]}

    class Log:
        def __init__(self) -> None:
            self.rows: list[dict[str, float]] = []

        def write(self, engine: Engine, values: dict[str, float]) -> None:
            self.rows.append(values)

    evaluator: Any = Areas([0.5, 0.7, 0.25, 0.6])
    log: Any = Log()
    selection = Validation(evaluator, 2, 10, recalibration=evaluator, log=log, metric="val_auc", called="AUC")
    engine = Engine(lambda engine, batch: None)
    selection.attach(engine)
    engine.run(range(40), max_epochs=1)
    assert (selection.best_score, selection.best_iteration) == (0.75, 30)
    assert log.rows[2] == {"val_dice": 0.25, "val_auc": 0.75}
    assert "validation AUC 0.7500 (best 0.7500 at 30)" in capsys.readouterr().out
