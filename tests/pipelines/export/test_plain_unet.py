"""MultiTaskUNet's mask heads in torch's and MONAI's own modules compute the same, and build from the expression."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from networks.nets import MultiTaskPredictor, MultiTaskUNet
from pipelines.export.plain_network import network_expression, plain_logits, plain_predictor
from pipelines.export.plain_unet import plain_unet
from pipelines.trust.expressions import judge

HEADS = {
    "one": {"kind": "mask", "out_channels": 2},
    "other": {"kind": "mask", "out_channels": 1},
    "sdf": {"kind": "level_set", "out_channels": 2},
}
KINDS = {
    "batch norm": {"dropout": 0.3, "decoders": "separate"},
    "volume": {"spatial_dims": 3, "norm": ("instance", {"affine": True})},
    "deep": {"depth": 4, "norm": ("group", {"num_groups": 2}), "in_channels": 3, "decoders": "separate"},
    "no norm": {"norm": None, "depth": 1, "checkpointing": True},
}


def network_of(changes):
    torch.manual_seed(0)
    options = {"spatial_dims": 2, "in_channels": 1, "heads": HEADS, "filters": 4, "depth": 2} | changes
    network = MultiTaskUNet(**options)
    for _ in range(3):  # norms of their own
        network(torch.randn(2, options["in_channels"], *[32] * options["spatial_dims"]) + 1)
    return network.eval(), torch.randn(2, options["in_channels"], *[48, 32, 16][: options["spatial_dims"]])


@pytest.mark.parametrize("head", ["one", "other"])
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS.keys())
def test_the_same_probabilities_from_the_expression_alone(changes, head):
    network, image = network_of(changes)
    source = MultiTaskPredictor(network, head).eval()
    before = {name: value.clone() for name, value in source.state_dict().items()}
    with torch.inference_mode():
        expected = source(image)
        plain = plain_predictor(source)
        again = ConfigParser(f"${network_expression(plain)}").get_parsed_content()
        again.load_state_dict(plain.state_dict(), strict=True)
        torch.testing.assert_close(again.eval()(image), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.softmax(plain_logits(source)(image), dim=1), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_logits_with_a_background_of_zero():
    network, image = network_of({})
    logits = plain_unet(network, "one")(image)
    assert torch.equal(logits[:, 0], torch.zeros(2, 48, 32))
    torch.testing.assert_close(logits[:, 1:], network(image)["one"])


def test_a_stranger_may_read_the_expression():
    source = MultiTaskPredictor(MultiTaskUNet.published(), "mask")
    assert judge(f"${network_expression(plain_predictor(source))}") is None


REFUSED = {
    "level set": ("sdf", {}),
    "gates": ("one", {"attention": True}),
    "too deep": ("one", {"depth": 5}),
}


@pytest.mark.parametrize(("head", "changes"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_such_form(head, changes):
    network = MultiTaskUNet(2, 1, HEADS, **{"filters": 1, "depth": 2} | changes)
    with pytest.raises(ValueError, match=f"The head {head} of this MultiTaskUNet cannot be written"):
        plain_unet(network, head)


def test_the_mean_of_two_heads_has_no_such_form():
    heads = {name: HEADS[name] for name in ("one", "sdf")}
    source = MultiTaskPredictor(MultiTaskUNet(2, 1, heads, filters=1, depth=1), "mean")
    with pytest.raises(ValueError, match="MultiTaskUNet cannot be written"):
        plain_predictor(source)
