"""Ending a run well when the user or the system asks it to stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from pipelines.console import Terminated
from pipelines.handlers.run_checkpoint import RunCheckpoint


class StopSignals:
    """On SIGTERM or SIGINT: finish the iteration, save a checkpoint, then stop.

    The second signal of a kind acts at once, as it would without this handler.

    Args:
        checkpoint: saves the state.
    """

    def __init__(self, checkpoint: RunCheckpoint) -> None:
        self.checkpoint = checkpoint
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Listen while ``engine`` runs."""
        engine.add_event_handler(Events.STARTED, self._listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop)
        engine.add_event_handler(Events.COMPLETED, self._leave)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._raised)

    def _listen(self, engine: Engine) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._previous[number])

    def _stop(self, engine: Engine) -> None:
        if self.received is None:
            return
        self.checkpoint.save_last(engine)
        raise KeyboardInterrupt if self.received == signal.SIGINT else Terminated

    def _leave(self, engine: Engine) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _raised(self, engine: Engine, fault: BaseException) -> None:
        self._leave(engine)
        raise fault
