"""LRASPPMobileNet in torch's and MONAI's own modules computes the same, and builds from its expression alone."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from networks.blocks.mobile_backbone import ENCODERS
from networks.nets import LRASPPMobileNet, SoftmaxPredictor, UpscaledNetwork
from pipelines.export.plain_mobile_network import plain_mobile_network
from pipelines.export.plain_network import network_expression, plain_predictor
from pipelines.trust.expressions import judge


def trained(dims, variant, **options):
    torch.manual_seed(0)
    network = LRASPPMobileNet(dims, 2, 3, variant, norm=options.pop("norm", "batch"), **options)
    for _ in range(3):  # norms of their own
        network(torch.randn(2, 2, *[32] * dims) + 1)
    return network.eval()


@pytest.mark.parametrize("norm", ["batch", ("instance", {"affine": True})], ids=["batch", "instance"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("variant", ENCODERS)
def test_the_same_probabilities_from_the_expression_alone(dims, variant, norm):
    source = SoftmaxPredictor(trained(dims, variant, norm=norm)).eval()
    before = {name: value.clone() for name, value in source.state_dict().items()}
    plain = plain_predictor(source)
    expression = f"${network_expression(plain)}"
    assert judge(expression) is None, "a stranger's bundle may hold it"
    again = ConfigParser(expression).get_parsed_content()
    again.load_state_dict(plain.state_dict(), strict=True)
    image = torch.randn(2, 2, *[48, 32, 16][:dims])
    with torch.inference_mode():
        expected = source(image)
        torch.testing.assert_close(again.eval()(image), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize(
    ("variant", "factor"), [("published_3d", 1.5), ("mobilenet_v3_large", 2.0), ("published_3d", 1)]
)
def test_enlarged_images(variant, factor):
    source = SoftmaxPredictor(UpscaledNetwork(trained(2, variant), factor)).eval()
    plain = plain_predictor(source)
    again = ConfigParser(f"${network_expression(plain)}").get_parsed_content()
    again.load_state_dict(plain.state_dict(), strict=True)
    with torch.inference_mode():
        for sides in [(16, 16), (48, 112), (80, 32)]:
            image = torch.randn(2, 2, *sides)
            torch.testing.assert_close(again.eval()(image), source(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("network", [LRASPPMobileNet(2, 1, 2), nn.Conv2d(1, 2, 1)], ids=["stride", "kind"])
def test_enlarged_images_that_do_not_fit_the_stride(network):
    """Sixteen voxels become 24, which are no multiple of the 16 of MobileNetV3's stride."""
    with pytest.raises(ValueError, match=r"on images 1\.5 times as large cannot be written so"):
        plain_predictor(SoftmaxPredictor(UpscaledNetwork(network, 1.5)))


def test_logits():
    network = trained(2, "published_3d")
    image = torch.randn(1, 2, 20, 12)  # multiples of 4 will do
    with torch.inference_mode():
        torch.testing.assert_close(plain_mobile_network(network)(image), network(image), rtol=1e-4, atol=1e-5)


def test_the_inverted_head():
    with pytest.raises(ValueError, match="with the inverted head cannot be written as modules of torch or MONAI"):
        plain_mobile_network(trained(2, "published_3d", head="inverted"))
