"""How far a training is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from typing import Any

from ignite.engine import Engine, Events

from pipelines.console import say


class ProgressReport:
    """A bar on a terminal, a line every so many seconds elsewhere.

    Args:
        iterations: how many there are in all.
        every_s: seconds between two lines.
    """

    def __init__(self, iterations: int, every_s: float = 20.0) -> None:
        self.iterations = iterations
        self.every_s = every_s
        self._bar: Any = None
        self._started = self._last = 0.0
        self._first = 0

    def attach(self, engine: Engine) -> None:
        """Report through the run of ``engine``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._first = engine.state.iteration
        self._started = self._last = time.monotonic()
        if self._first:
            say(f"going on from iteration {self._first} of {self.iterations}")
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.iterations, initial=self._first, desc="training", unit="it")

    def _advance(self, engine: Engine) -> None:
        iteration = engine.state.iteration
        terms: Any = engine.state.output
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix(loss=f"{float(terms['loss']):.3f}", refresh=False)
        elif time.monotonic() - self._last >= self.every_s or iteration == self.iterations:
            self._last = time.monotonic()
            rate = (self._last - self._started) / max(iteration - self._first, 1)
            left = round(rate * (self.iterations - iteration))
            say(
                f"iteration {iteration} of {self.iterations}, loss {float(terms['loss']):.4f}, "
                f"{rate:.2f} s each, {left // 60}:{left % 60:02d} min left"
            )

    def _finish(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
