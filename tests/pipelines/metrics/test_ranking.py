"""Areas under curves: against every pair and every threshold, against scipy, and where there is only one class."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from pipelines.metrics.label_quality import compute_auc
from pipelines.metrics.ranking import compute_average_precision, compute_roc_auc, compute_roc_curve


def pairs_won(values, truth):
    """Every pixel of the class against every other one."""
    won = [(a > b) + 0.5 * (a == b) for a in values[truth] for b in values[~truth]]
    return sum(won) / len(won)


def precision_by_threshold(values, truth):
    """Every value as a threshold, one after the other."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        chosen = values >= threshold
        found = (chosen & truth).sum()
        area += (found / truth.sum() - recall) * found / chosen.sum()
        recall = found / truth.sum()
    return area


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_brute_force_with_ties(drawn):
    values, truth = np.array([value for value, _ in drawn]) / 6, np.array([right for _, right in drawn])
    if truth.all() or not truth.any():
        assert math.isnan(compute_roc_auc(values, truth))
        assert math.isnan(compute_average_precision(values, truth))
        return
    assert compute_roc_auc(values, truth) == pytest.approx(pairs_won(values, truth))
    assert compute_average_precision(values, truth) == pytest.approx(precision_by_threshold(values, truth))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_agrees_with_the_rank_sum(dtype):
    rng = np.random.default_rng(0)
    truth = rng.random((40, 50)) < 0.1
    values = np.clip(0.3 * truth + rng.normal(0.3, 0.2, truth.shape), 0, 1).astype(dtype)
    expected = mannwhitneyu(values[truth].astype(float), values[~truth].astype(float)).statistic
    expected /= truth.sum() * (~truth).sum()
    assert compute_roc_auc(values, truth) == pytest.approx(expected, abs=1e-12)
    assert compute_roc_auc(values, truth) == pytest.approx(compute_auc(values[truth], values[~truth]))


def test_by_hand():
    """Ranked 1 0 1 0: three of four pairs; precision 1 at recall 1/2, 2/3 at 1."""
    values, truth = [0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]
    assert compute_roc_auc(values, truth) == 0.75
    assert compute_average_precision(values, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_perfect_reversed_and_without_knowledge():
    truth = np.arange(100) < 20
    assert (compute_roc_auc(truth, truth), compute_average_precision(truth.astype(float), truth)) == (1, 1)
    assert compute_roc_auc(1 - truth.astype(float), truth) == 0
    flat = np.full(100, 0.3)
    assert compute_roc_auc(flat, truth) == 0.5
    assert compute_average_precision(flat, truth) == pytest.approx(0.2)


def test_only_the_order_matters():
    rng = np.random.default_rng(1)
    values, truth = rng.random(300), rng.random(300) < 0.4
    for measure in (compute_roc_auc, compute_average_precision):
        assert measure(values**3, truth) == pytest.approx(measure(values, truth), abs=1e-12)


@pytest.mark.parametrize("truth", [[0, 0], [1, 1]])
def test_one_class_alone_has_no_area(truth):
    assert math.isnan(compute_roc_auc([0.1, 0.9], truth))
    assert math.isnan(compute_average_precision([0.1, 0.9], truth))
    assert math.isnan(compute_roc_auc([], []))


def test_refusals():
    with pytest.raises(ValueError, match="differ in shape"):
        compute_roc_auc([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="NaN"):
        compute_average_precision([0.1, math.nan], [1, 0])


def test_curve_by_hand():
    """Ranked 1 1 0 1 0 0: the second point and the last but one lie on straight lines."""
    across, up = compute_roc_curve([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 1, 0, 1, 0, 0])
    assert across.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 3, 1])
    assert up.tolist() == pytest.approx([0, 2 / 3, 2 / 3, 1, 1])


def test_area_below_the_corners_is_the_area():
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.3
    values = np.round(0.3 * truth + rng.random(300), 1)
    across, up = compute_roc_curve(values, truth)
    assert np.trapezoid(up, across) == pytest.approx(compute_roc_auc(values, truth), abs=1e-12)
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)


def test_no_curve_of_one_sort():
    assert compute_roc_curve([0.1, 0.2], [1, 1]) is None
    assert compute_roc_curve([], []) is None
