"""Contours of surfaces, whole and broken."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.figures.landscapes import contour_levels, draw_landscapes
from pipelines.figures.png import png_bytes
from pipelines.loss_study.landscape import Surface

AXIS = np.linspace(-1, 1, 5)
BOWL = AXIS[None] ** 2 + AXIS[:, None] ** 2


def test_levels_rise_by_one_ratio() -> None:
    levels = contour_levels(BOWL)
    assert (levels[0], levels[-1]) == (0.0, pytest.approx(2.0))
    heights = levels[1:] - levels[0]
    assert heights[1:] / heights[:-1] == pytest.approx(heights[1] / heights[0])
    assert contour_levels(np.ones((2, 2))).tolist() == [1.0, 2.0]
    assert contour_levels(np.full((2, 2), np.nan)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("plane", ["random", "trajectory"])
def test_each_loss_has_its_loss_above_and_its_overlap_below(plane: str) -> None:
    path = np.array([[0.8, 0.2], [0.3, -0.1], [0.0, 0.0]]) if plane == "trajectory" else np.zeros((0, 2))
    broken = BOWL.copy()
    broken[0, 0] = np.inf
    steps, shares = np.arange(len(path)), np.array([0.9, 0.1])
    surfaces = {
        "ce": Surface(AXIS, AXIS, BOWL, 1 - BOWL / 2, path, steps, shares),
        "dice": Surface(AXIS, AXIS, broken, np.full((5, 5), np.nan), path, steps, shares),
    }
    figure = draw_landscapes(surfaces, plane)
    assert figure is not None
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["ce", "dice"]
    assert any("90%" in axis.get_xlabel() for axis in figure.axes) == (plane == "trajectory")
    assert len(png_bytes(figure, dpi=30)) > 1000


def test_nothing_to_draw() -> None:
    assert draw_landscapes({}, "random") is None
