"""ExponentialMovingAverage: the recursion by hand, its warm-up, and resuming within it."""

import copy

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from networks.nets.dual_task_vnet import DualTaskVNet
from pipelines.handlers.exponential_moving_average import ExponentialMovingAverage


def scalar(value):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def follow(average, values, epochs=1):
    """Run an engine whose iteration t sets the network's weight to ``values[t - 1]``."""

    def step(engine, _):
        nn.init.constant_(average.network.weight, values[engine.state.iteration - 1])

    engine = Engine(step)
    average.attach(engine)
    engine.run(range(len(values) // epochs), max_epochs=epochs)
    return average.average.weight.item()


# Decay, weights after each iteration (all start at 0), average. d(1) = 2/11, d(2) = 3/12, d(3) = 4/13.
BY_HAND = [
    (0.99, [1.0], 9 / 11),
    (0.99, [1.0, 1.0], 1 / 4 * 9 / 11 + 3 / 4),
    (0.99, [1.0, 1.0, 0.0], 4 / 13 * (1 / 4 * 9 / 11 + 3 / 4)),
    (0.1, [1.0, 0.0], 0.1 * 0.9),
    (0.0, [3.0, 7.0], 7.0),
]


@pytest.mark.parametrize(("decay", "values", "expected"), BY_HAND)
def test_by_hand(decay, values, expected):
    assert follow(ExponentialMovingAverage(scalar(0.0), decay), values) == pytest.approx(expected, abs=1e-6)


def test_epochs_do_not_start_the_warm_up_again():
    values = [1.0, 0.0, 2.0, 5.0]
    once = follow(ExponentialMovingAverage(scalar(0.0)), values)
    assert follow(ExponentialMovingAverage(scalar(0.0)), values, epochs=2) == once


def step_at(average, iteration):
    engine = Engine(lambda *_: None)
    engine.state.iteration = iteration
    average.update(engine)


def test_decay_is_reached_after_the_warm_up():
    """(1 + t) / (10 + t) passes 0.9 at t = 80."""
    for iteration, expected in [(79, 80 / 89), (80, 0.9), (81, 0.9), (10_000, 0.9)]:
        average = ExponentialMovingAverage(scalar(1.0), decay=0.9)
        nn.init.zeros_(average.network.weight)
        step_at(average, iteration)
        assert average.average.weight.item() == pytest.approx(expected, abs=1e-6)


def test_resuming_within_the_warm_up_needs_the_weights_alone():
    torch.manual_seed(1)
    straight = ExponentialMovingAverage(DualTaskVNet(2, 1, 1, filters=2))
    resumed = None
    for iteration in range(1, 7):
        for parameter in straight.network.parameters():
            nn.init.normal_(parameter)
        if iteration == 4:
            resumed = ExponentialMovingAverage(copy.deepcopy(straight.network))
            resumed.average.load_state_dict(straight.average.state_dict())
        if resumed is not None:
            resumed.network.load_state_dict(straight.network.state_dict())
            step_at(resumed, iteration)
        step_at(straight, iteration)
    for name, value in straight.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value)


def test_running_statistics_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(1)
    average = ExponentialMovingAverage(network, decay=0.5)
    nn.init.constant_(network.running_mean, 8.0)
    network.num_batches_tracked.fill_(7)
    step_at(average, 1000)
    assert average.average.running_mean.item() == 4.0
    assert average.average.num_batches_tracked.item() == 7


def test_the_average_is_a_network_apart():
    """It evaluates, learns nothing, and neither weight nor mode of the network changes."""
    network = DualTaskVNet(2, 1, 1, filters=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    average = ExponentialMovingAverage(network)
    step_at(average, 1)
    assert network.training
    assert not average.average.training
    assert not any(parameter.requires_grad for parameter in average.average.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_memory_format_is_kept():
    network = DualTaskVNet(3, 1, 1, filters=2).to(memory_format=torch.channels_last_3d)
    average = ExponentialMovingAverage(network)
    step_at(average, 1)
    weight = average.average.encoder[1].body[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_refuses(decay):
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
        ExponentialMovingAverage(scalar(0.0), decay)
