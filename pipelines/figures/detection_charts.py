"""Charts of detections: how well each kind of lesion is told, and whether the probabilities are what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.figures.curves import COLOURS, DARK_COLOURS
from pipelines.figures.png import png_bytes
from transforms.io.atomic import atomic_path

LEVELS = ("slices", "volumes")
INK, DARK_INK = "#3a4149", "#c9d1d9"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DIAGONAL = (0, (2, 3))


def draw_detections(detection: Mapping[str, Any], level: str = "slices", *, dark: bool = False) -> Figure | None:
    """Draw the ROC curve of each kind of lesion, a reliability diagram, and how many predictions are behind it.

    Args:
        detection: what :meth:`pipelines.metrics.detection.Detections.summary` gives.
        level: ``slices`` or ``volumes``.
        dark: light lines and letters for a dark page.

    Returns:
        The figure, with a transparent page; None when nothing is known of any kind.

    Raises:
        ValueError: for another ``level``.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level}.")
    kinds = {
        name: found for name, found in detection[level]["kinds"].items() if found["positives"] + found["negatives"]
    }
    if not kinds:
        return None
    ink, colours = (DARK_INK, DARK_COLOURS) if dark else (INK, COLOURS)
    figure = Figure(figsize=(10.2, 4.4), facecolor="none", layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[3.4, 1])
    curves = figure.add_subplot(grid[:, 0])
    upper = figure.add_subplot(grid[0, 1])
    lower = figure.add_subplot(grid[1, 1], sharex=upper)
    for axis in (curves, upper):
        axis.plot([0, 1], [0, 1], color=ink, linewidth=0.8, linestyle=DIAGONAL, alpha=0.7)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for index, (name, found) in enumerate(kinds.items()):
        colour, marker = colours[index % len(colours)], MARKERS[index % len(MARKERS)]
        _roc(curves, name, found, colour, marker)
        _reliability(upper, lower, name, found["reliability"], colour, marker, index, len(kinds))
    title = f"ROC, {level} (mark: called there from {detection['threshold']:g})"
    _dress(curves, title, "false positive rate (1 - specificity)", "sensitivity", ink)
    _dress(upper, f"reliability, {level}", "", "share that hold it", ink)
    _dress(lower, "", "probability told", level, ink)
    upper.tick_params(labelbottom=False)
    lower.set_yscale("symlog", linthresh=1)
    most = max(max(found["reliability"]["counts"]) for found in kinds.values())
    lower.set_yticks([0, *_decades(most)], [str(number) for number in (0, *_decades(most))])
    lower.set_ylim(0, 1.5 * most + 1)
    curves.legend(frameon=False, fontsize=8.5, labelcolor=ink, loc="lower right")
    upper.legend(frameon=False, fontsize=8.5, labelcolor=ink, loc="upper left")
    return figure


def detection_png(detection: Mapping[str, Any], level: str = "slices", *, dark: bool = False) -> bytes | None:
    """The charts of detections as a PNG; None when there is nothing to draw."""
    figure = draw_detections(detection, level, dark=dark)
    return None if figure is None else png_bytes(figure, dpi=150)


def write_detection_chart(path: str | Path, detection: Mapping[str, Any], level: str = "slices") -> bool:
    """Write the charts of detections as a PNG file; tell whether there was anything to draw."""
    content = detection_png(detection, level)
    if content is not None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return content is not None


def _roc(axis: Axes, name: str, found: Mapping[str, Any], colour: str, marker: str) -> None:
    """The curve, and a mark where the threshold puts the decisions; a kind without a curve is told in the legend."""
    held = f"{found['positives']} of {found['positives'] + found['negatives']}"
    if found["roc"] is None:
        axis.plot([], [], color=colour, linewidth=1.5, label=f"{name}: no curve ({held})")
        return
    roc = found["roc"]
    label = f"{name}: AUC {found['auc']:.3f} ({held})"
    axis.plot(roc["false_positive_rate"], roc["recall"], color=colour, linewidth=1.5, label=label)
    axis.plot(
        [1 - found["specificity"]], [found["sensitivity"]], color=colour, marker=marker, markersize=6, linestyle="none"
    )


def _reliability(
    upper: Axes, lower: Axes, name: str, bins: Mapping[str, Any], colour: str, marker: str, index: int, kinds: int
) -> None:
    pairs = [
        (confidence, frequency)
        for confidence, frequency in zip(bins["confidence"], bins["frequency"], strict=True)
        if confidence is not None
    ]
    upper.plot(*np.array(pairs).T, color=colour, marker=marker, markersize=4, linewidth=1.2, label=name)
    count = len(bins["counts"])
    wide = 0.86 / count / kinds
    centres = (np.arange(count) + 0.5) / count + wide * (index - (kinds - 1) / 2)
    lower.bar(centres, bins["counts"], width=wide, color=colour)


def _decades(most: int) -> list[int]:
    """Powers of ten up to ``most``, three of them at most."""
    powers = [10**power for power in range(len(str(max(most, 1))))]
    return powers[:: max(1, -(-len(powers) // 3))]


def _dress(axis: Axes, title: str, x: str, y: str, ink: str) -> None:
    if title:
        axis.set_title(title, loc="left", fontsize=10, color=ink, fontweight="bold")
    axis.set_xlabel(x, fontsize=8.5, color=ink)
    axis.set_ylabel(y, fontsize=8.5, color=ink)
    axis.set_facecolor("none")
    axis.tick_params(colors=ink, labelsize=8, length=3, which="both")
    axis.grid(True, color=ink, alpha=0.15, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
