"""The Lite R-ASPP head: its formula in other words, both kinds, parameters by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from networks.blocks.lite_pyramid_head import LitePyramidHead


def parameters(*arguments, **options):
    return sum(parameter.numel() for parameter in LitePyramidHead(*arguments, **options).parameters())


def test_parameters_by_hand():
    """Inverted in 3D, as DeepSTAPLE has it: 16*128 + 2*128, 16*128, and two classifiers of 128*2 + 2."""
    assert parameters(3, 16, 128, 2, "batch", kind="inverted") == 2304 + 2048 + 2 * 258 == 4868
    assert parameters(3, 16, 128, 2, "batch") == 128 * 128 + 256 + 128 * 128 + 128 * 2 + 2 + 16 * 2 + 2


@pytest.mark.parametrize("kind", ["standard", "inverted"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_formula(kind, dims):
    torch.manual_seed(0)
    head = LitePyramidHead(dims, 3, 5, 2, "batch", kind)
    head(torch.randn(2, 3, *[8] * dims) + 1, torch.randn(2, 5, *[4] * dims))  # statistics of its own
    head.eval()
    shallow, deep = torch.randn(2, 3, *[8, 6, 4][:dims]), torch.randn(2, 5, *[4, 3, 2][:dims])
    gated, other = (shallow, deep) if kind == "inverted" else (deep, shallow)
    convolution, norm, _ = head.features

    def mixed(layer, x):
        weight = layer.weight.flatten(1)
        result = torch.einsum("kc,bc...->bk...", weight, x)
        return result if layer.bias is None else result + layer.bias.reshape(-1, *[1] * dims)

    features = torch.relu(norm(mixed(convolution, gated)))
    factors = torch.sigmoid(torch.einsum("kc,bc->bk", head.gate[1].weight.flatten(1), gated.flatten(2).mean(dim=2)))
    product = features * factors.reshape(2, -1, *[1] * dims)
    mode = "bilinear" if dims == 2 else "trilinear"
    resized = F.interpolate(mixed(head.gated_logits, product), size=other.shape[2:], mode=mode)
    expected = resized + mixed(head.other_logits, other)
    torch.testing.assert_close(head(shallow, deep), expected, rtol=1e-4, atol=1e-5)


def test_another_kind():
    with pytest.raises(ValueError, match="head must be standard or inverted, got upright"):
        LitePyramidHead(2, 3, 5, 2, "batch", "upright")
