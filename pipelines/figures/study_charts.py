"""Charts of a study of losses: measures through training, the losses' own curves, and reliability diagrams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pipelines.figures.curves import COLOURS

INK = "#3a4149"
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
PANELS = (
    ("iou", "intersection over union", "higher is better"),
    ("pixel_accuracy", "pixel accuracy", "higher is better"),
    ("ece", "expected calibration error", "lower is better"),
    ("confidence_foreground", "confidence of foreground pixels", "probability of the true class"),
    ("confidence_background", "confidence of background pixels", "probability of the true class"),
    ("ace", "average calibration error", "lower is better"),
)

Study = Mapping[str, Any]


def style_of(index: int) -> tuple[str, Any]:
    """Colour and dashes of the loss of that number: seven colours that all eyes tell apart, then with dashes."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def draw_progress(study: Study) -> Figure:
    """Draw each measure through training, a line a loss: the mean over the seeds, and each seed's own where there are
    several.

    Args:
        study: as :func:`pipelines.loss_study.study.gather_study` gives it.
    """
    figure = Figure(figsize=(13.2, 6.6), facecolor="white", layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for axis, (name, title, below) in zip(axes, PANELS, strict=True):
        for index, loss in enumerate(study["losses"]):
            colour, dashes = style_of(index)
            iterations, rows = measure_rows(loss, name)
            if len(rows) > 1:
                for row in rows:
                    axis.plot(iterations, row, color=colour, linewidth=0.6, alpha=0.35)
            known = np.isfinite(rows).any(axis=0)
            mean = np.nanmean(rows[:, known], axis=0)
            axis.plot(np.asarray(iterations)[known], mean, color=colour, linestyle=dashes, label=loss["text"])
        if name == "iou":
            axis.axhline(study["threshold"]["iou"], color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
        _dress(axis, title, "iteration", below)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return figure


def measure_rows(loss: Mapping[str, Any], name: str) -> tuple[list[int], np.ndarray]:
    """Give the iterations that all seeds have, and a measure at them, (seeds, iterations); NaN where undefined."""
    runs = loss["runs"]
    shared = [step for step in runs[0]["iterations"] if all(step in run["iterations"] for run in runs)]
    rows = []
    for run in runs:
        at = dict(zip(run["iterations"], run[name], strict=True))
        rows.append([math.nan if at[step] is None else at[step] for step in shared])
    return shared, np.array(rows, float)


def draw_loss_curves(study: Study) -> Figure | None:
    """Draw each loss, and its gradient, against the probability of the pixel's own class; a background pixel's curve is
    dashed where it is another. None when no loss is made of its pixels' own.
    """
    shown = [(index, loss) for index, loss in enumerate(study["losses"]) if loss["curve"] is not None]
    if not shown:
        return None
    figure = Figure(figsize=(10.6, 4.0), facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, loss in shown:
        curve, colour = loss["curve"], style_of(index)[0]
        for side, dashes in (("foreground", "solid"), ("background", (0, (4, 2)))):
            if side == "background" and np.allclose(curve["foreground"], curve["background"], rtol=1e-4):
                continue
            label = loss["text"] if side == "foreground" else f"{loss['text']}, background"
            left.plot(curve["p"], curve[side], color=colour, linestyle=dashes, label=label)
            right.plot(curve["p"], curve[f"{side}_gradient"], color=colour, linestyle=dashes)
    highest = max(max(loss["curve"]["foreground"]) for _, loss in shown)
    left.set_ylim(0, min(highest, 5.0))
    _dress(left, "loss of a pixel", "probability of its own class", "")
    _dress(right, "gradient with respect to its logit", "probability of its own class", "")
    left.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def draw_reliability(study: Study) -> Figure:
    """Draw a reliability diagram for each loss at the end of training, of the foreground's probability, of the first
    seed: how often a pixel is foreground where the network says so with that probability, and how many pixels that are.
    """
    losses = study["losses"]
    across = min(len(losses), 6)
    down = math.ceil(len(losses) / across)
    figure = Figure(figsize=(2.4 * across + 0.6, 3.6 * down), facecolor="white", layout="constrained")
    rows = figure.subplots(2 * down, across, squeeze=False, height_ratios=[3, 1] * down)
    for index in range(down * across):
        upper, lower = (rows[2 * (index // across) + part][index % across] for part in (0, 1))
        if index >= len(losses):
            upper.set_axis_off()
            lower.set_axis_off()
            continue
        _diagram(upper, lower, losses[index], style_of(index)[0])
    return figure


def _diagram(upper: Axes, lower: Axes, loss: Mapping[str, Any], colour: str) -> None:
    bins = loss["runs"][0]["foreground_reliability"]
    pairs = [
        (confidence, frequency)
        for confidence, frequency in zip(bins["confidence"], bins["frequency"], strict=True)
        if confidence is not None
    ]
    upper.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
    upper.plot(*np.array(pairs).T, color=colour, marker="o", markersize=3.5, linewidth=1.3)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    _dress(upper, labelled([loss["text"]])[0], "", "foreground pixels, share")
    count = len(bins["counts"])
    centres = (np.arange(count) + 0.5) / count
    lower.bar(centres, bins["counts"], width=0.9 / count, color=colour, alpha=0.6)
    lower.set(yscale="log", ylim=(0.5, 2 * max(*bins["counts"], 1)), xlim=(-0.02, 1.02), xticks=[0, 0.5, 1])
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _dress(lower, "", "probability of foreground", "pixels")


def _dress(axis: Axes, title: str, x: str, y: str) -> None:
    if title:
        axis.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axis.set_xlabel(x, fontsize=8.5, color=INK)
    axis.set_ylabel(y, fontsize=8.5, color=INK)
    axis.tick_params(colors=INK, labelsize=8, length=3, which="both")
    axis.grid(True, color=INK, alpha=0.13, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def labelled(texts: Sequence[str], width: int = 18) -> list[str]:
    """Break the losses' texts where they are too long for a column."""
    return ["\n".join(text[start : start + width] for start in range(0, len(text), width)) for text in texts]
