"""UncertaintyWeightedSum: by hand, the analytic optimum, and the noise of a toy regression."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.uncertainty_weighted_sum import UncertaintyWeightedSum

KINDS = {"mask": "classification", "distance": "regression"}


def losses(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_by_hand():
    combination = UncertaintyWeightedSum(KINDS)
    assert combination(losses(mask=0.6, distance=0.2)).item() == pytest.approx(0.6 + 0.1)
    assert combination.weights() == {"mask": 1.0, "distance": 0.5}
    assert combination.sigmas() == {"mask": 1.0, "distance": 1.0}
    with torch.no_grad():
        combination.log_variances.copy_(torch.tensor([math.log(4), math.log(1 / 9)]))
    # 0.6 / 4 + log 2 for sigma 2; 0.2 * 9 / 2 + log(1/3) for sigma 1/3.
    expected = 0.6 / 4 + math.log(2) + 0.2 * 9 / 2 + math.log(1 / 3)
    assert combination(losses(mask=0.6, distance=0.2)).item() == pytest.approx(expected, rel=1e-6)
    assert combination.weights() == pytest.approx({"mask": 0.25, "distance": 4.5}, rel=1e-6)
    assert combination.sigmas() == pytest.approx({"mask": 2.0, "distance": 1 / 3}, rel=1e-6)
    combination.end_epoch()
    assert combination.sigmas() == pytest.approx({"mask": 2.0, "distance": 1 / 3}, rel=1e-6)


@pytest.mark.parametrize(
    ("mask", "distance", "presence"), [(0.3, 0.02, 1.5), (4.0, 7.0, 0.01), (1e-3, 1e-4, 1e2), (0.5, 1.0, 0.5)]
)
def test_converges_to_the_analytic_optimum(mask, distance, presence):
    """``d/ds (f exp(-s) L + s / 2) = 0`` where ``s = log(2 f L)``."""
    combination = UncertaintyWeightedSum({**KINDS, "presence": "classification"})
    optimizer = torch.optim.Adam(combination.parameters(), lr=0.3)
    for _ in range(600):
        optimizer.zero_grad()
        combination(losses(mask=mask, distance=distance, presence=presence)).backward()
        optimizer.step()
    expected = [math.log(2 * mask), math.log(distance), math.log(2 * presence)]
    assert combination.log_variances.tolist() == pytest.approx(expected, abs=1e-3)
    for name, loss in (("mask", mask), ("distance", distance), ("presence", presence)):
        assert combination.weights()[name] * loss == pytest.approx(0.5, rel=2e-3)


def test_learns_the_noise_of_a_regression_beside_a_classification():
    """y = 2 x + noise of sd 0.3; the classes are those of sign x, one in five turned round."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 1, generator=generator)
    y = 2 * x + 0.3 * torch.randn(2000, 1, generator=generator)
    turned = torch.rand(2000, 1, generator=generator) < 0.2
    classes = ((x > 0) != turned).float()
    slope, logit = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    combination = UncertaintyWeightedSum({"classes": "classification", "y": "regression"})
    groups = [{"params": [slope, logit], "lr": 0.05}, {"params": combination.parameters(), "lr": 0.05}]
    optimizer = torch.optim.Adam(groups)
    for _ in range(300):
        optimizer.zero_grad()
        cross_entropy = F.binary_cross_entropy_with_logits(logit * x.sign(), classes)
        combination({"classes": cross_entropy, "y": F.mse_loss(slope * x, y)}).backward()
        optimizer.step()
    residual = (y - slope.detach() * x).square().mean().sqrt().item()
    assert slope.item() == pytest.approx(2.0, abs=0.03)
    assert combination.sigmas()["y"] == pytest.approx(residual, rel=1e-2)
    assert combination.sigmas()["y"] == pytest.approx(0.3, rel=0.05)
    assert combination.sigmas()["classes"] == pytest.approx(math.sqrt(2 * cross_entropy.item()), rel=1e-2)


def test_gradcheck():
    combination = UncertaintyWeightedSum(KINDS).double()
    values = torch.tensor([0.6, 0.2], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([0.5, -1.5], dtype=torch.float64, requires_grad=True)

    def total(s, values):
        named = dict(zip(KINDS, values, strict=True))
        return torch.func.functional_call(combination, {"log_variances": s}, (named,))

    assert torch.autograd.gradcheck(total, (s, values))


def test_beyond_a_limit_the_weight_stays_and_comes_back():
    combination = UncertaintyWeightedSum({"distance": "regression"}, limits=(-2.0, 2.0))
    with torch.no_grad():
        combination.log_variances.fill_(-5.0)
    assert combination.weights()["distance"] == pytest.approx(0.5 * math.exp(2))
    combination(losses(distance=1.0)).backward()
    assert combination.log_variances.grad.item() < 0, "a step against it takes s up again"


def test_what_is_learnt_is_kept():
    first = UncertaintyWeightedSum(KINDS)
    with torch.no_grad():
        first.log_variances.copy_(torch.tensor([0.25, -3.0]))
    second = UncertaintyWeightedSum(KINDS)
    second.load_state_dict(first.state_dict())
    assert second.weights() == first.weights()
    assert list(first.state_dict()) == ["log_variances"]


@pytest.mark.parametrize("kinds", [{}, {"mask": "segmentation"}])
def test_refuses_kinds(kinds):
    with pytest.raises(ValueError, match="kinds must be classification or regression"):
        UncertaintyWeightedSum(kinds)


def test_refuses_a_start_beyond_the_limits():
    with pytest.raises(ValueError, match="initial must lie within"):
        UncertaintyWeightedSum(KINDS, initial=30.0)


def test_refuses_other_tasks():
    with pytest.raises(ValueError, match="losses of distance, mask are added up, got mask"):
        UncertaintyWeightedSum(KINDS)(losses(mask=1.0))
