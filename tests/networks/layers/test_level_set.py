"""SmoothHeaviside: values, gradients that stay finite, TorchScript, and the unit of k."""

import math

import pytest
import torch

from networks.layers.level_set import SmoothHeaviside


@pytest.mark.parametrize(
    ("k", "level", "expected"),
    [(1.0, 0.0, 0.5), (1.0, -1.0, 0.7310586), (1.0, 1.0, 0.2689414), (1500.0, -1.0, 1.0), (1500.0, 1.0, 0.0)],
)
def test_by_hand(k, level, expected):
    assert SmoothHeaviside(k)(torch.tensor(level)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("k", [1.0, 20.0])
def test_gradient(k):
    level_set = torch.linspace(-0.3, 0.3, 24, dtype=torch.float64).reshape(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(SmoothHeaviside(k), level_set)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extremes_are_finite(dtype):
    """1500 times the largest float16 is far beyond float16; the gradient is -k/4 on the contour, smaller elsewhere."""
    largest = torch.finfo(torch.float16).max
    level_set = torch.tensor([-largest, -44.0, -1e-3, 0.0, 1e-3, 44.0, largest], dtype=dtype, requires_grad=True)
    mask = SmoothHeaviside(1500.0)(level_set)
    mask.sum().backward()
    assert mask.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(mask).all()
    assert torch.isfinite(level_set.grad).all()
    assert level_set.grad[3] == -1500.0 / 4
    assert (level_set.grad <= 0).all()
    assert mask[0] == 1
    assert mask[-1] == 0


def test_infinite_distances_are_plain_inside_and_outside():
    assert SmoothHeaviside()(torch.tensor([-math.inf, math.inf])).tolist() == [1.0, 0.0]


def test_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mask = SmoothHeaviside()(torch.tensor([-0.001, 0.001], dtype=torch.bfloat16))
    assert mask.dtype == torch.float32
    assert mask[0] > 0.8


def test_torchscript():
    layer = SmoothHeaviside(3.0)
    level_set = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for given in (level_set, level_set.double(), level_set.half()):
        assert torch.equal(torch.jit.script(layer)(given), layer(given))


STEEPNESS = [
    ((1.0, 1.0), math.log(19)),
    ((1.0, 0.625), math.log(19) / 0.625),
    ((2.0, 1 / 30), 15 * math.log(19)),
    ((1.0, 1.0, 0.75), math.log(3)),
]


@pytest.mark.parametrize(("arguments", "expected"), STEEPNESS)
def test_steepness(arguments, expected):
    """So many voxels inside the contour the mask is what was asked for."""
    k = SmoothHeaviside.steepness_for(*arguments)
    assert k == pytest.approx(expected)
    inside = torch.tensor(-arguments[0] * arguments[1], dtype=torch.float64)
    assert SmoothHeaviside(k)(inside).item() == pytest.approx(arguments[2] if len(arguments) == 3 else 0.95)


@pytest.mark.parametrize("k", [0.0, -1.0, math.nan, math.inf])
def test_refuses_k(k):
    with pytest.raises(ValueError, match="k must be positive and finite"):
        SmoothHeaviside(k)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "must be positive"),
        ((1.0, -1.0), "must be positive"),
        ((1.0, 1.0, 0.5), "between 0.5 and 1"),
        ((1.0, 1.0, 1.0), "between 0.5 and 1"),
    ],
)
def test_refuses_steepness(arguments, message):
    with pytest.raises(ValueError, match=message):
        SmoothHeaviside.steepness_for(*arguments)


def test_representation():
    assert repr(SmoothHeaviside(20)) == "SmoothHeaviside(k=20)"
