from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from pipelines.handlers.plateau_schedule import PlateauSchedule


def optimizer() -> torch.optim.Optimizer:
    weights = [torch.nn.Parameter(torch.zeros(())) for _ in range(2)]
    return torch.optim.Adam([{"params": weights[:1], "lr": 0.08}, {"params": weights[1:], "lr": 0.01}])


def rates(chosen: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in chosen.param_groups]


def watch_scores(scores: Sequence[float], patience: int = 1) -> list[float]:
    """The first rate after each scoring."""
    chosen = optimizer()
    evaluator = Engine(lambda engine, batch: None)
    schedule = PlateauSchedule(chosen, evaluator, cases=2, factor=0.5, patience=patience, least=0.03)
    schedule.attach(Engine(lambda engine, batch: None))
    found = []
    for score in scores:
        evaluator.state.metrics = {"val_dice": score}
        evaluator.run([0])
        found.append(rates(chosen)[0])
    return found


def test_a_rising_dice_keeps_the_rate_and_one_that_rests_halves_it() -> None:
    assert watch_scores([0.1, 0.2, 0.3, 0.4]) == [0.08] * 4
    assert watch_scores([0.4, 0.4, 0.4, 0.3, 0.2]) == [0.08, 0.08, 0.04, 0.04, 0.03]  # not below the least


def watch_losses(losses: Sequence[float], chosen: torch.optim.Optimizer, epoch: int = 2) -> PlateauSchedule:
    schedule = PlateauSchedule(chosen, Engine(lambda engine, batch: None), cases=0, factor=0.5, patience=0, least=0.0)
    engine = Engine(lambda engine, loss: {"loss": -1.0, "loss_mask": loss})
    schedule.attach(engine)
    engine.run(list(losses), max_epochs=len(losses) // epoch, epoch_length=epoch)
    return schedule


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([4.0, 2.0, 3.0, 1.0, 0.5, 0.5], 0.08),  # means 3, 2, 0.5: falls all the time
        ([3.0, 3.0, 4.0, 2.0, 5.0, 1.0], 0.02),  # the mean is 3 in each of three epochs
        ([1.0, 1.0, 2.0, 2.0], 0.04),
    ],
)
def test_without_validation_the_epochs_mean_loss_decides(losses: list[float], expected: float) -> None:
    chosen = optimizer()
    watch_losses(losses, chosen)
    assert rates(chosen) == [expected, 0.01]  # what weights the tasks keeps its rate


def test_a_state_taken_over_goes_on_in_the_middle_of_an_epoch() -> None:
    straight = optimizer()
    first = watch_losses([3.0, 3.0, 4.0], straight)
    assert first.state_dict()["count"] == 0  # an epoch and a half was asked for, one was run

    half = PlateauSchedule(optimizer(), Engine(lambda engine, batch: None), cases=0)
    engine: Any = SimpleNamespace(state=SimpleNamespace(output={"loss_mask": 4.0}, iteration=3, epoch_length=2))
    half._step_by_loss(engine)
    state = half.state_dict()
    assert (state["sum"], state["count"]) == (4.0, 1)

    chosen = optimizer()
    other = PlateauSchedule(chosen, Engine(lambda engine, batch: None), cases=0, patience=0)
    other.load_state_dict({**state, "scheduler": first.state_dict()["scheduler"]})
    engine.state = SimpleNamespace(output={"loss_mask": 6.0}, iteration=4, epoch_length=2)
    other._step_by_loss(engine)  # 5 on the mean, after 3
    assert rates(chosen)[0] == pytest.approx(0.04)
    assert other.state_dict()["count"] == 0
