"""Intervals of areas over volumes: against drawing the volumes themselves, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics.clustered_auc import MOST_CASES, clustered_auc_interval
from pipelines.metrics.ranking import compute_roc_auc


def volumes(count: int = 8, slices: int = 15, alike: float = 0.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(1)
    values, truth = [], []
    for _ in range(count):
        there = rng.random(slices) < 0.4
        noise = rng.normal(0, 1 - alike, slices) + rng.normal(0, alike)
        values.append(np.round(0.6 * there + noise, 1))
        truth.append(there.astype(int))
    return values, truth


def test_the_same_as_drawing_the_volumes_themselves() -> None:
    values, truth = volumes()
    rng = np.random.default_rng(5)
    times = rng.multinomial(8, np.full(8, 1 / 8), size=200)
    areas = []
    for draw in times:
        drawn = np.repeat(np.arange(8), draw)
        areas.append(
            compute_roc_auc(np.concatenate([values[i] for i in drawn]), np.concatenate([truth[i] for i in drawn]))
        )
    expected = np.quantile(areas, [0.025, 0.975])
    assert clustered_auc_interval(values, truth, resamples=200, seed=5) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_area_lies_within_and_likeness_widens() -> None:
    widths = []
    for alike in (0.0, 0.9):
        values, truth = volumes(alike=alike)
        interval = clustered_auc_interval(values, truth)
        assert interval is not None
        assert interval[0] < compute_roc_auc(np.concatenate(values), np.concatenate(truth)) < interval[1]
        widths.append(interval[1] - interval[0])
    assert clustered_auc_interval(*volumes(), seed=3) == clustered_auc_interval(*volumes(), seed=3)
    assert clustered_auc_interval(*volumes(), seed=3) != clustered_auc_interval(*volumes(), seed=4)
    assert widths[1] > widths[0]


def test_unknown_slices_and_draws_without_an_area_are_left_out() -> None:
    values = [np.array([0.9, 0.1, 0.5]), np.array([0.8, 0.3])]
    assert clustered_auc_interval(values, [np.array([1, 0, -1]), np.array([1, 0])]) == (1.0, 1.0)
    # Positives in the first volume alone: a draw of the second twice has no area.
    assert clustered_auc_interval(values, [np.array([1, 0, -1]), np.array([0, 0])]) == (1.0, 1.0)


def test_no_interval() -> None:
    one = [np.array([0.9, 0.1])]
    assert clustered_auc_interval(one, [np.array([1, 0])]) is None
    assert clustered_auc_interval(one * 3, [np.array([0, 0])] * 3) is None
    assert clustered_auc_interval(one * (MOST_CASES + 1), [np.array([1, 0])] * (MOST_CASES + 1)) is None
    with pytest.raises(ValueError, match="at least one resample"):
        clustered_auc_interval(one * 2, [np.array([1, 0])] * 2, resamples=0)
