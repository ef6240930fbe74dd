from __future__ import annotations

import pytest
import torch

from networks.layers.data_parameters import DataParameters


def test_all_start_alike_and_are_looked_up():
    layer = DataParameters(4)
    assert layer.values.tolist() == [0.0] * 4
    with torch.no_grad():
        layer.embedding.weight[:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert layer(torch.tensor([2, 0, 2])).tolist() == [3.0, 1.0, 3.0]
    assert DataParameters(2, init=-0.5).values.tolist() == [-0.5, -0.5]


def test_gradients_are_sparse_and_the_momentum_of_others_rests():
    layer = DataParameters(5)
    optimizer = torch.optim.SparseAdam(list(layer.parameters()), lr=0.1, betas=(0.9, 0.999))
    for index in (1, 3):
        optimizer.zero_grad()
        layer(torch.tensor([index])).sum().backward()
        assert layer.embedding.weight.grad.is_sparse
        optimizer.step()
    # Adam's first step is the learning rate, whatever the gradient; a dense Adam would have moved 1 in the second too.
    assert layer.values.tolist()[0::2] == [0.0] * 3
    assert layer.values[1].item() == pytest.approx(-0.1, abs=1e-6)
    assert layer.values[3].item() < 0


def test_a_single_instance_in_the_batch_keeps_its_dimension():
    assert DataParameters(3)(torch.tensor([1])).shape == (1,)


def test_clamping():
    layer = DataParameters(2, init=9.0)
    layer.clamp_(-2.0, 2.0)
    assert layer.values.tolist() == [2.0, 2.0]


def test_none_at_all_is_refused():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        DataParameters(0)
