"""Data parameters through a training: what they are, and how well they tell good labels from bad ones."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ignite.engine import Engine, Events

from networks.layers.data_parameters import DataParameters
from pipelines.console import say
from pipelines.data.data_parameters_table import ParameterRow, write_data_parameters
from pipelines.data.rater_dataset import RaterDataset
from pipelines.metrics.label_quality import LabelQuality, label_quality
from transforms.io.atomic import write_text_atomic

COLUMNS = ("iteration", "mean", "sd", "spearman", "pearson", "auc")


class DataParameterLog:
    """Write ``data_parameters.csv`` at every checkpoint, and a row of statistics to ``data_parameter_quality.csv``.

    With pictures at the end: parameters of sound and disturbed labels, and parameters against true Dice. A resumed run
    drops the rows after the iteration that it goes on from.

    Args:
        folder: the run folder.
        dataset: the noisy labels and what is known of them.
        data_parameters: of the training.
        mode: of the training; in ``temperature`` a high parameter means little trust, and its negative is told. In
            ``none`` nothing is learnt: the table then holds what is known of the labels alone.
        every: iterations between two checkpoints.
    """

    def __init__(
        self,
        folder: str | Path,
        dataset: RaterDataset,
        data_parameters: DataParameters,
        mode: str,
        every: int,
    ) -> None:
        self.folder = Path(folder)
        self.dataset = dataset
        self.data_parameters = None if mode == "none" else data_parameters
        self.sign = -1.0 if mode == "temperature" else 1.0
        self.every = every

    @property
    def quality_file(self) -> Path:
        """The statistics of each epoch."""
        return self.folder / "data_parameter_quality.csv"

    def attach(self, engine: Engine) -> None:
        """Log through the run of ``engine``, whose iteration is known by then, if it goes on from one."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._write)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def rows(self) -> list[ParameterRow]:
        """Give the present content of ``data_parameters.csv``."""
        if self.data_parameters is None:
            return self.dataset.rows(None)
        values = (self.sign * self.data_parameters.values.float()).cpu().tolist()
        return self.dataset.rows(dict(enumerate(values)))

    def quality(self) -> LabelQuality | None:
        """Compare the present parameters with what is known of the labels; None when there are no parameters."""
        rows = self.rows()
        values = [row.parameter for row in rows if row.parameter is not None]
        if not values:
            return None
        return label_quality(values, [row.true_dice for row in rows], [row.disturbed for row in rows])

    def _open(self, engine: Engine) -> None:
        if self.data_parameters is not None:
            kept = [row for row in read_quality(self.quality_file) if int(row["iteration"]) <= engine.state.iteration]
            self._write_quality(kept)

    def _write(self, engine: Engine) -> None:
        write_data_parameters(self.folder / "data_parameters.csv", self.rows())
        quality = self.quality()
        if quality is None:
            return
        told = {"iteration": str(engine.state.iteration)}
        told |= {name: _cell(getattr(quality, name)) for name in COLUMNS[1:]}
        earlier = [row for row in read_quality(self.quality_file) if row["iteration"] != told["iteration"]]
        self._write_quality([*earlier, told])

    def _finish(self, engine: Engine) -> None:
        self._write(engine)
        quality = self.quality()
        if quality is None:
            return
        from pipelines.figures.parameters import write_parameter_pictures

        write_parameter_pictures(self.folder / "pictures", self.rows())
        known = {name: getattr(quality, name) for name in ("spearman", "pearson", "auc")}
        told = ", ".join(f"{name} {value:.3f}" for name, value in known.items() if value is not None)
        say(f"data parameters: mean {quality.mean:.3f}, sd {quality.sd:.3f}" + (f"; {told}" if told else ""))

    def _write_quality(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text_atomic(self.quality_file, text.getvalue())


def read_quality(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``data_parameter_quality.csv``; none when there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
