"""Ending a run well when the user or the system asks it to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from ignite.engine import Engine, Events

from pipelines.console import Interrupted, Terminated, say
from pipelines.handlers.run_checkpoint import RunCheckpoint
from pipelines.handlers.validation import Validation


class StopSignals:
    """On SIGTERM or SIGINT: finish the iteration, save a checkpoint, then stop.

    A scoring of the validation cases, which may take long, is broken off; a resumed run begins with it. The second
    signal of a kind acts at once, as it would without this handler.

    Args:
        checkpoint: saves the state.
        selection: scores the validation cases.
    """

    def __init__(self, checkpoint: RunCheckpoint, selection: Validation) -> None:
        self.checkpoint = checkpoint
        self.selection = selection
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Listen while ``engine`` runs."""
        engine.add_event_handler(Events.STARTED, self._listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop)
        engine.add_event_handler(Events.COMPLETED, self._leave)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._raised)

    def _listen(self, engine: Engine) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python hands signals to the main thread alone
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._previous[number])
        if self.selection.is_pending:
            self._raise()

    def _stop(self, engine: Engine) -> None:
        if self.received is not None:
            self.checkpoint.save_last(engine)
            say(f"stopped after iteration {engine.state.iteration}, which is saved; go on with --resume")
            self._raise()

    def _raise(self) -> NoReturn:
        raise Interrupted if self.received == signal.SIGINT else Terminated

    def _leave(self, engine: Engine) -> None:
        self._restore()
        if self.received is not None:
            self._raise()

    def _raised(self, engine: Engine, fault: BaseException) -> None:
        self._restore()
        if self.received is not None and self.selection.is_pending:
            self.checkpoint.save_last(engine)
        raise fault

    def _restore(self) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous = {}
