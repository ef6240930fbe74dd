"""Pictures of data parameters: do they tell sound labels from disturbed ones, and good ones from bad?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.data.data_parameters_table import ParameterRow
from pipelines.figures.curves import COLOURS
from pipelines.figures.png import png_bytes
from pipelines.figures.report import Picture
from pipelines.metrics.label_quality import label_quality
from transforms.io.atomic import atomic_path

_INK = "#3a4149"
_SOUND, _DISTURBED = COLOURS[0], COLOURS[1]


def draw_histogram(rows: Sequence[ParameterRow]) -> Figure | None:
    """Draw how the parameters of sound and of disturbed labels are distributed; None without parameters."""
    values = {
        spoilt: np.array([row.parameter for row in rows if row.parameter is not None and bool(row.disturbed) is spoilt])
        for spoilt in (False, True)
    }
    both = np.concatenate([values[False], values[True]])
    if not len(both):
        return None
    figure, axis = _axes()
    low, high = float(both.min()), float(both.max())
    # Equal values, as before the first step, still get a bar of some width.
    edges = np.linspace(low, high, 31) if high - low > 1e-9 else np.array([low - 0.5, high + 0.5])
    for spoilt, name, colour in ((False, "sound", _SOUND), (True, "disturbed", _DISTURBED)):
        if len(values[spoilt]):
            label = f"{name} ({len(values[spoilt])})" if len(values[True]) else f"all labels ({len(both)})"
            axis.hist(values[spoilt], bins=edges.tolist(), color=colour, alpha=0.65, label=label)
    quality = label_quality(both, [None] * len(both), [False] * len(values[False]) + [True] * len(values[True]))
    told = f"mean {quality.mean:.2f}, sd {quality.sd:.2f}"
    _dress(axis, told if quality.auc is None else f"{told}, AUC {quality.auc:.3f}", "data parameter", "labels")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))  # no half labels, however few there are
    return figure


def draw_scatter(rows: Sequence[ParameterRow]) -> Figure | None:
    """Draw each label's parameter against its true Dice, with their correlation; None where neither is known."""
    known = [row for row in rows if row.parameter is not None and row.true_dice is not None]
    if not known:
        return None
    figure, axis = _axes()
    for spoilt, name, colour in ((False, "sound", _SOUND), (True, "disturbed", _DISTURBED)):
        group = [row for row in known if bool(row.disturbed) is spoilt]
        if group:
            axis.scatter(
                [row.true_dice or 0.0 for row in group],
                [row.parameter or 0.0 for row in group],
                s=14, color=colour, alpha=0.65, linewidths=0, label=name,
            )  # fmt: skip
    values, dice = [row.parameter or 0.0 for row in known], [row.true_dice for row in known]
    quality = label_quality(values, dice, [None] * len(known))
    told = [
        f"{name} {value:.3f}"
        for name, value in (("Spearman", quality.spearman), ("Pearson", quality.pearson))
        if value is not None
    ]
    title = f"{', '.join(told)} ({len(known)} labels)" if told else f"{len(known)} labels"
    _dress(axis, title, "true Dice against the expert's label", "data parameter")
    return figure


def write_parameter_pictures(folder: Path, rows: Sequence[ParameterRow]) -> list[Path]:
    """Write ``data_parameters_histogram.png`` and ``data_parameters_scatter.png`` into ``folder``, where there is
    anything to draw; give their paths.
    """
    written = []
    for name, figure in (("histogram", draw_histogram(rows)), ("scatter", draw_scatter(rows))):
        if figure is not None:
            path = folder / f"data_parameters_{name}.png"
            with atomic_path(path) as temporary:
                temporary.write_bytes(png_bytes(figure, dpi=150))
            written.append(path)
    return written


def parameter_pictures(folder: Path) -> list[Picture]:
    """Give what :func:`write_parameter_pictures` has left in ``folder``, for the report; nothing is nothing."""
    captions = {
        "histogram": ("Data parameters of all labels", "The further right, the more a label is trusted."),
        "scatter": ("Data parameter against true Dice", "The experts' labels had no part in the training."),
    }
    files = {name: folder / f"data_parameters_{name}.png" for name in captions}
    return [Picture(path.read_bytes(), *captions[name]) for name, path in files.items() if path.is_file()]


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 3.4), facecolor="white", layout="constrained")
    return figure, figure.add_subplot()


def _dress(axis: Axes, title: str, x: str, y: str) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=_INK, fontweight="bold")
    axis.set_xlabel(x, fontsize=8.5, color=_INK)
    axis.set_ylabel(y, fontsize=8.5, color=_INK)
    axis.tick_params(colors=_INK, labelsize=8, length=3)
    axis.grid(True, color=_INK, alpha=0.15, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axis.legend(frameon=False, fontsize=8, labelcolor=_INK)
