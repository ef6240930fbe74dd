from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from networks.nets.upscaled_network import UpscaledNetwork


class Sizes(nn.Module):
    """Remembers the size that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = list(x.shape)
        return 2 * x


@pytest.mark.parametrize(
    ("size", "factor", "seen"), [((6, 5), 2.0, [12, 10]), ((4, 6, 5), 1.5, [6, 9, 8]), ((6, 5), 1.0, [6, 5])]
)
def test_the_network_sees_it_larger_and_nobody_else_does(size, factor, seen):
    inner = Sizes()
    x = torch.full((2, 3, *size), 0.5)
    out = UpscaledNetwork(inner, factor)(x)
    assert inner.seen == [2, 3, *seen]
    assert torch.allclose(out, 2 * x)


def test_factor_one_is_the_network_itself():
    inner = nn.Conv2d(1, 2, 3, padding=1)
    x = torch.rand(1, 1, 7, 7)
    assert torch.equal(UpscaledNetwork(inner, 1.0)(x), inner(x))


@pytest.mark.parametrize("size", [(9, 8), (7, 8, 6)])
def test_as_torchscript(size):
    conv = nn.Conv2d if len(size) == 2 else nn.Conv3d
    network = UpscaledNetwork(conv(1, 2, 3, padding=1), 1.5).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(network)
    x = torch.rand(1, 1, *size)
    assert torch.allclose(scripted(x), network(x))


def test_a_factor_of_nothing_is_refused():
    with pytest.raises(ValueError, match="factor must be positive"):
        UpscaledNetwork(Sizes(), 0)
