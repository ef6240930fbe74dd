"""Recomputation keeps the input alone, and changes neither gradients nor what norms remember."""

from __future__ import annotations

import copy

import torch
from torch import nn

from networks.layers.recomputation import recomputed


def test_nothing_changes_and_the_batch_counts_once():
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    saving = copy.deepcopy(plain)
    for step in range(2):
        image = torch.randn(2, 1, 8, 8)
        torch.manual_seed(step)
        plain(image).square().sum().backward()
        torch.manual_seed(step)
        recomputed(saving, saving, image).square().sum().backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    for (name, p), q in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.equal(p, q), name
    assert saving[1].num_batches_tracked == 2


def test_the_input_alone_is_kept():
    network = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Sigmoid()) for _ in range(5)])
    x = torch.randn(4, 8, requires_grad=True)
    kept: list[torch.Tensor] = []

    def count(compute):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            compute()
        return len(kept)

    assert count(lambda: recomputed(network, network, x)) <= 1 < count(lambda: network(x))
