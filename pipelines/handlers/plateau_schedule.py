"""A learning rate that falls when nothing gets better: Dice is better when higher, a loss when lower."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import ReduceLROnPlateau


class PlateauSchedule:
    """Lower the learning rate after so many scorings of the validation cases without a better mean Dice.

    Without validation cases the training's own mask loss is watched, its mean over each epoch. Which of the two decides
    also decides the direction: watching a loss for its highest value, a mistake easily made, would lower the rate while
    all is well. Only the first parameter group is scheduled: what weights the tasks keeps its own rate.

    Args:
        optimizer: whose learning rate falls.
        evaluator: scores the validation cases as ``val_dice``.
        cases: how many validation cases there are.
        factor: what the rate is multiplied with.
        patience: scorings, or epochs, without a better one that are borne.
        least: the rate does not fall below.
        threshold: by how much a score must be better to count.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        evaluator: Engine,
        cases: int,
        factor: float = 0.5,
        patience: int = 30,
        least: float = 5e-6,
        threshold: float = 1e-4,
    ) -> None:
        self.evaluator = evaluator
        self.cases = cases
        rates = [group["lr"] for group in optimizer.param_groups]
        self.scheduler = ReduceLROnPlateau(
            optimizer,
            mode="max" if cases else "min",
            factor=factor,
            patience=patience,
            threshold=threshold,
            threshold_mode="abs",
            min_lr=[least, *rates[1:]],
        )
        self._sum, self._count = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Schedule through the run of ``engine``."""
        if self.cases:
            self.evaluator.add_event_handler(Events.COMPLETED, self._step_by_score)
        else:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._step_by_loss)

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed run needs to go on as an uninterrupted one does."""
        return {"scheduler": self.scheduler.state_dict(), "sum": self._sum, "count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`'s content."""
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self._sum, self._count = float(state_dict["sum"]), int(state_dict["count"])

    def _step_by_score(self, evaluator: Engine) -> None:
        self.scheduler.step(float(evaluator.state.metrics["val_dice"]))

    def _step_by_loss(self, engine: Engine) -> None:
        terms: Any = engine.state.output
        self._sum += float(terms["loss_mask"])
        self._count += 1
        if engine.state.iteration % (engine.state.epoch_length or 1) == 0:
            self.scheduler.step(self._sum / self._count)
            self._sum, self._count = 0.0, 0
