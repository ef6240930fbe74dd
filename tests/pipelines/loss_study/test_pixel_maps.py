"""Maps of a few pixels against formulas, and gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from networks.losses.catalogue import NamedLoss, make_loss
from pipelines.loss_study.pixel_maps import difference_map, pixel_loss, pixel_maps

P = torch.tensor([[0.9, 0.3], [0.2, 0.6]], dtype=torch.float64)
LABEL = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
LOGITS = torch.logit(P).reshape(1, 1, 2, 2)
TRUE = np.array([[0.9, 0.3], [0.8, 0.4]])


@pytest.mark.parametrize("text", ["ce", "focal:gamma=2"])
def test_maps_of_losses_of_pixels(text: str) -> None:
    maps = pixel_maps(LOGITS, LABEL, NamedLoss(text))
    gamma = 2 if text.startswith("focal") else 0
    assert maps.confidence == pytest.approx(TRUE, rel=1e-5)
    assert maps.loss == pytest.approx(-((1 - TRUE) ** gamma) * np.log(TRUE), rel=1e-5)
    slope = (1 - TRUE) ** gamma * (1 - TRUE - gamma * TRUE * np.log(TRUE))
    assert maps.gradient == pytest.approx(slope, rel=1e-4)
    assert maps.prediction.tolist() == [[1, 0], [0, 1]]


def test_the_gradient_of_a_loss_over_regions_is_that_of_finite_differences() -> None:
    loss = make_loss("dice")
    maps = pixel_maps(LOGITS, LABEL, loss)
    assert maps.loss is None
    for row in range(2):
        for column in range(2):
            ends = []
            for step in (1e-3, -1e-3):
                moved = LOGITS.clone()
                moved[0, 0, row, column] += step
                ends.append(float(loss(moved, LABEL)))
            slope = abs(ends[0] - ends[1]) / 2e-3
            assert maps.gradient[row, column] == pytest.approx(4 * slope, rel=2e-3)


def test_looking_does_not_change_the_loss() -> None:
    loss = make_loss("ce")
    before = loss(LOGITS, LABEL)
    values = pixel_loss(loss, LOGITS, LABEL)
    assert values is not None
    assert values.shape == LABEL.shape
    assert torch.equal(loss(LOGITS, LABEL), before)
    assert float(values.mean()) == pytest.approx(float(before))


def test_every_kind_of_right_and_wrong_has_its_code() -> None:
    found = difference_map(np.array([0, 1, 0, 1, 2]), np.array([0, 1, 1, 0, 1]))
    assert found.tolist() == [0, 1, 2, 3, 4]
