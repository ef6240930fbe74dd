"""Choosing the best weights, and the time to stop, by the validation cases and by them alone."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from pipelines.console import say
from pipelines.handlers.metrics_log import MetricsLog
from pipelines.handlers.norm_recalibration import NormRecalibration
from pipelines.handlers.run_checkpoint import RunCheckpoint


class Validation:
    """Score the validation cases every so often; keep the best checkpoint; stop when nothing gets better.

    Without validation cases nothing is selected and nothing stops early: the last weights are the result. Test cases
    have no part in this.

    Args:
        evaluator: scores the validation cases.
        cases: how many validation cases there are.
        every: iterations between two scorings.
        recalibration: brings the norm statistics of the scored network up to date first.
        patience: how many scorings without a better one end the training; None for no early stopping.
        log: gets all numbers that the evaluator gives.
        metric: the one of the evaluator's numbers that decides; higher is better.
        called: what it is called in the lines for the user.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        cases: int,
        every: int,
        recalibration: NormRecalibration,
        patience: int | None = None,
        log: MetricsLog | None = None,
        metric: str = "val_dice",
        called: str = "Dice",
    ) -> None:
        self.evaluator = evaluator
        self.cases = cases
        self.every = every
        self.recalibration = recalibration
        self.patience = patience
        self.log = log
        self.metric = metric
        self.called = called
        self.checkpoint: RunCheckpoint | None = None
        self.best_score = -1.0
        self.best_iteration = 0
        self.without_better = 0
        self.is_pending = False
        """Whether the present weights are due for scoring and have no score yet."""

    def attach(self, engine: Engine) -> None:
        """Score through the run of ``engine``."""
        if self.cases:
            engine.add_event_handler(Events.STARTED, self._score_pending)
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._score)

    @property
    def is_exhausted(self) -> bool:
        """Whether ``patience`` has run out."""
        return self.patience is not None and self.without_better >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed run needs to select as an uninterrupted one does."""
        return {
            "best_dice": self.best_score,  # whatever the score is: older checkpoints have this name
            "best_iteration": self.best_iteration,
            "without_better": self.without_better,
            "is_pending": self.is_pending,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`'s content."""
        self.best_score = float(state_dict["best_dice"])
        self.best_iteration = int(state_dict["best_iteration"])
        self.without_better = int(state_dict["without_better"])
        self.is_pending = bool(state_dict["is_pending"])

    def _score_pending(self, engine: Engine) -> None:
        if self.is_pending:
            self._score(engine)

    def _score(self, engine: Engine) -> None:
        self.is_pending = True
        self.recalibration.recompute()
        self.evaluator.run()
        self.is_pending = False
        found = self.evaluator.state.metrics
        score = float(found[self.metric])
        if self.log is not None:
            self.log.write(engine, {name: value for name, value in found.items() if isinstance(value, float)})
        if score > self.best_score:
            self.best_score, self.best_iteration, self.without_better = score, engine.state.iteration, 0
            if self.checkpoint is not None:
                self.checkpoint.save(engine, self.checkpoint.best)
        else:
            self.without_better += 1
        # Below 0 is what stands in for a Dice or an AUC where no validation case has anything to score.
        called = self.called if score >= 0 else f"score for want of a {self.called}"
        say(
            f"iteration {engine.state.iteration}: validation {called} {score:.4f} "
            f"(best {self.best_score:.4f} at {self.best_iteration})"
        )
        if self.is_exhausted:
            say(f"stopping early: {self.without_better} scorings without a better one")
            engine.terminate()
