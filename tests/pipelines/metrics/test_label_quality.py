from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics.label_quality import compute_auc, compute_pearson, compute_spearman, label_quality


@pytest.mark.parametrize(
    ("x", "y", "pearson", "spearman"),
    [
        ([1, 2, 3], [2, 4, 6], 1.0, 1.0),
        ([1, 2, 3], [6, 4, 2], -1.0, -1.0),
        # Sums about the means: 2 and 14; of the products: 1*0 + 2*1 + 3*5 - 3*2*2 = 5.
        ([1, 2, 3], [0, 1, 5], 5 / np.sqrt(2 * 14), 1.0),
        # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
        ([1, 2, 2, 3], [1, 2, 3, 4], 3 / np.sqrt(2 * 5), 4.5 / np.sqrt(4.5 * 5)),
        ([1, 1, 1], [1, 2, 3], None, None),
        ([1], [1], None, None),
        ([], [], None, None),
    ],
)
def test_correlations_by_hand(x, y, pearson, spearman):
    for found, expected in ((compute_pearson(x, y), pearson), (compute_spearman(x, y), spearman)):
        assert found is None if expected is None else found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [
        ([2, 3], [0, 1], 1.0),
        ([0, 1], [2, 3], 0.0),
        ([1, 3], [2], 0.5),
        ([1, 2], [1, 0], 0.875),  # of four pairs three are won and one is tied
        ([1], [], None),
        ([], [1], None),
    ],
)
def test_the_area_under_the_curve_by_hand(high, low, expected):
    assert compute_auc(high, low) == expected


def test_the_area_is_the_share_of_ordered_pairs():
    random = np.random.default_rng(0)
    high, low = random.integers(0, 9, 40), random.integers(0, 7, 30)
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    assert compute_auc(high, low) == pytest.approx(np.mean(pairs))


def test_only_what_is_known_counts():
    quality = label_quality([0.0, 1.0, 2.0, 5.0], [0.1, None, 0.2, None], [True, False, None, False])
    assert (quality.mean, quality.sd) == (2.0, pytest.approx(np.sqrt(3.5)))
    assert (quality.spearman, quality.pearson) == (pytest.approx(1.0), pytest.approx(1.0))
    assert quality.auc == 1.0


def test_nothing_known_is_none():
    quality = label_quality([0.0, 1.0], [None, None], [None, None])
    assert quality.spearman is quality.pearson is quality.auc is None


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="lengths differ or are 0"):
        label_quality([1.0], [], [])
    with pytest.raises(ValueError, match="lengths differ or are 0"):
        label_quality([], [], [])
