"""Scores of two cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.loss_study.scoring import (
    MEASURES,
    ScoreSums,
    class_probabilities,
    intersection_over_union,
    mask_logits,
    score_cases,
)
from tests.pipelines.loss_study.tiny_losses import CPU, TinyNetwork


def logits(*probabilities: float) -> torch.Tensor:
    return torch.logit(torch.tensor(probabilities)).reshape(1, 1, 1, -1)


def test_numbers_by_hand() -> None:
    sums = ScoreSums()
    sums.add(logits(0.9, 0.4, 0.2, 0.1), torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 1, 4))
    sums.add(logits(0.3, 0.6), torch.tensor([0.0, 0]).reshape(1, 1, 1, 2))
    found = sums.scores()
    assert tuple(found.values) == MEASURES
    assert found.values["pixel_accuracy"] == pytest.approx(4 / 6)
    assert found.values["iou"] == pytest.approx((0.5 + 0.0) / 2)
    assert found.values["confidence_foreground"] == pytest.approx((0.9 + 0.4) / 2)
    assert found.values["confidence_background"] == pytest.approx((0.8 + 0.9 + 0.7 + 0.4) / 4)
    squares = [0.01, 0.36, 0.04, 0.01, 0.09, 0.36]
    assert found.values["brier"] == pytest.approx(2 * sum(squares) / 6)
    # Predicted class's probability: .9 right (twice), .6 wrong (twice), .8 and .7 right.
    assert found.values["ece"] == pytest.approx((2 * 0.1 + 2 * 0.6 + 0.2 + 0.3) / 6)
    assert found.foreground_bins.counts.sum() == 6


def test_what_is_nowhere_is_not_defined() -> None:
    sums = ScoreSums()
    sums.add(logits(0.1, 0.2), torch.zeros(1, 1, 1, 2))
    values = sums.scores().values
    assert (values["iou"], values["confidence_foreground"]) == (None, None)
    assert values["pixel_accuracy"] == 1.0
    with pytest.raises(ValueError, match="no case"):
        ScoreSums().scores()


def test_several_classes() -> None:
    scores = torch.tensor([[2.0, -1.0], [0.0, 3.0]]).reshape(1, 2, 1, 2)
    probabilities = class_probabilities(scores)
    expected = torch.softmax(torch.cat([torch.zeros(1, 1, 1, 2), scores], dim=1), dim=1)
    assert torch.allclose(probabilities, expected)
    assert intersection_over_union(np.array([1, 2, 0]), np.array([1, 1, 0]), 3) == pytest.approx((0.5 + 0) / 2)


def test_cases_go_through_the_network() -> None:
    network = TinyNetwork().eval()
    case = {"image": np.ones((1, 10, 8), np.float32), "label": np.ones((1, 10, 8), np.float32)}
    found = score_cases(lambda image: mask_logits(network, image, "mask"), [case, case], CPU)
    probability = torch.sigmoid(network(torch.ones(1, 1, 10, 8))["mask"]).mean().item()
    assert found.values["confidence_foreground"] == pytest.approx(probability, rel=1e-5)
