from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.temperature import TemperatureLoss

LN2, LN3 = math.log(2.0), math.log(3.0)
LOGITS = torch.tensor([[0.0, 2 * LN3]])[:, :, None]  # (1, K=2, 1): one voxel
LABEL = torch.ones(1, 1, 1)


@pytest.mark.parametrize(
    ("sample", "classes", "probability"),
    [
        (torch.tensor([0.0]), None, 9 / 10),  # T = 1
        (torch.tensor([LN2]), None, 3 / 4),  # T = 2
        (None, torch.tensor([7.0, LN2]), 3 / 4),  # the label's class alone counts
        (torch.tensor([0.0]), torch.tensor([7.0, 0.0]), 3 / 4),  # 1 + 1: the sum of the temperatures
        (torch.tensor([-LN2]), torch.tensor([7.0, -LN2]), 9 / 10),
    ],
)
def test_by_hand(sample, classes, probability):
    loss = TemperatureLoss()(LOGITS, LABEL, sample, classes)
    assert loss.item() == pytest.approx(-math.log(probability), rel=1e-5)


def test_the_penalty_is_half_the_mean_square_in_the_log_domain():
    sample, classes = torch.tensor([LN2]), torch.tensor([1.0, 3.0])
    plain, penalised = (TemperatureLoss(decay)(LOGITS, LABEL, sample, classes) for decay in (0.0, 0.1))
    assert (penalised - plain).item() == pytest.approx(0.05 * (LN2**2 + 5.0), rel=1e-5)


def test_without_temperature_it_is_the_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 3, generator=generator)
    label = torch.randint(0, 3, (2, 1, 4, 5, 3), generator=generator)
    loss = TemperatureLoss()(logits, label, torch.zeros(2))
    assert loss.item() == pytest.approx(F.cross_entropy(logits, label[:, 0]).item(), rel=1e-6)


def test_a_label_that_is_contradicted_gets_hotter_and_one_that_fits_colder():
    for label, sign in ((1.0, 1), (0.0, -1)):
        parameters = torch.zeros(1, requires_grad=True)
        TemperatureLoss()(LOGITS, torch.full((1, 1, 1), label), parameters).backward()
        assert parameters.grad is not None
        assert math.copysign(1, parameters.grad.item()) == sign  # descent goes the other way


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="either parameters or class_parameters"):
        TemperatureLoss()(LOGITS, LABEL)
    with pytest.raises(ValueError, match="class_parameters must have length 2"):
        TemperatureLoss()(LOGITS, LABEL, None, torch.zeros(3))
    with pytest.raises(ValueError, match="^parameters must have length 1"):
        TemperatureLoss()(LOGITS, LABEL, torch.zeros(3))
