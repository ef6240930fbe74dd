"""Powers that are finite at zero: by hand, the joint, and the slope."""

import pytest
import torch

from networks.losses.finite_power import finite_power


@pytest.mark.parametrize(
    ("x", "gamma", "expected"),
    [
        (4.0, 0.5, 2.0),
        (0.04, 0.5, 0.2),
        (0.01, 0.5, 0.1),
        # Half way along the parabola: 0.1 * 0.5 * (1.5 - 0.5 * 0.5).
        (0.005, 0.5, 0.0625),
        (0.0, 0.5, 0.0),
        (-1e-7, 0.5, 0.0),
        (0.005, 1.0, 0.005),
        (0.005, 2.0, 2.5e-5),
        (0.0, 3.0, 0.0),
    ],
)
def test_by_hand(x, gamma, expected):
    value = torch.tensor([x], dtype=torch.float64)
    assert finite_power(value, gamma, 0.01).item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.9, 1.0, 1.5])
def test_value_and_slope_have_no_jump(gamma):
    x = torch.tensor([0.01 * (1 - 1e-9), 0.01 * (1 + 1e-9)], dtype=torch.float64, requires_grad=True)
    y = finite_power(x, gamma, 0.01)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y[0].item() == pytest.approx(y[1].item(), rel=1e-7)
    assert slope[0].item() == pytest.approx(slope[1].item(), rel=1e-7)
    assert slope[0].item() == pytest.approx(gamma * 0.01 ** (gamma - 1), rel=1e-7)


def test_it_rises_all_the_way_and_is_steepest_at_zero():
    x = torch.linspace(0, 0.02, 201, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(finite_power(x, 0.3, 0.01).sum(), x)
    assert slope[0].item() == pytest.approx(1.7 * 0.01**-0.7, rel=1e-12)
    assert (slope > 0).all()
    assert (slope.diff() <= 0).all()


def test_gradcheck():
    x = torch.tensor([1e-4, 5e-3, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: finite_power(y, 0.5, 0.01), (x,), eps=1e-8)


def test_float32_is_finite_at_zero():
    x = torch.zeros(3, requires_grad=True)
    finite_power(x, 0.3, 1e-5).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad > 0).all()
