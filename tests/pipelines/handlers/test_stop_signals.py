from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine

from pipelines.console import Terminated
from pipelines.handlers.stop_signals import StopSignals


class Saves:
    def __init__(self) -> None:
        self.at: list[int] = []

    def save_last(self, engine: Engine) -> None:
        self.at.append(engine.state.iteration)


@pytest.fixture(autouse=True)
def handlers_come_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before, "a run must leave the signal handlers as it found them"


def run(number: signal.Signals | None) -> tuple[list[int], int]:
    """Run five iterations and send the signal in the third."""
    saves: Any = Saves()

    def iteration(engine: Engine, batch: int) -> None:
        if number is not None and engine.state.iteration == 3:
            os.kill(os.getpid(), number)

    engine = Engine(iteration)
    selection: Any = SimpleNamespace(is_pending=False)
    StopSignals(saves, selection).attach(engine)
    try:
        engine.run(range(5), max_epochs=1)
    except (KeyboardInterrupt, Terminated) as stop:
        return [*saves.at, -1 if isinstance(stop, KeyboardInterrupt) else -2], engine.state.iteration
    return saves.at, engine.state.iteration


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, -1), (signal.SIGTERM, -2)])
def test_the_iteration_is_finished_and_saved_before_the_run_stops(number: signal.Signals, raised: int) -> None:
    saved, iterations = run(number)
    assert iterations == 3
    assert saved == [3, raised]


def test_without_a_signal_nothing_happens() -> None:
    assert run(None) == ([], 5)
