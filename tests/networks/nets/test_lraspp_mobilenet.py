"""LRASPPMobileNet: published counts, any size, checkpointing that changes nothing, TorchScript, and learning."""

from __future__ import annotations

import io

import pytest
import torch

from networks.blocks.mobile_backbone import ENCODERS
from networks.nets import LRASPPMobileNet

SIZES = {2: [(16, 16), (37, 29), (5, 48), (1, 1)], 3: [(16, 16, 16), (37, 29, 23), (5, 18, 1), (1, 1, 1)]}
FORMS = [(dims, variant, head) for dims in (2, 3) for variant in ENCODERS for head in ("standard", "inverted")]


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("variant", "total", "backbone"),
    [("3d", 1_228_932, 222_848), ("3d_mind", 1_238_436, 232_352), ("2d", 3_218_020, 2_971_664)],
)
def test_published_counts(variant, total, backbone):
    network = LRASPPMobileNet.published(variant)
    assert (parameters(network), parameters(network.backbone)) == (total, backbone)
    if variant != "2d":
        assert (parameters(network.pyramid), parameters(network.head)) == (1_001_216, 4_868)


def test_published_by_default():
    assert parameters(LRASPPMobileNet.published()) == 1_228_932


def test_the_known_count_of_lite_raspp():
    """3,221,538 is what torchvision's ``lraspp_mobilenet_v3_large`` has, of 3 channels and 21 classes."""
    assert parameters(LRASPPMobileNet(2, 3, 21)) == 3_221_538


@pytest.mark.parametrize(("dims", "variant", "head"), FORMS)
def test_any_size_and_torchscript(dims, variant, head):
    network = LRASPPMobileNet(dims, 2, 3, variant, head, checkpointing=True).eval()
    stored = io.BytesIO()
    torch.jit.save(torch.jit.script(network), stored)
    stored.seek(0)
    loaded = torch.jit.load(stored)
    for size in SIZES[dims]:
        image = torch.randn(2, 2, *size)
        with torch.inference_mode():
            logits = network(image)
            assert logits.shape == (2, 3, *size)
            assert torch.isfinite(logits).all()
            assert torch.allclose(loaded(image), logits, atol=1e-6)


@pytest.mark.parametrize("variant", ENCODERS)
def test_torchscript_in_training(variant):
    network = LRASPPMobileNet(2, 1, 2, variant, dropout=0.0)
    scripted = torch.jit.script(network)
    image = torch.randn(2, 1, 33, 20)
    assert torch.allclose(scripted(image), network(image), atol=1e-5)


@pytest.mark.parametrize(("dims", "variant"), [(2, "mobilenet_v3_large"), (3, "published_3d")])
def test_checkpointing_changes_nothing(dims, variant):
    """The same gradients to the last bit, and running statistics that count a batch once: two steps show it."""
    torch.manual_seed(2)
    plain = LRASPPMobileNet(dims, 1, 2, variant)
    saving = LRASPPMobileNet(dims, 1, 2, variant, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    for step in range(2):
        image = torch.randn(2, 1, *[24] * dims)
        for network in (plain, saving):
            torch.manual_seed(step)  # dropout
            network(image).square().sum().backward()
    for (name, p), q in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name
    for (name, p), q in zip(plain.named_buffers(), saving.buffers(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize("variant", ENCODERS)
def test_a_few_steps_lower_the_loss(variant):
    torch.manual_seed(0)
    network = LRASPPMobileNet(2, 1, 2, variant, norm="batch", dropout=0.0)
    image = torch.zeros(2, 1, 32, 32)
    image[:, :, 8:24, 8:24] = 1
    image += 0.1 * torch.randn(2, 1, 32, 32)
    label = (image[:, 0] > 0.5).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = torch.nn.functional.cross_entropy(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("variant", ENCODERS)
def test_all_weights_get_gradients(variant):
    network = LRASPPMobileNet(3, 1, 2, variant)
    network(torch.randn(2, 1, 32, 32, 16)).square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.head.parameters())


def test_a_batch_of_one_trains():
    network = LRASPPMobileNet(3, 1, 2, "published_3d")
    network(torch.randn(1, 1, 16, 16, 16)).sum().backward()
    assert torch.isfinite(network.backbone.stem[0].weight.grad).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
        ({"in_channels": 0}, "must be at least 1"),
        ({"out_channels": 0}, "must be at least 1"),
        ({"variant": "resnet"}, "variant must be mobilenet_v3_large or published_3d, got resnet"),
        ({"head": "upright"}, "head must be standard or inverted, got upright"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        LRASPPMobileNet(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **options})


def test_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="variant must be 3d, 3d_mind or 2d, got 4d"):
        LRASPPMobileNet.published("4d")
