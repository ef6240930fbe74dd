from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pipelines.metrics.paired_tests import holm, paired_test


def exact_p(differences: list[float]) -> float:
    """Every way to set the signs of the ranks, counted."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = abs(sum(rank if value > 0 else -rank for rank, value in zip(ranks, differences, strict=True)))
    sums = [abs(sum(sign * rank for sign, rank in zip(signs, ranks, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(ranks))]  # fmt: skip
    return sum(value >= observed for value in sums) / len(sums)


def test_signed_ranks_by_counting_all_signs() -> None:
    first = [0.91, 0.85, 0.70, 0.88, 0.93, 0.77]
    second = [0.90, 0.80, 0.72, 0.80, 0.81, 0.70]
    found = paired_test(first, second)
    differences = [one - other for one, other in zip(first, second, strict=True)]
    assert found.p == pytest.approx(exact_p(differences))
    assert found.mean_difference == pytest.approx(sum(differences) / 6)
    assert (found.cases, found.better) == (6, 5)


def test_four_cases_can_say_little() -> None:
    assert paired_test([1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.2, 0.1]).p == pytest.approx(2 / 2**4)


def test_equal_and_missing_values() -> None:
    assert paired_test([1.0, 2.0], [1.0, 2.0]).p == 1.0
    found = paired_test([1.0, math.nan, 3.0], [0.0, 1.0, math.nan])
    assert (found.cases, found.mean_difference) == (1, 1.0)
    nothing = paired_test([math.nan], [1.0])
    assert nothing.cases == 0
    assert math.isnan(nothing.p)
    with pytest.raises(ValueError, match="as many of either"):
        paired_test([1.0], [])


def test_holm_by_hand() -> None:
    # 4 x 0.01, then 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, and 0.04 is not to be below it
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    found = holm([0.02, math.nan, 0.3])
    assert found[0] == pytest.approx(0.04)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.3)
