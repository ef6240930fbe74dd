"""The measured receptive field against ones worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.nets import DilatedUNetPlusPlus, DualTaskVNet, LRASPPMobileNet, MultiTaskUNet
from networks.receptive_field import Layer, ReceptiveField, layer_fields, receptive_field, stage_fields


def up(factor):
    return nn.Upsample(scale_factor=factor, mode="nearest")


HAND = {
    # Each convolution of 3 adds 2, one of dilation 4 adds 8.
    "convolutions": (
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=4, dilation=4)),
        11,
    ),
    # A stride of 2 doubles what follows: 3 + 2 * 2.
    "stride": (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1), up(2)), 7),
    "pooling": (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, padding=1), up(2)), 6),
    "separable": (nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.ReLU6()), 5),
}


@pytest.mark.parametrize(("network", "side"), HAND.values(), ids=HAND.keys())
def test_by_hand(network, side):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert receptive_field(network, 2, 1) == ReceptiveField(side, whole_image=False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_light_3d_network_by_hand():
    """Stem 3; at stride 2, seven blocks add 4 each; at stride 4, three add 8 and the dilation of 16 adds 128; and the
    interpolation between two voxels adds 4. In 2D, which is the same along an axis."""
    network = LRASPPMobileNet(2, 1, 2, "published_3d", "inverted")
    assert 3 + 7 * 4 + 3 * 8 + 128 + 4 == 187
    assert receptive_field(network, 2, 1) == ReceptiveField(187, whole_image=True)


def test_norms_over_the_image():
    network = nn.Sequential(nn.Conv3d(2, 2, 3, padding=1), nn.InstanceNorm3d(2))
    assert receptive_field(network, 3, 2) == ReceptiveField(3, whole_image=True)


def test_several_outputs():
    """Of the V-Net in 2D, by its levels: down, what the convolutions add, and up again."""
    found = receptive_field(DualTaskVNet(2, 1, 1, filters=2), 2, 1)
    assert found == ReceptiveField(290, whole_image=False)


def decoder_reach(level, depth, low, high):
    """Along an axis, what voxels low to high of a U-Net's decoder depend on: by two convolutions of 3, then from the
    encoder's level and from below."""
    if level == depth:
        return encoder_reach(level, low, high)
    low, high = low - 2, high + 2
    here, below = encoder_reach(level, low, high), decoder_reach(level + 1, depth, low // 2, high // 2)
    return min(here[0], below[0]), max(here[1], below[1])


def encoder_reach(level, low, high):
    low, high = low - 2, high + 2
    return (low, high) if level == 0 else encoder_reach(level - 1, 2 * low, 2 * high + 1)


@pytest.mark.parametrize(("depth", "side"), [(1, 18), (2, 44), (4, 204)])
def test_the_unet_by_its_levels(depth, side):
    reaches = [decoder_reach(0, depth, place, place) for place in range(1024, 1024 + 2**depth)]
    assert max(high - low + 1 for low, high in reaches) == side
    heads = {"mask": {"kind": "mask", "out_channels": 1}}
    network = MultiTaskUNet(2, 1, heads, filters=1, depth=depth, dropout=0.2)
    assert receptive_field(network, 2, 1) == ReceptiveField(side, whole_image=False)


def test_a_minimum_over_the_image():
    head = {"kind": "distance", "out_channels": 1, "minimum_subtracted": True}
    network = MultiTaskUNet(2, 1, {"distance": head}, filters=1, depth=1)
    assert receptive_field(network, 2, 1) == ReceptiveField(18, whole_image=True)


class Cut(nn.Module):
    def forward(self, x):
        return x.detach()


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="No output depends on the image"):
        receptive_field(Cut(), 2, 1)
    with pytest.raises(ValueError, match="nothing of the image's size"):
        receptive_field(nn.AdaptiveAvgPool2d(1), 2, 1)


# ---- added up from the kernels ---------------------------------------------------------------------------------------

# The published table of the dilated U-Net++: after each level of the encoder, then with dilations (1, 2, 4) and with
# (1, 2, 4, 8) at the deepest.
PUBLISHED_FIELDS = [5, 14, 32, 68, 140]
PUBLISHED_DILATED = {(1, 2, 4): 364, (1, 2, 4, 8): 620}


class StagesUpTo(nn.Module):
    """The encoder's first stages, brought back to the image's size voxel by voxel."""

    def __init__(self, network, count):
        super().__init__()
        self.stages = nn.Sequential(*network.encoder_stages()[:count])

    def forward(self, x):
        return nn.functional.interpolate(self.stages(x), size=x.shape[2:])


def test_layers_by_hand():
    """3; then 4 more of dilation 2; a stride of 2 adds 1 and doubles the 2 of the last."""
    assert layer_fields([Layer(3), Layer(3, dilation=2), Layer(2, stride=2), Layer(3)]) == [3, 7, 8, 12]
    assert layer_fields([]) == []


@pytest.mark.parametrize(("dilations", "field"), [((), None), *PUBLISHED_DILATED.items()])
def test_the_published_table(dilations, field):
    with torch.device("meta"):
        network = DilatedUNetPlusPlus(2, 3, 4, dilations=dilations)
    assert stage_fields(network.encoder_stages()) == PUBLISHED_FIELDS + ([] if field is None else [field])


def test_the_table_is_what_gradients_measure():
    network = DilatedUNetPlusPlus(2, 1, 2, filters=1, dilations=(1, 2, 4), norm=None)
    table = stage_fields(network.encoder_stages())
    assert (
        [receptive_field(StagesUpTo(network, n), 2, 1).side for n in range(1, 7)] == table == [*PUBLISHED_FIELDS, 364]
    )


class Exit(nn.Module):
    def __init__(self, network, name):
        super().__init__()
        self.network, self.name = network, name

    def forward(self, x):
        return self.network(x, [self.name])


def test_a_shallower_exit_sees_less():
    """Exit 1 by hand: the 5 voxels that its node's convolutions see come, by a transposed convolution of 4, from 4 of
    half the resolution, each of which has a field of 14."""
    network = DilatedUNetPlusPlus(2, 1, 2, filters=1, depth=2, dilations=(), norm=None)
    sides = [receptive_field(Exit(network, name), 2, 1).side for name in ("mask_1", "mask_2")]
    assert sides[0] == 14 + 3 * 2
    assert sides[1] > sides[0]
    assert receptive_field(network, 2, 1).side == sides[1]


def test_layers_that_cannot_be_counted():
    with pytest.raises(ValueError, match="Transposed convolutions are not counted"):
        stage_fields([nn.ConvTranspose2d(1, 1, 2, 2)])
    with pytest.raises(ValueError, match="must be the same along all axes"):
        stage_fields([nn.Conv2d(1, 1, (3, 5))])
