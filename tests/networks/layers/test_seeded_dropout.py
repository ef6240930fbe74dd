"""Dropout with a generator of its own: what is dropped, how much, and what stays as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from networks.layers.seeded_dropout import SeededDropout, drawing_from, has_dropout, with_seeded_dropout


def drawn(dropout, x, seed=0):
    with drawing_from(torch.Generator().manual_seed(seed), [dropout]):
        return dropout(x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("training", [True, False])
def test_values(p, training):
    """Dropped or multiplied by 1 / (1 - p), in the share that p says, and the mean stays."""
    result = drawn(SeededDropout(p).train(training), torch.ones(4, 5, 100, 100))
    assert set(result.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}
    assert (result == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert result.mean().item() == pytest.approx(1, abs=0.02)


def test_channels():
    result = drawn(SeededDropout(0.5, channels=True), torch.ones(40, 50, 3, 4))
    whole = result.flatten(2)
    assert torch.equal(whole.amin(2), whole.amax(2))
    assert (whole[..., 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_seed_decides_and_nothing_global():
    x, dropout = torch.randn(2, 3, 8, 8), SeededDropout(0.3)
    state = torch.get_rng_state()
    first = drawn(dropout, x, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(drawn(dropout, x, 1), first)
    assert not torch.equal(drawn(dropout, x, 2), first)


def test_half_precision_keeps_its_type():
    assert drawn(SeededDropout(0.5), torch.ones(1, 2, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_nothing_to_draw_from():
    dropout = SeededDropout(0.5)
    drawn(dropout, torch.ones(1, 1, 2, 2))
    with pytest.raises(RuntimeError, match="nothing to draw from"):
        dropout(torch.ones(1, 1, 2, 2))
    copy.deepcopy(dropout)


def test_every_dropout_is_replaced_in_the_copy():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.2), nn.Sequential(nn.Dropout2d(0.4), nn.Dropout(0.0)))
    copied, dropouts = with_seeded_dropout(network)
    assert [(dropout.p, dropout.channels) for dropout in dropouts] == [(0.2, False), (0.4, True)]
    assert copied[1] is dropouts[0]
    assert copied[2][0] is dropouts[1]
    assert isinstance(copied[2][1], nn.Dropout)
    assert isinstance(network[1], nn.Dropout)
    assert torch.equal(copied[0].weight, network[0].weight)


def test_without_dropout():
    assert has_dropout(nn.Sequential(nn.Sequential(nn.Dropout3d(0.1))))
    for network in (nn.Dropout(0.0), nn.Conv2d(1, 1, 1)):
        assert not has_dropout(network)
        assert with_seeded_dropout(network)[1] == []


def test_what_is_compiled_is_not_looked_into():
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        compiled = torch.jit.script(nn.Sequential(nn.Dropout(0.2)))
    assert not has_dropout(compiled)
