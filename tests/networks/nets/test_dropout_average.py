"""Monte-Carlo dropout: the mean of independent passes, the same at every call, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.layers.seeded_dropout import drawing_from, with_seeded_dropout
from networks.nets import DropoutAverage, DualTaskPredictor, DualTaskVNet, MultiTaskPredictor, MultiTaskUNet


def network(dropout=0.5):
    torch.manual_seed(2)
    heads = {"mask": {"kind": "mask", "out_channels": 2}}
    return MultiTaskPredictor(MultiTaskUNet(2, 1, heads, filters=2, depth=2, dropout=dropout))


def test_the_mean_of_its_passes():
    """Written out: the passes draw on from one generator."""
    trained, image = network(), torch.randn(2, 1, 12, 12)
    copied, dropouts = with_seeded_dropout(trained)
    copied.eval()
    with drawing_from(torch.Generator().manual_seed(7), dropouts):
        passes = torch.stack([copied(image) for _ in range(3)])
    assert not torch.equal(passes[0], passes[1])
    averaged = DropoutAverage(trained, 3, seed=7)
    torch.testing.assert_close(averaged(image), passes.mean(0))
    torch.testing.assert_close(averaged(image).sum(1), torch.ones(2, 12, 12))


def test_every_call_is_the_same_whatever_came_before():
    averaged, image = DropoutAverage(network(), 2), torch.randn(2, 1, 12, 12)
    first = averaged(image)
    averaged(torch.randn(1, 1, 8, 8))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(averaged(image), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(DropoutAverage(network(), 2, seed=1)(image), first)


def test_many_passes_come_to_the_expectation():
    """Before a linear layer the mean is what the layer makes without dropout; the error falls as 1 / sqrt(N)."""
    plain = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 1, 1, bias=False))
    with torch.no_grad():
        plain[1].weight.fill_(1 / 8)
        image = torch.ones(1, 8, 50, 50)
        deviations = [(DropoutAverage(plain, n)(image) - 1).std().item() for n in (1, 16, 256)]
    # Of the mean of eight values that are 0 or 2 as often: 1 / sqrt(8).
    assert deviations == pytest.approx([8**-0.5, 8**-0.5 / 4, 8**-0.5 / 16], rel=0.05)


def test_norms_stay_as_in_evaluation_and_the_network_as_it_is():
    trained = network().train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    averaged = DropoutAverage(trained, 2)
    image = torch.randn(3, 1, 12, 12)
    result = averaged(image)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert trained.training
    assert not any(module.training for module in averaged.network.modules())
    assert result.shape == (3, 3, 12, 12)


def test_whole_channels_too():
    trained = DualTaskPredictor(DualTaskVNet(2, 1, 1, filters=2, dropout=0.5), k=20.0)
    image = torch.randn(1, 1, 16, 16)
    averaged = DropoutAverage(trained, 2)
    assert not torch.equal(averaged(image), trained.eval()(image))
    assert torch.equal(averaged(image), averaged(image))


@pytest.mark.parametrize(
    ("samples", "dropout", "message"),
    [(0, 0.5, "samples must be at least 1, got 0"), (2, 0.0, "The network has no dropout")],
)
def test_refuses(samples, dropout, message):
    with pytest.raises(ValueError, match=message):
        DropoutAverage(network(dropout), samples)


class Detecting(nn.Module):
    """Tells what it has seen, with dropout."""

    axis = 4

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def detect(self, x):
        seen = self.dropout(x)
        return seen, seen.mean((2, 3))

    def presence(self, x):
        return self.detect(x)[1]


def test_what_is_detected_is_averaged_over_the_same_passes():
    averaged, image = DropoutAverage(Detecting(), 3, seed=5), torch.ones(1, 2, 4, 4, 3)
    probabilities, presence = averaged.detect(image)
    torch.testing.assert_close(presence, probabilities.mean((2, 3)))
    torch.testing.assert_close(averaged.presence(image), presence)
    assert probabilities.unique().numel() > 2
    assert averaged.axis == 4
