"""Charts hold the study's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from networks.losses.catalogue import make_loss
from pipelines.figures.png import png_bytes
from pipelines.figures.study_charts import (
    PANELS,
    draw_loss_curves,
    draw_progress,
    draw_reliability,
    labelled,
    measure_rows,
    style_of,
)
from pipelines.loss_study.loss_curves import loss_curve


def loss_of(text: str, runs: int = 1, undefined: bool = False) -> dict[str, Any]:
    curve = loss_curve(make_loss(text), points=9)
    rows = [
        {
            "iterations": [0, 10, 20],
            **{name: [0.1 * seed, None if undefined else 0.3, 0.5 + 0.1 * seed] for name, _, _ in PANELS},
            "foreground_reliability": {
                "counts": [5, 0, 100],
                "confidence": [0.1, None, 0.9],
                "frequency": [0.2, None, 0.7],
            },
        }
        for seed in range(runs)
    ]
    told = None if curve is None else {name: part.tolist() for name, part in vars(curve).items()}
    return {"text": text, "curve": told, "runs": rows}


def study_of(*losses: dict[str, Any]) -> dict[str, Any]:
    return {"losses": list(losses), "threshold": {"iou": 0.4}}


def test_lines_are_means_over_the_seeds() -> None:
    figure = draw_progress(study_of(loss_of("ce", runs=3), loss_of("dice", undefined=True)))
    axis = next(axis for axis in figure.axes if axis.get_title(loc="left") == "intersection over union")
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axis.lines}
    assert lines["ce"] == pytest.approx([0.1, 0.3, 0.6])
    assert lines["dice"] == pytest.approx([0.0, 0.5])
    assert len(axis.lines) == 3 + 1 + 1 + 1  # each seed, two means, the threshold
    assert len(png_bytes(figure, dpi=30)) > 1000


def test_iterations_that_one_seed_lacks_are_left_out() -> None:
    loss = loss_of("ce", runs=2)
    loss["runs"][1]["iterations"] = [0, 20, 30]
    assert measure_rows(loss, "iou")[0] == [0, 20]


def test_curves_of_background_pixels_show_where_they_differ() -> None:
    figure = draw_loss_curves(study_of(loss_of("ce"), loss_of("ce:weights=[1,3]"), loss_of("dice")))
    assert figure is not None
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["ce", "ce:weights=[1,3]", "ce:weights=[1,3], background"]
    middle = [float(np.asarray(line.get_ydata())[4]) for line in right.lines]
    assert middle == pytest.approx([-0.5, -1.5, -0.5], abs=1e-3)
    assert draw_loss_curves(study_of(loss_of("dice"))) is None


def test_reliability_leaves_empty_bins_out() -> None:
    figure = draw_reliability(study_of(loss_of("ce"), loss_of("dice")))
    upper = next(axis for axis in figure.axes if axis.get_title(loc="left") == "ce")
    assert [list(map(float, np.asarray(line.get_xdata()))) for line in upper.lines] == [[0, 1], [0.1, 0.9]]
    assert len(png_bytes(figure, dpi=30)) > 1000


def test_many_losses_stay_apart() -> None:
    assert len({(colour, str(dashes)) for colour, dashes in map(style_of, range(20))}) == 20
    assert labelled(["focal:gamma=2,alpha=0.25"])[0].count("\n") == 1
