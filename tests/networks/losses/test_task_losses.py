"""Losses by the names of their heads."""

import pytest
import torch

from networks.losses.task_losses import in_order


def test_order_is_that_of_the_names():
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    assert in_order(losses, ["b", "a"]).tolist() == [2, 1]


@pytest.mark.parametrize("given", [{}, {"a": torch.tensor(1.0)}, {name: torch.tensor(1.0) for name in "abc"}])
def test_refuses_other_tasks(given):
    with pytest.raises(ValueError, match="losses of a, b are added up, got"):
        in_order(given, ["b", "a"])
