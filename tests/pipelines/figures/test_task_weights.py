from __future__ import annotations

import numpy as np
import pytest

from pipelines.figures.task_weights import draw_task_weights, write_task_weights

STEPS = np.array([10.0, 20.0, 30.0])


def training(**columns) -> dict[str, np.ndarray]:
    return {"iteration": STEPS, **{name: np.array(values) for name, values in columns.items()}}


def lines(axis) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata()) for line in axis.lines if "(" in line.get_label()}


def test_a_row_per_method_and_the_mean_over_its_trainings() -> None:
    gap = float("nan")  # a row of the log that holds a validation score alone
    figure = draw_task_weights(
        {
            "single": [training(weight_mask=[1.0, 1.0, 1.0])],
            "alpha": [training(weight_mask=[1.0, 1.0, 1.0], weight_distance=[0.0, 2.0, 3.0])],
            "uncertainty": [
                training(weight_mask=[1.0, gap, 3.0], weight_distance=[0.5, gap, 0.5], sigma_mask=[1.0, gap, 0.5]),
                training(weight_mask=[1.0, 2.0, 5.0], weight_distance=[0.5, 0.5, 1.5], sigma_mask=[1.0, 0.8, 0.7]),
            ],
        }
    )
    assert figure is not None
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["alpha: weight", "uncertainty: weight", "uncertainty: standard deviation (noise)"]
    alpha, learned, noise = (lines(axis) for axis in figure.axes)
    assert set(alpha) == {"mask (1)", "distance (3)"}
    np.testing.assert_allclose(learned["mask (4)"], [1.0, 2.0, 4.0])
    np.testing.assert_allclose(noise["mask (0.6)"], [1.0, (0.75 + 0.8) / 2, 0.6])
    assert len(figure.axes[1].lines) == 6  # two trainings and a mean, of two tasks


def test_trainings_whose_weights_stay_have_nothing_to_show(tmp_path) -> None:
    assert draw_task_weights({"single": [training(weight_mask=[1.0, 1.0, 1.0])]}) is None
    assert (
        draw_task_weights({"fixed": [training(weight_mask=[1.0] * 3, weight_distance=[0.5, float("nan"), 0.5])]})
        is None
    )
    log = tmp_path / "metrics.csv"
    log.write_text("iteration,loss\n10,0.5\n")
    assert write_task_weights(tmp_path / "weights.png", {"single": [log]}) is False
    assert not (tmp_path / "weights.png").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_the_picture_is_written_and_the_same_twice(tmp_path, count) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("iteration,weight_mask,weight_distance\n10,1,0\n10,,\n20,1,2.5\n")
    for name in ("one.png", "two.png"):
        assert write_task_weights(tmp_path / name, {"alpha": [log] * count})
    content = (tmp_path / "one.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (tmp_path / "two.png").read_bytes()
