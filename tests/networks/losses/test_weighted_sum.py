"""WeightedSum: by hand."""

import pytest
import torch

from networks.losses.weighted_sum import WeightedSum


def test_by_hand():
    combination = WeightedSum({"mask": 1, "distance": 0.5})
    losses = {"distance": torch.tensor(4.0, requires_grad=True), "mask": torch.tensor(3.0, requires_grad=True)}
    total = combination(losses)
    total.backward()
    assert total.item() == 5.0
    assert [losses[name].grad.item() for name in ("mask", "distance")] == [1.0, 0.5]
    combination.end_epoch()
    assert combination.weights() == {"mask": 1.0, "distance": 0.5}


def test_nothing_is_learnt_or_kept():
    assert not list(WeightedSum({"mask": 1}).parameters())
    assert not WeightedSum({"mask": 1}).state_dict()


@pytest.mark.parametrize("weights", [{}, {"mask": -1.0}, {"mask": 0.0, "sdf": 0.0}])
def test_refuses_weights(weights):
    with pytest.raises(ValueError, match="weights must name at least one task, none negative and not all 0"):
        WeightedSum(weights)


def test_refuses_other_tasks():
    with pytest.raises(ValueError, match="losses of mask are added up, got sdf"):
        WeightedSum({"mask": 1})({"sdf": torch.tensor(1.0)})
