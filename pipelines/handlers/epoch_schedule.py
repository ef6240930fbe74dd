"""Learning rates that are a function of the epoch alone, as papers give them."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

POLYNOMIAL, STEP, CONSTANT = SCHEDULES = ("poly", "step", "constant")


def schedule_factor(
    schedule: str, epoch: int, epochs: int, power: float = 0.9, step_epochs: int = 20, step_factor: float = 0.1
) -> float:
    """Give what the first learning rate is multiplied with in an epoch.

    Args:
        schedule: ``poly`` for ``(1 - epoch / epochs) ** power``, ``step`` for ``step_factor ** (epoch //
            step_epochs)``, ``constant`` for 1.
        epoch: counted from 0.
        epochs: how many there are.
        power: of ``poly``.
        step_epochs: of ``step``.
        step_factor: of ``step``.

    Raises:
        ValueError: for another ``schedule``.
    """
    if schedule == POLYNOMIAL:
        return float((1.0 - min(epoch, epochs) / epochs) ** power)
    if schedule == STEP:
        return float(step_factor ** (epoch // step_epochs))
    if schedule == CONSTANT:
        return 1.0
    raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule}.")


class EpochSchedule:
    """Set the learning rates at the beginning of each iteration, from the number of its epoch.

    Nothing is remembered, so that a run that goes on in the middle of an epoch has the rates of one that was never
    interrupted, and there is nothing to save.

    Args:
        optimizer: whose rates are set; those that it has now are the first ones.
        epochs: how many epochs there are.
        schedule: ``poly``, ``step`` or ``constant``, see :func:`schedule_factor`.
        power: of ``poly``.
        step_epochs: of ``step``: epochs between two steps.
        step_factor: of ``step``: what a step multiplies the rate with.

    Raises:
        ValueError: for another ``schedule``, or a number of epochs below 1.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        schedule: str = POLYNOMIAL,
        power: float = 0.9,
        step_epochs: int = 20,
        step_factor: float = 0.1,
    ) -> None:
        if min(epochs, step_epochs) < 1:
            raise ValueError(f"epochs and step_epochs must be at least 1, got {epochs} and {step_epochs}.")
        self.optimizer = optimizer
        self.first_rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.epochs = epochs
        self.schedule = schedule
        self.power, self.step_epochs, self.step_factor = power, step_epochs, step_factor
        self.factor(0)

    def attach(self, engine: Engine) -> None:
        """Schedule through the run of ``engine``."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def factor(self, epoch: int) -> float:
        """Give what the first rates are multiplied with in an epoch, counted from 0."""
        return schedule_factor(self.schedule, epoch, self.epochs, self.power, self.step_epochs, self.step_factor)

    def _set(self, engine: Engine) -> None:
        epoch = (engine.state.iteration - 1) // (engine.state.epoch_length or 1)
        for group, first in zip(self.optimizer.param_groups, self.first_rates, strict=True):
            group["lr"] = first * self.factor(epoch)
