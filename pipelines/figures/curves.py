"""The curves of a training, from its ``metrics.csv``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipelines.figures.png import png_bytes
from transforms.io.atomic import atomic_path

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f")
DARK_COLOURS = ("#56B4E9", "#E69F00", "#00b483", "#CC79A7", "#F0E442", "#D55E00", "#9f9f9f")
_STEP = "iteration"

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Panel:
    """One pair of axes: which columns it shows, by the beginning of their names."""

    title: str
    prefixes: tuple[str, ...]
    logarithmic: bool = False
    marked: bool = False
    smoothed: bool = False
    least: int = 1  # columns, without which it is left out


_PANELS = (
    _Panel("losses", ("loss",), logarithmic=True, smoothed=True),
    _Panel("validation Dice", ("val_",), marked=True),
    _Panel("weight of consistency", ("consistency_weight",)),
    _Panel("weights of the tasks", ("weight_",), least=2),
    _Panel("noise of the tasks (standard deviation)", ("sigma_",)),
    _Panel("learning rate", ("learning_rate", "lr"), logarithmic=True),
)


def read_columns(path: str | Path) -> dict[str, np.ndarray]:
    """Read the numeric columns of a ``metrics.csv``.

    Args:
        path: the file; an empty cell, and a cell that is no number, is NaN. Rows without an iteration are left out.

    Returns:
        Column by name, all of one length, sorted by iteration; empty when the file holds no row.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [{name: _number(cell) for name, cell in row.items() if name} for row in csv.DictReader(file)]
    rows = sorted((row for row in rows if math.isfinite(row.get(_STEP, math.nan))), key=lambda row: row[_STEP])
    names = list(rows[0]) if rows else []
    return {name: np.array([row[name] for row in rows]) for name in names}


def draw_curves(columns: Columns, *, dark: bool = False) -> Figure | None:
    """Draw losses, validation Dice, the weights of consistency and of the tasks and the learning rate over iterations.

    Args:
        columns: as ``read_columns`` gives them. A column without a finite value is left out, and so is one that is 0
            throughout.
        dark: light lines and letters for a dark page.

    Returns:
        The figure, with a transparent page; None when there is nothing to draw.
    """
    shown = [(panel, found) for panel in _PANELS if len(found := _series(columns, panel)) >= panel.least]
    if not shown:
        return None
    ink, colours = ("#c9d1d9", DARK_COLOURS) if dark else ("#3a4149", COLOURS)
    across = min(len(shown), 2)
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(5.2 * across, 2.75 * down), facecolor="none", layout="constrained")
    for place, (panel, found) in enumerate(shown, start=1):
        axis = figure.add_subplot(down, across, place)
        for index, (name, steps, values) in enumerate(found):
            _line(axis, panel, name, steps, values, colours[index % len(colours)])
        axis.set_xlim(0, float(columns[_STEP][-1]) * 1.02)
        _dress(axis, panel, [values for _, _, values in found], ink)
    return figure


def curves_png(path: str | Path, *, dark: bool = False) -> bytes | None:
    """The curves of a ``metrics.csv`` as a PNG; None when it holds nothing to draw."""
    figure = draw_curves(read_columns(path), dark=dark)
    return None if figure is None else png_bytes(figure, dpi=150)


def write_curves(path: str | Path, metrics_csv: str | Path) -> bool:
    """Write the curves of ``metrics_csv`` as a PNG file; tell whether there was anything to draw."""
    content = curves_png(metrics_csv)
    if content is not None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return content is not None


def _number(cell: str | None) -> float:
    try:
        return float(cell) if isinstance(cell, str) else math.nan
    except ValueError:
        return math.nan


def _series(columns: Columns, panel: _Panel) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, iterations, values) of a panel's columns, without the cells that are empty."""
    found = []
    for name, values in columns.items():
        kept = np.isfinite(values)
        if name.startswith(panel.prefixes) and kept.any() and np.any(values[kept] != 0):
            found.append((name, columns[_STEP][kept], values[kept]))
    return found


def _line(axis: Axes, panel: _Panel, name: str, steps: np.ndarray, values: np.ndarray, colour: str) -> None:
    prefix = next((prefix for prefix in ("loss_", "val_", "weight_", "sigma_") if name.startswith(prefix)), "")
    label = name.removeprefix(prefix).replace("_", " ")
    if panel.smoothed and len(values) >= 40:
        axis.plot(steps, values, color=colour, linewidth=0.7, alpha=0.3)
        axis.plot(steps, _smoothed(values), color=colour, linewidth=1.5, label="total" if name == "loss" else label)
        return
    marker = "o" if panel.marked else None
    axis.plot(steps, values, color=colour, linewidth=1.4, marker=marker, markersize=3, label=label)
    if panel.marked:
        best = int(values.argmax())
        axis.annotate(
            f"{values[best]:.3f}", (steps[best], values[best]), xytext=(0, 5), textcoords="offset points", ha="center",
            fontsize=8, color=colour,
        )  # fmt: skip


def _smoothed(values: np.ndarray) -> np.ndarray:
    """A running mean over about a thirtieth of the curve, over fewer points at its ends."""
    reach = max(len(values) // 60, 1)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _dress(axis: Axes, panel: _Panel, values: Sequence[np.ndarray], ink: str) -> None:
    """Title, scale and sober lines."""
    axis.set_title(panel.title, loc="left", fontsize=10, color=ink, fontweight="bold")
    axis.set_xlabel("iteration", fontsize=8.5, color=ink)
    axis.set_facecolor("none")
    if panel.logarithmic and min(float(part.min()) for part in values) > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if panel.marked:
        axis.margins(y=0.18)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.tick_params(colors=ink, labelsize=8, length=3)
    axis.grid(True, color=ink, alpha=0.15, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    if len(values) > 1:
        axis.legend(frameon=False, fontsize=8, labelcolor=ink)
