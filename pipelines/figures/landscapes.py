"""Contours of losses over planes through trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipelines.figures.study_charts import INK, labelled
from pipelines.loss_study.landscape import Surface

LEVELS = 18


def draw_landscapes(surfaces: Mapping[str, Surface], plane: str) -> Figure | None:
    """Draw the surfaces of all losses over one kind of plane, the loss above and the IoU of the same weights below.

    Each loss has a scale of its own, with steps of equal ratio above its lowest value; the IoU's is common.

    Args:
        surfaces: by the loss's text.
        plane: ``random`` or ``trajectory``; the latter's path is drawn, from a ring to a star.

    Returns:
        None when there is none.
    """
    if not surfaces:
        return None
    figure = Figure(figsize=(2.75 * len(surfaces) + 0.9, 5.6), facecolor="white", layout="constrained")
    axes = figure.subplots(2, len(surfaces), squeeze=False)
    for column, (text, surface) in enumerate(surfaces.items()):
        _loss(axes[0][column], surface, figure)
        shown = axes[1][column].contourf(
            surface.x, surface.y, np.nan_to_num(surface.iou), levels=np.linspace(0, 1, 21), cmap="cividis"
        )
        axes[0][column].set_title(labelled([text])[0], fontsize=9.5, color=INK, fontweight="bold")
        for axis in axes[:, column]:
            _place(axis, surface, plane)
    axes[0][0].set_ylabel("loss", fontsize=9, color=INK)
    axes[1][0].set_ylabel("IoU of the same weights", fontsize=9, color=INK)
    bar = figure.colorbar(shown, ax=axes[1], shrink=0.9, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.tick_params(labelsize=8, colors=INK)
    words = (
        "plane of two filter-normalised random directions; the solution in the middle"
        if plane == "random"
        else "plane of the two principal directions of the training's trajectory; from the ring to the star"
    )
    figure.suptitle(words, fontsize=10, color=INK)
    return figure


def contour_levels(loss: np.ndarray) -> np.ndarray:
    """Give levels from the lowest to the highest finite value, whose heights above the lowest grow by one ratio."""
    values = loss[np.isfinite(loss)]
    if not values.size or values.max() <= values.min():
        lowest = float(values.min()) if values.size else 0.0
        return np.array([lowest, lowest + 1.0])
    low, high = float(values.min()), float(values.max())
    return np.concatenate([[low], low + (high - low) * np.geomspace(1e-3, 1.0, LEVELS)])


def _loss(axis: Axes, surface: Surface, figure: Figure) -> None:
    levels = contour_levels(surface.loss)
    filled = np.where(np.isfinite(surface.loss), surface.loss, levels[-1])
    # A colour for each step, so that equal ratios look equally far apart.
    shares = np.searchsorted(levels, filled) / len(levels)
    axis.contourf(surface.x, surface.y, shares, levels=np.linspace(0, 1, LEVELS + 1), cmap="viridis_r")
    lines = axis.contour(surface.x, surface.y, filled, levels=levels[3::4], colors="#00000088", linewidths=0.5)
    axis.clabel(lines, fontsize=6.5, fmt=FuncFormatter(lambda value, _: f"{value:.2g}"))


def _place(axis: Axes, surface: Surface, plane: str) -> None:
    axis.tick_params(colors=INK, labelsize=7, length=2)
    if plane == "random":
        axis.plot([0], [0], marker="*", color="#D55E00", markersize=8, markeredgecolor="white", markeredgewidth=0.5)
        return
    style: dict[str, Any] = {"color": "#D55E00", "markeredgecolor": "white", "markeredgewidth": 0.5}
    axis.plot(*surface.path.T, color="#D55E00", linewidth=1.1)
    axis.plot(*surface.path.T, linestyle="none", marker=".", markersize=4, color="#D55E00")
    axis.plot(*surface.path[0], marker="o", markersize=5, **style)
    axis.plot(*surface.path[-1], marker="*", markersize=9, **style)
    first, second = (0.0 if np.isnan(share) else share for share in surface.explained)
    axis.set_xlabel(f"{first:.0%} of the variance", fontsize=7.5, color=INK)
    axis.set_ylabel(f"{second:.0%}", fontsize=7.5, color=INK)
