"""The numbers of a training as rows of a CSV file and, if wanted, for TensorBoard."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from transforms.io.atomic import write_text_atomic
from transforms.io.input_error import InputError

FIRST_COLUMNS = ("iteration", "epoch", "seconds", "learning_rate", "loss")
COLUMNS = (
    *FIRST_COLUMNS,
    "loss_mask",
    "loss_level_set",
    "loss_consistency",
    "consistency_weight",
    "gradient_norm",
    "val_dice",
)


class MetricsLog:
    """Write a row of ``metrics.csv`` every so many iterations: the mean of each term since the last row.

    A resumed run drops the rows after the iteration that it goes on from, since they are computed again.

    Args:
        path: the CSV file.
        optimizer: whose learning rate is told.
        every: iterations between two rows.
        tensorboard: folder for TensorBoard's event files; None for none.
        is_writer: whether this process writes (the first of several).
        columns: terms to tell beside the loss and the learning rate.

    Raises:
        ValueError: when ``every`` is below one.
    """

    def __init__(
        self,
        path: str | Path,
        optimizer: torch.optim.Optimizer,
        every: int = 10,
        tensorboard: str | Path | None = None,
        is_writer: bool = True,
        columns: Sequence[str] = COLUMNS,
    ) -> None:
        if every < 1:
            raise ValueError(f"log_every must be at least 1, got {every}.")
        self.path = Path(path)
        self.optimizer = optimizer
        self.every = every
        self.tensorboard = tensorboard
        self.is_writer = is_writer
        self.columns = tuple(dict.fromkeys([*FIRST_COLUMNS, *columns]))
        self._sums: dict[str, float] = {}
        self._count = 0
        self._seconds_before = 0.0
        self._started = 0.0
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Log through the run of ``engine``, whose iteration is known by then, if it goes on from one."""
        if not self.is_writer:
            return
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def state_dict(self) -> dict[str, Any]:
        """Give what the next row begins with: the terms since the last one."""
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over :meth:`state_dict`'s content."""
        self._sums = dict(state_dict["sums"])
        self._count = int(state_dict["count"])

    def write(self, engine: Engine, values: Mapping[str, float]) -> None:
        """Append one row for the present iteration.

        Raises:
            InputError: when the file cannot be written.
        """
        if not self.is_writer:
            return
        iteration = engine.state.iteration
        row = {
            "iteration": iteration,
            "epoch": -(-iteration // (engine.state.epoch_length or iteration)),
            "seconds": round(self.seconds, 2),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **{name: f"{value:.6g}" for name, value in values.items() if name in self.columns},
        }
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        except OSError as fault:
            raise InputError(self.path, f"cannot be written: {fault.strerror}") from fault
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self._seconds_before + time.monotonic() - self._started

    def _open(self, engine: Engine) -> None:
        kept = [row for row in read_metrics(self.path) if int(row["iteration"]) <= engine.state.iteration]
        self._seconds_before = float(kept[-1]["seconds"]) if kept else 0.0
        self._started = time.monotonic()
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_text_atomic(self.path, text.getvalue())
        if self.tensorboard is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.tensorboard), purge_step=engine.state.iteration + 1)

    def _add(self, engine: Engine) -> None:
        terms: Any = engine.state.output
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1
        if engine.state.iteration % self.every == 0:
            self.write(engine, {name: total / self._count for name, total in self._sums.items()})
            self._sums, self._count = {}, 0

    def _close(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.close()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``metrics.csv``, leaving out a last one that a killed process left unfinished."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds") and None not in row.values()]
