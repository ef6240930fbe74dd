"""How much each task of a multi-task training counts, and how noisy it is held to be, from first to last iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.figures.curves import COLOURS, Columns, read_columns
from pipelines.figures.png import png_bytes
from transforms.io.atomic import atomic_path

_INK = "#3a4149"
_KINDS = {"weight_": "weight", "sigma_": "standard deviation (noise)"}


def draw_task_weights(methods: Mapping[str, Sequence[Columns]]) -> Figure | None:
    """Draw the weights and standard deviations of the tasks over iterations: a row per method, thin lines for its
    trainings and a thick one for their mean.

    Args:
        methods: the columns of ``metrics.csv`` (:func:`pipelines.figures.curves.read_columns`) of each training of each
            method. Trainings of one task have nothing to weigh and are left out.

    Returns:
        The figure; None when there is nothing to draw: no training has several tasks, or no weight ever changes.
    """
    rows = {
        name: {prefix: _tasks(trainings, prefix) for prefix in _KINDS}
        for name, trainings in methods.items()
        if len(_tasks(trainings, "weight_")) > 1
    }
    if not any(_changes(training, "weight_") for name in rows for training in methods[name]):
        return None
    across = 1 + any(found["sigma_"] for found in rows.values())
    figure = Figure(figsize=(5.2 * across, 2.75 * len(rows)), facecolor="white", layout="constrained")
    for row, (name, found) in enumerate(rows.items()):
        for column, prefix in enumerate(_KINDS):
            if found[prefix]:
                axis = figure.add_subplot(len(rows), across, row * across + column + 1)
                _draw(axis, methods[name], found[prefix], prefix)
                _dress(axis, f"{name}: {_KINDS[prefix]}")
    return figure


def write_task_weights(path: str | Path, methods: Mapping[str, Sequence[Path]]) -> bool:
    """Write the picture for the ``metrics.csv`` of each method's trainings as a PNG file; tell whether there was
    anything to draw.
    """
    figure = draw_task_weights({name: [read_columns(file) for file in files] for name, files in methods.items()})
    if figure is not None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(png_bytes(figure, dpi=150))
    return figure is not None


def _tasks(trainings: Sequence[Columns], prefix: str) -> list[str]:
    names = dict.fromkeys(name for columns in trainings for name in columns if name.startswith(prefix))
    return [name for name in names if any(np.isfinite(columns.get(name, np.nan)).any() for columns in trainings)]


def _changes(columns: Columns, prefix: str) -> bool:
    found = (values[np.isfinite(values)] for name, values in columns.items() if name.startswith(prefix))
    return any(values.size > 0 and bool((values != values[0]).any()) for values in found)


def _draw(axis: Axes, trainings: Sequence[Columns], tasks: Sequence[str], prefix: str) -> None:
    for task, colour in zip(tasks, COLOURS, strict=False):
        lines = []
        for columns in trainings:
            kept = np.isfinite(columns[task]) if task in columns else np.zeros(0, bool)
            if kept.any():
                lines.append((columns["iteration"][kept], columns[task][kept]))
        steps = max((line[0] for line in lines), key=len)
        for own, values in lines:
            axis.plot(own, values, color=colour, linewidth=0.7, alpha=0.4)
        mean = np.mean([np.interp(steps, own, values) for own, values in lines], axis=0)
        axis.plot(steps, mean, color=colour, linewidth=1.6, label=f"{task.removeprefix(prefix)} ({mean[-1]:.3g})")


def _dress(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=_INK, fontweight="bold")
    axis.set_xlabel("iteration", fontsize=8.5, color=_INK)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.tick_params(colors=_INK, labelsize=8, length=3)
    axis.grid(True, color=_INK, alpha=0.15, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axis.legend(frameon=False, fontsize=8, labelcolor=_INK)
