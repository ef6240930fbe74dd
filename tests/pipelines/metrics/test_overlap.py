from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.metrics.overlap import STATES, OverlapCounts, binary_mask, count_overlap, presence_state
from transforms.io.input_error import InputError

CASES = [
    # prediction, reference, shared, only prediction, only reference, dice, jaccard, state
    ([1, 1, 0, 0], [1, 1, 0, 0], 2, 0, 0, 1.0, 1.0, "both_present"),
    ([1, 1, 0, 0], [0, 1, 1, 0], 1, 1, 1, 0.5, 1 / 3, "both_present"),
    ([1, 1, 1, 1], [0, 0, 0, 1], 1, 3, 0, 0.4, 0.25, "both_present"),
    ([1, 0, 0, 0], [0, 0, 0, 1], 0, 1, 1, 0.0, 0.0, "both_present"),
    ([0, 0, 0, 0], [0, 1, 0, 0], 0, 0, 1, 0.0, 0.0, "missed"),
    ([0, 1, 1, 0], [0, 0, 0, 0], 0, 2, 0, 0.0, 0.0, "spurious"),
    ([0, 0, 0, 0], [0, 0, 0, 0], 0, 0, 0, math.nan, math.nan, "both_empty"),
]


@pytest.mark.parametrize(("pred", "reference", "shared", "extra", "lacking", "dice", "jaccard", "state"), CASES)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_counts_and_scores(pred, reference, shared, extra, lacking, dice, jaccard, state, dtype):
    counts = count_overlap(np.array(pred, dtype).reshape(2, 2), np.array(reference, dtype).reshape(2, 2))
    assert counts == OverlapCounts(shared, extra, lacking)
    assert counts.dice == pytest.approx(dice, nan_ok=True)
    assert counts.jaccard == pytest.approx(jaccard, nan_ok=True)
    assert counts.state == state


def test_scores_from_counts_alone():
    counts = OverlapCounts(shared=30, only_prediction=10, only_reference=20)
    assert counts.dice == pytest.approx(60 / 90)
    assert counts.jaccard == pytest.approx(30 / 60)


def test_states_are_all_named():
    assert {presence_state(p, r) for p in (True, False) for r in (True, False)} == set(STATES)


@pytest.mark.parametrize("strange", [255, 0.5, -1, math.nan])
def test_what_is_no_mask_is_refused(strange):
    with pytest.raises(InputError, match=r"^reference: is no mask: it holds .*only 0 and 1"):
        count_overlap([0, 1], [0, strange])


def test_shapes_must_agree():
    with pytest.raises(InputError, match=r"prediction: has shape \(2,\), but the reference has \(3,\)"):
        count_overlap([0, 1], [0, 1, 1])


def test_a_bool_mask_is_not_copied():
    mask = np.array([True, False])
    assert binary_mask(mask, "prediction") is mask
