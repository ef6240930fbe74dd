from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.metrics import bootstrap
from pipelines.metrics.bootstrap import bootstrap_interval, compare_paired


def test_interval_of_a_normal_sample_is_the_textbook_one():
    values = np.random.default_rng(0).normal(10, 2, size=400)
    low, high = bootstrap_interval(values, seed=1)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_two_values_by_hand():
    # Resamples of (0, 1): mean 0, 0.5 or 1 with probability 1/4, 1/2, 1/4; the 2.5 % and 97.5 % points are 0 and 1, the
    # 30 % points 0.5.
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [3.0], [math.nan, 3.0, math.nan]])
def test_one_value_has_no_interval(values):
    assert bootstrap_interval(values) is None


def test_undefined_values_are_left_out():
    assert bootstrap_interval([1.0, math.nan, 2.0, 4.0], seed=3) == bootstrap_interval([1.0, 2.0, 4.0], seed=3)


def test_other_statistics_and_seeds():
    values = np.arange(11.0)
    low, high = bootstrap_interval(values, statistic=np.median)
    assert 1 <= low < 5 < high <= 9
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, resamples=50, seed=5) != bootstrap_interval(values, resamples=50, seed=6)


def test_drawing_in_blocks_keeps_the_number_of_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "_BLOCK", 70)
    means = bootstrap._resampled(np.arange(10.0), np.mean, resamples=25, seed=0)
    assert means.shape == (25,)
    assert 0 < means.std() < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 1.0}, "level must lie between 0 and 1, got 1.0"),
        ({"resamples": 0}, "resamples must be at least 1, got 0"),
        ({"values": [[1.0]]}, r"values must have one axis, one number per case, got shape \(1, 1\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**{"values": [1.0, 2.0], **arguments})


def test_a_clear_difference():
    generator = np.random.default_rng(0)
    second = generator.uniform(0.7, 0.9, size=20)
    found = compare_paired(second + 0.05 + generator.normal(0, 0.01, size=20), second)
    assert found.difference == pytest.approx(0.05, abs=0.01)
    assert found.interval[0] > 0.03
    assert found.p_bootstrap == pytest.approx(2 / 10_001)
    assert found.p_wilcoxon < 1e-4
    assert (found.n, found.left_out) == (20, 0)


def test_swapping_the_methods_mirrors_the_difference():
    one, two = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 1.0, 3.0, 3.0])
    there, back = compare_paired(one, two), compare_paired(two, one)
    assert back.difference == -there.difference
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert (back.p_bootstrap, back.p_wilcoxon) == (there.p_bootstrap, there.p_wilcoxon)


def test_five_pairs_of_one_sign_by_hand():
    # Signed-rank test: 2 of the 2**5 sign patterns are this extreme. Bootstrap: every resample lies above zero.
    found = compare_paired([1.1, 2.2, 3.3, 4.4, 5.5], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.p_wilcoxon == pytest.approx(2 / 32)
    assert found.p_bootstrap == pytest.approx(2 / 10_001)


def test_equal_methods_do_not_differ():
    found = compare_paired([0.5, 0.7, 0.9], [0.5, 0.7, 0.9])
    assert (found.difference, found.interval, found.p_bootstrap, found.p_wilcoxon) == (0.0, (0.0, 0.0), 1.0, 1.0)


def test_incomplete_pairs_are_left_out():
    found = compare_paired([1.0, math.nan, 2.0], [math.nan, 1.0, 1.5])
    assert (found.difference, found.interval, found.p_bootstrap, found.p_wilcoxon) == (0.5, None, None, None)
    assert (found.n, found.left_out) == (1, 2)
    assert math.isnan(compare_paired([math.nan], [1.0]).difference)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="both methods need a value for each case, got 2 and 3"):
        compare_paired([1.0, 2.0], [1.0, 2.0, 3.0])
