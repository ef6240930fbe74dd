"""What selects the weights: by hand, as MONAI's evaluators call it, and never NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.handlers import IgniteMetricHandler, from_engine

from pipelines.metrics.selection_score import (
    PresenceMetric,
    VolumeDiceMetric,
    selection_of_dice,
    selection_of_presence,
)
from pipelines.metrics.volume_dice import VolumeDice

NAN = math.nan


def test_dice_by_hand() -> None:
    none = np.zeros((3, 2))
    assert selection_of_dice([[1.0, NAN], [0.5, NAN], [0.0, 0.8]], none) == pytest.approx((0.5 + 0.8) / 2)
    assert selection_of_dice([[1.0, NAN], [0.5, NAN]], none[:2]) == pytest.approx(0.75)
    # No class anywhere: the fewer false positives the better.
    assert selection_of_dice([[NAN, NAN], [NAN, NAN]], [[0.1, 0.0], [0.3, 0.0]]) == pytest.approx(-0.1)
    assert selection_of_dice(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0


def test_presence_by_hand() -> None:
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.3], [0.1, 0.4]])
    one = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    assert selection_of_presence(values, one) == 0.75  # the second kind has no area
    two = np.array([[1, 0], [0, 0], [1, 0], [0, 1]])
    assert selection_of_presence(values, two) == pytest.approx((0.75 + 1) / 2)
    nothing = np.zeros((4, 2), int)
    cross_entropy = -np.log(1 - values).mean()
    assert selection_of_presence(values, nothing) == pytest.approx(math.exp(-cross_entropy) - 1)
    half = np.where(np.arange(4)[:, None] < 2, 0, -1).repeat(2, axis=1)
    assert selection_of_presence(values, half) == pytest.approx(math.exp(np.log(1 - values[:2]).mean()) - 1)
    assert selection_of_presence(values, nothing - 1) == 0.0


def test_without_both_sorts_it_ranks_as_the_cross_entropy_does_and_stays_above_what_training_starts_from() -> None:
    truth = np.zeros((5, 1), int)
    scores = [selection_of_presence(np.full((5, 1), p), truth) for p in (1.0, 0.9, 0.5, 0.1, 0.0)]
    assert scores == sorted(scores)
    assert scores[0] > -1
    assert scores[-1] == pytest.approx(0, abs=1e-6)
    assert max(scores) <= selection_of_presence(np.array([[0.1], [0.9]]), np.array([[1], [0]]))


def volumes(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Label maps (1, H, W, D): class 3 nowhere, class 2 in one volume."""
    random = torch.Generator().manual_seed(seed)
    pairs = []
    for index in range(3):
        high = 3 if index == 0 else 2
        label = torch.randint(0, high, (1, 4, 5, 3), generator=random)
        predicted = torch.where(torch.rand(label.shape, generator=random) < 0.6, label, 1 + 2 * (label == 0))
        label[0, 0, 0] = 255
        pairs.append((predicted, label))
    return pairs


@pytest.mark.parametrize("one_hot", [False, True])
def test_metric_is_the_published_mean(one_hot: bool) -> None:
    metric, other = VolumeDiceMetric(3), VolumeDice({1: "REA", 2: "SRF", 3: "PED"})
    for index, (predicted, label) in enumerate(volumes()):
        shown = torch.stack([predicted[0] == channel for channel in range(4)]).float() if one_hot else predicted
        metric([shown], [label.float()])
        other.add(str(index), predicted[0].numpy(), label[0].numpy())
    assert metric.aggregate().item() == pytest.approx(other.mean)
    metric.reset()
    assert metric.aggregate().item() == 0.0


def test_metric_without_any_class() -> None:
    metric = VolumeDiceMetric(2)
    metric(torch.tensor([[[[0, 1, 1, 2]]]]), torch.zeros(1, 1, 1, 4))
    assert metric.aggregate().item() == pytest.approx(-(0.5 + 0.25) / 2)


@pytest.mark.parametrize("from_labels", [False, True])
def test_presence_metric_pools_slices(from_labels: bool) -> None:
    metric = PresenceMetric(2)
    values, truth = [], []
    for seed in range(3):
        random = torch.Generator().manual_seed(seed)
        label = torch.zeros(1, 4, 5, 6)
        label[0, 1, 1] = torch.randint(0, 3, (6,), generator=random)
        presence = torch.stack([(label[0] == kind).flatten(0, 1).any(0) for kind in (1, 2)]).float()
        probability = torch.rand(2, 6, generator=random)
        metric([probability], [label if from_labels else presence])
        values.append(probability.T.double().numpy())
        truth.append(presence.T.numpy())
    expected = selection_of_presence(np.concatenate(values), np.concatenate(truth))
    assert metric.aggregate().item() == pytest.approx(expected)
    assert 0 < expected < 1


def test_presence_metric_of_pictures() -> None:
    metric = PresenceMetric(1)
    metric(torch.tensor([[0.9], [0.2]]), torch.tensor([[[[0, 1]]], [[[0, 0]]]]))
    assert metric.aggregate().item() == 1.0
    metric.reset()
    metric(torch.tensor([[0.9], [0.2]]), torch.tensor([[0], [1]]))
    assert metric.aggregate().item() == 0.0


def test_in_an_evaluator() -> None:
    pairs = [(MetaTensor(predicted), MetaTensor(label)) for predicted, label in volumes()]
    engine = Engine(lambda _, index: [{"pred": pairs[index][0], "label": pairs[index][1]}])
    handler = IgniteMetricHandler(metric_fn=VolumeDiceMetric(3), output_transform=from_engine(["pred", "label"]))
    handler.attach(engine, "val_dice")
    engine.run(range(3))
    expected = VolumeDice({1: "REA", 2: "SRF", 3: "PED"})
    for index, (predicted, label) in enumerate(pairs):
        expected.add(str(index), predicted[0].numpy(), label[0].numpy())
    assert isinstance(engine.state.metrics["val_dice"], float)
    assert engine.state.metrics["val_dice"] == pytest.approx(expected.mean)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="3 classes want 4 channels, got 2"):
        VolumeDiceMetric(3)([torch.zeros(2, 4, 4)], [torch.zeros(1, 4, 4)])
    with pytest.raises(ValueError, match="differ in shape"):
        VolumeDiceMetric(3)([torch.zeros(1, 4, 4)], [torch.zeros(1, 4, 5)])
    with pytest.raises(ValueError, match="of 3 kinds does not fit"):
        PresenceMetric(3)([torch.zeros(2, 4)], [torch.zeros(2, 4)])
    for metric in (VolumeDiceMetric(3), PresenceMetric(3)):
        with pytest.raises(ValueError, match="needs a"):
            metric([torch.zeros(4, 4, 4)])
