"""The report on networks: numbers by hand, every public network, and refusals of one line."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from networks import nets
from networks.describe import Description, describe, main, multiply_adds, parameter_count, published_networks, table


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.spatial_dims, self.in_channels = 2, 3
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 5, stride=2, padding=2, groups=4, bias=False)
        self.third = nn.ConvTranspose2d(4, 2, 2, stride=2)

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def test_by_hand():
    """Convolutions: 9 * 3 * 4 on 16 x 8, 25 * 4 on 8 x 4, and backwards 4 * 4 * 2 on 8 x 4."""
    network = Small()
    assert parameter_count(network) == (108 + 4) + 100 + (32 + 2)
    assert multiply_adds(network, (16, 8)) == 108 * 128 + 100 * 32 + 32 * 32
    # 2 of the convolution of 5 at stride 1, 2 of that of 3, over a voxel pair of the coarser grid's one voxel.
    assert describe(network, "small", (16, 8)).receptive_field == 7
    assert network.first.weight.device == torch.device("cpu")


def test_known_multiply_adds():
    """MobileNetV3-Large's table at 224 x 224 (0.22 G without dilation) is within what dilation and head add."""
    assert 0.3e9 < multiply_adds(nets.LRASPPMobileNet.published("2d"), (224, 224)) < 0.45e9


def test_every_network_that_has_a_published_form():
    assert {"DualTaskVNet", "LRASPPMobileNet"} <= set(published_networks())
    for kind in published_networks().values():
        assert all(isinstance(kind.published(variant), nn.Module) for variant in kind.PUBLISHED[:1])


def test_the_command(capsys):
    assert main(["LRASPPMobileNet", "--variant", "3d", "--size", "64", "64", "32", "--no-field"]) == 0
    told = capsys.readouterr()
    assert "1,228,932" in told.out
    assert "64 x 64 x 32" in told.out
    assert "not measured" in told.out
    assert told.err == "LRASPPMobileNet (3d)\n"


def test_of_any_form_as_json(capsys):
    arguments = ["--set", "spatial_dims=2", "in_channels=3", "out_channels=21", "variant=published_3d", "--json"]
    assert main(["LRASPPMobileNet", *arguments]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    # 183 without interpolation (see the test of the receptive field), and 8 more: of two steps, through three voxels.
    assert (found["receptive_field"], found["whole_image"], found["size"]) == (191, True, [256, 256])
    assert found["multiply_adds"] == multiply_adds(nets.LRASPPMobileNet(2, 3, 21, "published_3d"), (256, 256))


def test_table():
    row = Description("Net", "a", 1234567, (8, 8), 2_500_000_000, 33, True)
    lines = table([row, row._replace(receptive_field=None, whole_image=None)]).splitlines()
    assert "1,234,567" in lines[1]
    assert "2.500 G" in lines[1]
    assert lines[1].endswith("33, and means over the image")
    assert lines[2].endswith("not measured")


REFUSED = {
    "name": (["LRASPPMobileNt"], "LRASPPMobileNt: is no network here (did you mean LRASPPMobileNet?)"),
    "variant": (["DualTaskVNet", "--variant", "liver"], "--variant: DualTaskVNet has left_atrium, pancreas, not liver"),
    "sides": (["LRASPPMobileNet", "--size", "64"], "--size: needs 3 sides from 1 voxel on for LRASPPMobileNet (3d)"),
    "side": (["LRASPPMobileNet", "--size", "64", "0", "8"], "--size: needs 3 sides from 1 voxel on"),
    "both": (["LRASPPMobileNet", "--variant", "2d", "--set", "a=1"], "--variant: is a published form"),
    "many": (["--set", "spatial_dims=2"], "--set: needs the name of one network"),
    "pair": (["LRASPPMobileNet", "--set", "spatial_dims"], "--set: takes OPTION=VALUE, got spatial_dims"),
    "option": (["LRASPPMobileNet", "--set", "dims=2"], "--set: LRASPPMobileNet has no option dims"),
    "missing": (["LRASPPMobileNet", "--set", "spatial_dims=2"], "needs in_channels, out_channels too"),
    "value": (
        ["LRASPPMobileNet", "--set", "spatial_dims=4", "in_channels=1", "out_channels=1"],
        "--set: LRASPPMobileNet cannot be built so: spatial_dims must be 2 or 3, got 4.",
    ),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(arguments, told, capsys):
    assert main([*arguments, "--no-field"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert told in error[0]
