"""One scale for all maps; colours of right and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.figures.loss_maps import (
    MapScale,
    chosen_moments,
    coloured_difference,
    common_scales,
    draw_maps,
)
from pipelines.figures.png import png_bytes
from pipelines.loss_study.recording import Moment, PicturedCase
from pipelines.loss_study.scoring import Scores
from pipelines.metrics.calibration import compute_reliability

BINS = compute_reliability([], [])
LABEL = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
CASE = PicturedCase("a", np.arange(6, dtype=np.float32).reshape(1, 2, 3), LABEL)


def moment(iteration: int, high: float, *, of_pixels: bool = True) -> Moment:
    maps = {
        "confidence": [np.full((2, 3), 0.5, np.float32)],
        "gradient": [np.full((2, 3), high, np.float32)],
        "prediction": [np.array([[1, 1, 0], [0, 0, 1]], np.uint8)],
    }
    if of_pixels:
        maps["loss"] = [np.full((2, 3), 2 * high, np.float32)]
    return Moment(iteration, Scores({}, BINS, BINS), 1.0, maps)


def test_the_scale_is_that_of_all_losses() -> None:
    scales = common_scales([moment(0, 1.0), moment(0, 4.0, of_pixels=False)])
    assert (scales["gradient"].low, scales["gradient"].high) == (0.0, pytest.approx(4.0))
    assert scales["loss"].high == pytest.approx(2.0)
    assert (scales["confidence"].low, scales["confidence"].high, scales["confidence"].power) == (0.0, 1.0, 1.0)
    assert MapScale(0.0, 4.0, 0.5).shares(np.array([0.0, 1.0, 4.0, 9.0])).tolist() == [0.0, 0.5, 1.0, 1.0]


def test_moments_are_chosen_closer_at_the_start() -> None:
    every = list(range(0, 310, 10))
    chosen = chosen_moments(every, 6)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 300, 6)
    assert chosen[1] - chosen[0] < chosen[-1] - chosen[-2]
    for count in (2, 5, 12, 30):
        found = chosen_moments(every, count)
        assert len(found) == count
        assert found == sorted(set(found))
    assert chosen_moments([0, 5], 6) == [0, 5]


def test_right_and_wrong_have_their_colours() -> None:
    pixels = coloured_difference(np.array([[1, 1, 0], [0, 0, 1]], np.uint8), CASE)
    assert pixels[0, 1].tolist() == [0xF0, 0xE4, 0x42]  # found
    assert pixels[0, 2].tolist() == [0xD5, 0x5E, 0x00]  # missed
    assert pixels[0, 0].tolist() == [0x00, 0x72, 0xB2]  # taken for foreground
    assert len(set(pixels[1, 1].tolist())) == 1  # grey


@pytest.mark.parametrize("kind", ["loss", "confidence", "gradient", "difference"])
def test_a_row_a_loss_and_a_column_a_moment(kind: str) -> None:
    moments = {"ce": [moment(0, 1.0), moment(10, 2.0)], "dice": [moment(0, 1.0, of_pixels=False)] * 2}
    scales = common_scales([one for found in moments.values() for one in found])
    figure = draw_maps(kind, CASE, 0, moments, scales)
    assert figure is not None
    rows = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert rows == (["ce"] if kind == "loss" else ["ce", "dice"])
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["0", "10"]
    assert len(png_bytes(figure, dpi=30)) > 500


def test_losses_without_such_a_map_have_no_figure() -> None:
    moments = {"dice": [moment(0, 1.0, of_pixels=False)]}
    assert draw_maps("loss", CASE, 0, moments, common_scales(moments["dice"])) is None
