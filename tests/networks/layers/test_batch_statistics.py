"""batch_statistics: what a training-mode forward pass gives, and nothing remembered."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from networks.layers.batch_statistics import batch_statistics


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(4)).eval()


IMAGE = 3 + 2 * torch.randn(4, 1, 9, 9, generator=torch.Generator().manual_seed(1))


def test_output_is_standardised_by_the_batch():
    network = small_network()
    with batch_statistics(network):
        output = network(IMAGE)
    assert torch.allclose(output.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(output.std(dim=(0, 2, 3), unbiased=False), torch.ones(4), atol=1e-3)


def test_nothing_is_remembered():
    network = small_network()
    before = deepcopy(network.state_dict())
    with batch_statistics(network):
        network(IMAGE)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module.training for module in network.modules())
    assert network[1].momentum == 0.1


def test_dropout_stays_off():
    network = small_network()
    with batch_statistics(network):
        assert torch.equal(network(IMAGE), network(IMAGE))


def test_restored_after_a_fault():
    network = small_network()
    with pytest.raises(RuntimeError, match="channels"), batch_statistics(network):
        network(torch.zeros(1, 2, 9, 9))
    assert not network[1].training
    assert network[1].momentum == 0.1


def test_without_batch_norm_nothing_happens():
    network = nn.Conv2d(1, 2, 3).eval()
    with batch_statistics(network):
        assert not network.training
