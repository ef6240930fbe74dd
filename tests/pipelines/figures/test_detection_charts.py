"""Charts of detections hold the numbers that were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.figures.detection_charts import detection_png, draw_detections, write_detection_chart
from pipelines.metrics.detection import Detections


def measured(known: bool = True) -> dict[str, Any]:
    """Two kinds, the second in no slice."""
    found = Detections(["REA $x$", "PED"])
    truth = [[1, 0, 1, 0], [0, 0, 0, 0]]
    found.add("a", [[0.9, 0.8, 0.5, 0.1], [0.1, 0.1, 0.2, 0.9]], truth if known else np.full((2, 4), -1))
    return found.summary()


@pytest.mark.parametrize("dark", [False, True])
def test_lines_are_the_curves(dark: bool) -> None:
    figure = draw_detections(measured(), dark=dark)
    assert figure is not None
    curves, upper, lower = figure.axes
    lines = {str(line.get_label()): line for line in curves.lines}
    assert np.asarray(lines["REA $x$: AUC 0.750 (2 of 4)"].get_xydata()).tolist() == [
        [0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1],
    ]  # fmt: skip
    assert "PED: no curve (0 of 4)" in lines
    marks = [line for line in curves.lines if line.get_linestyle() == "None"]
    assert [np.asarray(mark.get_xydata()).tolist() for mark in marks] == [[[0.5, 1.0]]]
    reliability = {str(line.get_label()): np.asarray(line.get_xydata()) for line in upper.lines}
    assert reliability["REA $x$"][:, 0].tolist() == pytest.approx([0.1, 0.5, 0.8, 0.9])
    assert reliability["REA $x$"][:, 1].tolist() == [0, 1, 0, 1]
    assert sum(bar.get_height() for bar in lower.patches) == 8
    assert curves.get_title(loc="left") == "ROC, slices (mark: called there from 0.5)"


def test_volumes_and_files(tmp_path: Path) -> None:
    content = detection_png(measured(), "volumes")
    assert content is not None
    assert content.startswith(b"\x89PNG")
    assert write_detection_chart(tmp_path / "chart.png", measured(), "volumes")
    assert (tmp_path / "chart.png").read_bytes() == content


def test_nothing_known_is_not_drawn(tmp_path: Path) -> None:
    assert draw_detections(measured(known=False)) is None
    assert detection_png(Detections(["REA"]).summary()) is None
    assert not write_detection_chart(tmp_path / "chart.png", measured(known=False))
    assert not list(tmp_path.iterdir())


def test_refuses_another_level() -> None:
    with pytest.raises(ValueError, match="level must be one of slices, volumes, got voxels"):
        draw_detections(measured(), "voxels")
