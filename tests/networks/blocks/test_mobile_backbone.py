"""The encoders: parameters against the published tables, strides and channels of both feature maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.blocks.mobile_backbone import ENCODERS, MobileBackbone, squeezed_channels

# Kernel, expanded, out, squeezed (0: none): MobileNetV3-Large of the paper, squeezed as torchvision does it.
TABLE = [
    *[(3, 16, 16, 0), (3, 64, 24, 0), (3, 72, 24, 0), (5, 72, 40, 24), (5, 120, 40, 32), (5, 120, 40, 32)],
    *[(3, 240, 80, 0), (3, 200, 80, 0), (3, 184, 80, 0), (3, 184, 80, 0), (3, 480, 112, 120), (3, 672, 112, 168)],
    *[(5, 672, 160, 168), (5, 960, 160, 240), (5, 960, 160, 240)],
]


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def by_hand(in_channels):
    total, channels = 9 * in_channels * 16 + 2 * 16, 16
    for kernel, expanded, out, squeezed in TABLE:
        if expanded != channels:
            total += channels * expanded + 2 * expanded
        total += kernel**2 * expanded + 2 * expanded
        if squeezed:
            total += 2 * expanded * squeezed + squeezed + expanded
        total += expanded * out + 2 * out
        channels = out
    return total + channels * 960 + 2 * 960


def test_mobilenet_v3_large_has_the_known_count():
    """2,971,952 is what torchvision's ``mobilenet_v3_large().features`` has, of three channels."""
    assert by_hand(3) == 2_971_952
    assert parameters(MobileBackbone(2, 3, "mobilenet_v3_large")) == 2_971_952
    assert parameters(MobileBackbone(2, 1, "mobilenet_v3_large")) == by_hand(1)


@pytest.mark.parametrize(("channels", "expected"), [(1, 222_848), (12, 232_352)])
def test_published_3d_has_the_published_count(channels, expected):
    assert parameters(MobileBackbone(3, channels, "published_3d")) == expected


MAPS = {"mobilenet_v3_large": ((40, 8), (960, 16)), "published_3d": ((16, 2), (64, 4))}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("variant", ENCODERS)
@pytest.mark.parametrize("sides", [(32, 48, 16), (37, 5, 23)])
def test_both_feature_maps(dims, variant, sides):
    backbone = MobileBackbone(dims, 2, variant).eval()
    told = (backbone.shallow_channels, backbone.shallow_stride), (backbone.deep_channels, backbone.deep_stride)
    assert told == MAPS[variant]
    for found, (channels, stride) in zip(backbone(torch.randn(1, 2, *sides[:dims])), MAPS[variant], strict=True):
        assert found.shape == (1, channels, *[-(-side // stride) for side in sides[:dims]])


def test_the_shallow_map_is_the_first_of_its_stride():
    """Lite R-ASPP takes the output of the first block of stride 8, before the two others of as many channels."""
    backbone = MobileBackbone(2, 1, "mobilenet_v3_large").eval()
    image = torch.randn(1, 1, 32, 32)
    x = backbone.stem(image)
    for stage in backbone.stages[:4]:
        x = stage(x)
    assert torch.equal(backbone(image)[0], x)


def test_weights_start_from_kaimings_distribution_and_torchs_generator():
    first, again = [], []
    for weights in (first, again):
        torch.manual_seed(4)
        backbone = MobileBackbone(2, 3, "mobilenet_v3_large")
        weights += [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert all(torch.equal(p.weight, q.weight) for p, q in zip(first, again, strict=True))
    for convolution in first:
        spread = (2 / (convolution.out_channels * convolution.kernel_size[0] ** 2)) ** 0.5
        if convolution.weight.numel() > 5000:
            assert convolution.weight.std().item() == pytest.approx(spread, rel=0.05)
        assert convolution.bias is None or not convolution.bias.any()


@pytest.mark.parametrize(("expanded", "expected"), [(72, 24), (120, 32), (480, 120), (672, 168), (960, 240), (16, 8)])
def test_squeezed_channels(expanded, expected):
    assert squeezed_channels(expanded) == expected


def test_another_variant():
    with pytest.raises(ValueError, match="variant must be mobilenet_v3_large or published_3d, got resnet"):
        MobileBackbone(2, 1, "resnet")


def test_the_norm_can_be_chosen():
    published = {module.momentum for module in MobileBackbone(2, 1, "mobilenet_v3_large").modules() if is_norm(module)}
    assert published == {0.01}
    chosen = MobileBackbone(2, 1, "mobilenet_v3_large", norm="batch").modules()
    assert {module.momentum for module in chosen if is_norm(module)} == {0.1}


def is_norm(module):
    return isinstance(module, nn.BatchNorm2d)
