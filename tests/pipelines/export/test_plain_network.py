"""The trained network in torch's and MONAI's own modules computes the same, and builds from its expression alone."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from networks.nets import DualTaskVNet
from networks.nets.dual_task_predictor import HEADS, DualTaskPredictor
from pipelines.export.plain_network import network_expression, plain_network, plain_predictor, takes_windows
from pipelines.trust.expressions import judge

KINDS = {
    "batch norm": {"norm": "batch", "bias": False, "dropout": 0.5},
    "residual": {"norm": ("instance", {"affine": True}), "residual": True, "deep_supervision": True},
    "planar": {"spatial_dims": 2, "norm": ("group", {"num_groups": 2}), "in_channels": 3},
    "no norm": {"norm": None, "checkpointing": True},
}


def trained(changes, classes):
    options = {"spatial_dims": 3, "in_channels": 1, "out_channels": classes, "filters": 2} | changes
    network = DualTaskVNet(**options)
    for _ in range(3):  # norms of their own
        network(torch.randn(2, options["in_channels"], *[32] * options["spatial_dims"]) + 1)
    return network, torch.randn(2, options["in_channels"], *[48, 32, 16][: options["spatial_dims"]])


def rebuilt(plain):
    again = ConfigParser(f"${network_expression(plain)}").get_parsed_content()
    again.load_state_dict(plain.state_dict(), strict=True)
    return again.eval()


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS.keys())
def test_the_same_probabilities_from_the_expression_alone(changes, classes):
    network, image = trained(changes, classes)
    source = DualTaskPredictor(network, k=20.0).eval()
    with torch.inference_mode():
        expected = source(image)
        again = rebuilt(plain_network(network))(image)
    torch.testing.assert_close(torch.softmax(again, dim=1), expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.01


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ["residual", "planar"])
def test_every_head(kind, head, classes):
    network, image = trained(KINDS[kind], classes)
    source = DualTaskPredictor(network, k=20.0, head=head).eval()
    before = {name: value.clone() for name, value in source.state_dict().items()}
    with torch.inference_mode():
        expected = source(image)
        again = rebuilt(plain_predictor(source))
        torch.testing.assert_close(again(image), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.jit.script(again)(image), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_a_stranger_may_read_the_expression():
    network = DualTaskVNet(spatial_dims=3, in_channels=1, out_channels=2, filters=16, norm="batch", residual=True)
    source = DualTaskPredictor(network, k=1500.0, head="mean")
    assert judge(f"${network_expression(plain_predictor(source))}") is None


def test_a_network_of_another_kind():
    with pytest.raises(ValueError, match="Identity cannot be written as modules of torch or MONAI"):
        plain_predictor(DualTaskPredictor(nn.Identity(), k=1.0))


@pytest.mark.parametrize(("window", "fits"), [((112, 112, 80), True), ((32, 24), False)])
def test_windows(window, fits):
    assert takes_windows(window) is fits


def test_a_module_of_another_kind():
    with pytest.raises(ValueError, match="PReLU cannot be written"):
        network_expression(nn.Sequential(nn.ReLU(), nn.PReLU()))
