from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from pipelines.handlers.epoch_schedule import EpochSchedule, schedule_factor


def optimizer(rate: float = 0.001) -> torch.optim.Optimizer:
    weights = [torch.nn.Parameter(torch.zeros(())) for _ in range(2)]
    return torch.optim.Adam([{"params": weights[:1], "lr": rate}, {"params": weights[1:], "lr": 10 * rate}])


def rates(chosen: torch.optim.Optimizer, schedule: EpochSchedule, iterations: range) -> list[float]:
    """The first rate in each iteration; epochs have 2."""
    found: list[float] = []
    engine = Engine(lambda engine, batch: found.append(chosen.param_groups[0]["lr"]))
    schedule.attach(engine)

    def go_on(engine: Engine) -> None:
        engine.state.iteration, engine.state.epoch = iterations.start, iterations.start // 2

    engine.add_event_handler(Events.STARTED, go_on)
    engine.run(range(len(iterations)), max_epochs=-(-iterations.stop // 2), epoch_length=2)
    return found


def test_the_published_rates() -> None:
    # (1 - 25 / 100) ** 0.9 = exp(0.9 ln 0.75)
    assert schedule_factor("poly", 0, 100) == 1.0
    assert schedule_factor("poly", 25, 100) == pytest.approx(0.7719, abs=5e-5)
    assert schedule_factor("poly", 99, 100) == pytest.approx(0.0158489, rel=1e-5)  # 0.01 ** 0.9
    assert schedule_factor("poly", 120, 100) == 0.0
    found = [schedule_factor("step", epoch, 100) for epoch in (0, 19, 20, 39, 40)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert schedule_factor("constant", 50, 100) == 1.0


def test_the_rate_changes_with_the_epoch_and_for_every_group() -> None:
    chosen = optimizer()
    found = rates(chosen, EpochSchedule(chosen, 4), range(8))
    expected = [0.001 * (1 - epoch / 4) ** 0.9 for epoch in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert found == pytest.approx(expected)
    assert chosen.param_groups[1]["lr"] == pytest.approx(10 * expected[-1])


@pytest.mark.parametrize("start", [3, 4])
def test_a_run_that_goes_on_has_the_rates_of_one_that_never_stopped(start: int) -> None:
    straight, again = optimizer(), optimizer()
    first = EpochSchedule(again, 4)
    for group in again.param_groups:
        group["lr"] = 7.0  # what a checkpoint has brought
    assert rates(again, first, range(start, 8)) == rates(straight, EpochSchedule(straight, 4), range(8))[start:]


def test_what_makes_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule must be one of poly, step, constant, got cosine"):
        EpochSchedule(optimizer(), 4, "cosine")
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 20"):
        EpochSchedule(optimizer(), 0)
