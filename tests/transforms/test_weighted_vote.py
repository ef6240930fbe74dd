import math

import numpy as np
import pytest
import torch

from transforms.majority_vote import MajorityVote
from transforms.weighted_vote import WeightedVote, WeightedVoted

RATERS = np.array([[[0, 1, 1, 0]], [[0, 0, 2, 1]], [[1, 0, 2, 1]]])
# Softmax 2/4, 1/4, 1/4.
PARAMETERS = [math.log(2), 0.0, 0.0]


def test_known_votes_and_ties():
    # 3/4 for 0; 1/2 each of 0 and 1; 1/2 each of 1 and 2; 1/2 each.
    assert WeightedVote()(RATERS, PARAMETERS).tolist() == [[[0, 0, 1, 0]]]
    assert WeightedVote()(RATERS, [0.8, 0.0, 0.0]).tolist() == [[[0, 1, 1, 0]]]
    assert WeightedVote()(RATERS, [0.6, 0.0, 0.0]).tolist() == [[[0, 0, 2, 1]]]


@pytest.mark.parametrize("shape", [(6, 9, 8), (6, 5, 4, 3)])
def test_is_the_published_rule_for_two_classes(shape):
    rng = np.random.default_rng(0)
    raters, parameters = rng.integers(0, 2, shape).astype(np.uint8), rng.normal(size=6)
    weights = np.exp(parameters) / np.exp(parameters).sum()
    expected = np.tensordot(weights, raters, axes=1) > 0.5
    np.testing.assert_array_equal(WeightedVote()(raters, parameters)[0], expected)
    np.testing.assert_array_equal(WeightedVote()(raters, parameters + 100.0)[0], expected)
    np.testing.assert_array_equal(WeightedVote()(raters, np.full(6, -0.7)), MajorityVote()(raters))


def test_torch_and_dictionary():
    data = {"raters": torch.from_numpy(RATERS), "parameters": torch.tensor(PARAMETERS, dtype=torch.float64)}
    fused = WeightedVoted("raters")(data)["raters"]
    assert isinstance(fused, torch.Tensor)
    assert fused.dtype == torch.int64
    assert fused.tolist() == WeightedVote()(RATERS, PARAMETERS).tolist()
    assert WeightedVoted("absent", allow_missing_keys=True)(data) == data


@pytest.mark.parametrize(
    ("img", "parameters", "message"),
    [
        (RATERS[0], PARAMETERS, "shape"),
        (RATERS, PARAMETERS[:2], "3 raters, but 2 weights"),
        (RATERS, [0.0, math.nan, 0.0], "finite"),
        (RATERS - 1, PARAMETERS, "labels are"),
    ],
)
def test_refusals(img, parameters, message):
    with pytest.raises(ValueError, match=message):
        WeightedVote()(img, parameters)
