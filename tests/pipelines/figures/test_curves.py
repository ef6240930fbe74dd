"""Training curves from whole, sparse, broken and empty logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.figures.curves import curves_png, draw_curves, read_columns, write_curves

LOG = """iteration,epoch,seconds,learning_rate,loss,loss_mask,loss_level_set,consistency_weight,val_dice
10,1,2.0,0.01,1.0,0.8,0.2,0.001,
20,2,4.0,0.01,0.8,0.6,0.2,0.01,0.5
30,3,6.0,0.001,0.5,0.4,0.1,0.1,
30,3,6.5,,,,,,0.75
40,4,8.0,0.001,nan,inf,0.1,0.1,oops
,5,9
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text(LOG)
    return path


def test_empty_cells_are_nan_and_half_rows_left_out(log: Path) -> None:
    columns = read_columns(log)
    assert columns["iteration"].tolist() == [10, 20, 30, 30, 40]
    assert np.array_equal(columns["val_dice"], [np.nan, 0.5, np.nan, 0.75, np.nan], equal_nan=True)
    assert np.isnan(columns["loss"][3:]).all()


def test_panels_show_the_cells_that_are_there(log: Path) -> None:
    figure = draw_curves(read_columns(log))
    assert figure is not None
    axes = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert list(axes) == ["losses", "validation Dice", "weight of consistency", "learning rate"]
    losses = {line.get_label(): line.get_ydata() for line in axes["losses"].lines}
    assert list(losses) == ["loss", "mask", "level set"]
    assert np.asarray(losses["loss"]).tolist() == [1.0, 0.8, 0.5]
    (dice,) = axes["validation Dice"].lines
    assert (np.asarray(dice.get_xdata()).tolist(), np.asarray(dice.get_ydata()).tolist()) == ([20, 30], [0.5, 0.75])
    assert [text.get_text() for text in axes["validation Dice"].texts] == ["0.750"]
    assert axes["learning rate"].get_yscale() == "log"


def test_absent_terms_take_no_room() -> None:
    columns = {"iteration": np.arange(1.0, 4), "loss": np.array([1.0, 0.5, 0.2]), "consistency_weight": np.zeros(3)}
    figure = draw_curves(columns)
    assert figure is not None
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["losses"]


def test_weights_of_several_tasks_are_drawn_and_that_of_one_is_not() -> None:
    steps = np.arange(1.0, 4)
    columns = {"iteration": steps, "weight_mask": np.array([1.0, 1.1, 1.2]), "sigma_mask": np.array([1.0, 0.9, 0.8])}
    figure = draw_curves({**columns, "weight_distance": np.array([0.0, 2.0, 3.0])})
    assert figure is not None
    weights, noise = figure.axes
    assert weights.get_title(loc="left") == "weights of the tasks"
    assert [line.get_label() for line in weights.lines] == ["mask", "distance"]
    assert [line.get_label() for line in noise.lines] == ["mask"]
    assert draw_curves({"iteration": steps, "weight_mask": np.ones(3)}) is None


def test_long_losses_are_smoothed_without_shift() -> None:
    steps = np.arange(1.0, 601)
    noise = np.random.default_rng(0).normal(0, 0.2, 600)
    figure = draw_curves({"iteration": steps, "loss": 2 + steps / 600 + noise})
    assert figure is not None
    raw, smooth = figure.axes[0].lines
    error = np.asarray(smooth.get_ydata()) - (2 + steps / 600)
    assert error[20:-20].std() < 0.08
    assert abs(error.mean()) < 0.02
    assert len(np.asarray(raw.get_ydata())) == 600


@pytest.mark.parametrize("text", ["", "iteration,loss\n", "iteration,loss\n5,\n", "epoch,loss\n1,2\n"])
def test_nothing_to_draw(text: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    assert curves_png(path) is None
    assert not write_curves(tmp_path / "curves.png", path)
    assert not (tmp_path / "curves.png").exists()


def test_light_and_dark_differ_and_files_are_written(log: Path, tmp_path: Path) -> None:
    light, dark = curves_png(log), curves_png(log, dark=True)
    assert light is not None
    assert light != dark
    assert write_curves(tmp_path / "curves.png", log)
    assert (tmp_path / "curves.png").read_bytes() == light
