"""MultiTaskUNet: equal to a plain implementation of the published one, then heads, decoders, options and exports."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from networks.nets import MultiTaskUNet

MASK = {"kind": "mask", "out_channels": 1}
DISTANCE = {"kind": "distance", "out_channels": 1}
ALL = {
    "mask": {"kind": "mask", "out_channels": 2},
    "distance": {"kind": "distance", "out_channels": 1, "minimum_subtracted": True},
    "sdf": {"kind": "level_set", "out_channels": 2},
    "presence": {"kind": "classification", "out_channels": 3},
}


def small(spatial_dims=2, in_channels=1, heads=None, **options):
    return MultiTaskUNet(spatial_dims, in_channels, heads or ALL, **{"filters": 2, "depth": 2} | options)


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def squared(outputs):
    return torch.stack([output.square().mean() for output in outputs.values()]).sum()


# ---- the published network -------------------------------------------------------------------------------------------

COUNTS = {
    "single_32": 7_762_465,
    "single_64": 31_036_481,
    "single_dropout_32": 7_762_465,
    "single_dropout_64": 31_036_481,
    "multi_task_32": 10_811_298,
    "multi_task_64": 43_226_946,
}


def test_published_parameter_counts():
    assert set(COUNTS) == set(MultiTaskUNet.PUBLISHED)
    with torch.device("meta"):
        assert {variant: parameter_count(MultiTaskUNet.published(variant)) for variant in COUNTS} == COUNTS
        assert parameter_count(MultiTaskUNet.published()) == 10_811_298


def test_published_dropout():
    """After each of four poolings and four joinings: a decoder's module is used at every level."""
    for variant, p in (("single_32", 0.0), ("single_dropout_32", 0.2)):
        with torch.device("meta"):
            network = MultiTaskUNet.published(variant)
        found = [module for module in network.modules() if isinstance(module, nn.Dropout)]
        assert [module.p for module in found] == [p] * 5
    called = []
    network = small(heads={"mask": MASK}, depth=4, dropout=0.2)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda _, inputs, __: called.append(tuple(inputs[0].shape[1:])))
    network(torch.randn(1, 1, 32, 32))
    pooled = [(2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 2, 2)]
    joined = [(32, 4, 4), (16, 8, 8), (8, 16, 16), (4, 32, 32)]
    assert called == pooled + joined


class Double(nn.Sequential):
    def __init__(self, entering, width):
        super().__init__(
            nn.Conv2d(entering, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )


class PlainDecoder(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.up4, self.four = nn.ConvTranspose2d(16 * f, 8 * f, 2, 2), Double(16 * f, 8 * f)
        self.up3, self.three = nn.ConvTranspose2d(8 * f, 4 * f, 2, 2), Double(8 * f, 4 * f)
        self.up2, self.two = nn.ConvTranspose2d(4 * f, 2 * f, 2, 2), Double(4 * f, 2 * f)
        self.up1, self.one = nn.ConvTranspose2d(2 * f, f, 2, 2), Double(2 * f, f)
        self.out = nn.Conv2d(f, 1, 1)

    def forward(self, e1, e2, e3, e4, bottom):
        d4 = self.four(torch.cat([e4, self.up4(bottom)], 1))
        d3 = self.three(torch.cat([e3, self.up3(d4)], 1))
        d2 = self.two(torch.cat([e2, self.up2(d3)], 1))
        return self.out(self.one(torch.cat([e1, self.up1(d2)], 1)))


class PlainTwoDecoders(nn.Module):
    """The published network, written out."""

    def __init__(self, f):
        super().__init__()
        self.e1, self.e2, self.e3, self.e4 = Double(1, f), Double(f, 2 * f), Double(2 * f, 4 * f), Double(4 * f, 8 * f)
        self.bottom = Double(8 * f, 16 * f)
        self.binary, self.regression = PlainDecoder(f), PlainDecoder(f)

    def forward(self, x):
        e1 = self.e1(x)
        e2 = self.e2(F.max_pool2d(e1, 2))
        e3 = self.e3(F.max_pool2d(e2, 2))
        e4 = self.e4(F.max_pool2d(e3, 2))
        features = (e1, e2, e3, e4, self.bottom(F.max_pool2d(e4, 2)))
        distance = self.regression(*features)
        return self.binary(*features), distance - distance.amin(dim=(2, 3), keepdim=True)


def in_order(network, name):
    """A decoder and its head, in the order of the data."""
    decoder = network.decoders[name]
    for up, stage in zip(decoder.up, decoder.stages, strict=True):
        yield from up.modules()
        yield from stage.modules()
    yield from network.dense_heads[name].modules()


def with_weights(modules):
    return [module for module in modules if isinstance(module, nn.modules.conv._ConvNd | nn.BatchNorm2d)]


@pytest.mark.parametrize("training", [True, False])
def test_parity_with_the_published_network(training):
    torch.manual_seed(0)
    theirs = PlainTwoDecoders(3)
    heads = {"mask": MASK, "distance": {**DISTANCE, "minimum_subtracted": True}}
    ours = MultiTaskUNet(2, 1, heads, filters=3, decoders="separate")
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    mine = [*ours.encoder.stages.modules(), *in_order(ours, "mask"), *in_order(ours, "distance")]
    pairs = list(zip(with_weights(mine), with_weights(theirs.modules()), strict=True))
    for to, source in pairs:
        to.load_state_dict(source.state_dict())
    ours.train(training)
    theirs.train(training)
    image = torch.randn(2, 1, 48, 32)
    outputs = ours(image)
    mask, distance = theirs(image)
    torch.testing.assert_close(outputs["mask"], mask, rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs["distance"], distance, rtol=0, atol=1e-5)
    (outputs["mask"].mean() + outputs["distance"].square().mean()).backward()
    (mask.mean() + distance.square().mean()).backward()
    for to, source in pairs:
        for p, q in zip(to.parameters(), source.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5)


def test_modules_of_one_shape_begin_differently():
    """The published code draws every module from the same seed: decoders begin alike."""
    network = small(heads={"mask": MASK, "distance": DISTANCE}, decoders="separate", filters=4)
    weights = [module.weight for module in network.modules() if isinstance(module, nn.modules.conv._ConvNd)]
    pairs = [(p, q) for i, p in enumerate(weights) for q in weights[:i] if p.shape == q.shape]
    assert len(pairs) > 10
    assert not any(torch.equal(p, q) for p, q in pairs)


def test_kaiming():
    """Variance two over the fan-in; biases zero."""
    network = MultiTaskUNet(2, 1, {"mask": MASK}, filters=16)
    stage = network.encoder.stages[3].body
    assert stage[3].weight.var().item() == pytest.approx(2 / (128 * 9), rel=0.02)
    assert torch.count_nonzero(network.dense_heads["mask"][0].bias) == 0


def test_the_seed_decides():
    first, second, other = (torch.manual_seed(seed) and small() for seed in (1, 1, 2))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not torch.equal(first.encoder.stages[0].body[0].weight, other.encoder.stages[0].body[0].weight)


# ---- heads and decoders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoders", ["shared", "separate", {"mask": "fine", "distance": "fine", "sdf": "other"}])
@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (2, (13, 7)), (3, (8, 12, 4)), (3, (9, 7, 5))])
def test_shapes(dims, size, decoders):
    network = small(dims, 3, decoders=decoders)
    outputs = network(torch.randn(2, 3, *size))
    assert list(outputs) == list(ALL)
    assert outputs["mask"].shape == outputs["sdf"].shape == (2, 2, *size)
    assert outputs["distance"].shape == (2, 1, *size)
    assert outputs["presence"].shape == (2, 3)
    assert outputs["sdf"].abs().amax() <= 1
    assert torch.equal(outputs["distance"].flatten(1).amin(1), torch.zeros(2))


@pytest.mark.parametrize(("decoders", "count"), [("shared", 1), ("separate", 3)])
def test_decoders_share_no_weights(decoders, count):
    """A loss of one head reaches its own decoder and the encoder, and no other's decoder."""
    network = small(decoders=decoders)
    assert len(network.decoders) == count
    network(torch.randn(2, 1, 16, 16))["sdf"].square().mean().backward()
    for name, decoder in network.decoders.items():
        reached = [parameter.grad is not None for parameter in decoder.parameters()]
        assert all(reached) if name in ("sdf", "shared") else not any(reached)
    assert all(parameter.grad is not None for parameter in network.encoder.parameters())
    ids = [id(parameter) for decoder in network.decoders.values() for parameter in decoder.parameters()]
    assert len(set(ids)) == len(ids)


def test_a_decoder_for_two_of_three():
    chosen = {"mask": "near", "distance": "far", "sdf": "far"}
    network = small(decoders=chosen)
    assert list(network.decoders) == ["near", "far"]
    network(torch.randn(2, 1, 16, 16))["distance"].square().mean().backward()
    assert all(parameter.grad is None for parameter in network.decoders["near"].parameters())


OPTIONS = {
    "plain": {},
    "attention": {"attention": True, "decoders": "separate"},
    "deep": {"depth": 4, "dropout": 0.2},
    "instance": {"norm": ("instance", {"affine": True}), "attention": True},
    "group": {"norm": ("group", {"num_groups": 2}), "attention": True},
    "no norm": {"norm": None, "checkpointing": True},
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_gradients_reach_every_parameter(dims, options):
    network = small(dims, **options)
    squared(network(torch.randn(2, 1, *[2 * network.size_divisor] * dims))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    reached = [parameter.grad.abs().sum() > 0 for parameter in network.parameters()]
    assert sum(reached) / len(reached) > 0.9  # a ReLU may be dead


def test_some_heads_alone():
    network = small(decoders="separate").eval()
    image = torch.randn(1, 1, 11, 14)
    everything, called = network(image), []
    for name, decoder in network.decoders.items():
        decoder.register_forward_hook(lambda *_, name=name: called.append(name))
    for wanted in (["sdf"], ["presence"], ["distance", "mask"]):
        called.clear()
        outputs = network(image, wanted)
        assert list(outputs) == wanted
        assert all(torch.equal(outputs[name], everything[name]) for name in wanted)
        assert set(called) == set(wanted) - {"presence"}


def test_padding_is_what_a_padded_image_would_give():
    """13 + 3 = 16 with 1 zero before and 2 behind, 7 + 1 = 8 with 0 and 1; distances from the minimum of the image."""
    network = small().eval()
    image = torch.randn(1, 1, 13, 7)
    padded = torch.zeros(1, 1, 16, 8)
    inside = (..., slice(1, 14), slice(0, 7))
    padded[inside] = image
    outputs, expected = network(image), network(padded)
    assert torch.equal(outputs["mask"], expected["mask"][inside])
    distance = expected["distance"][inside]
    torch.testing.assert_close(outputs["distance"], distance - distance.amin())


def test_what_is_known_of_heads():
    network = small(decoders={"mask": "a", "distance": "b", "sdf": "b"})
    assert network.kinds == {name: options["kind"] for name, options in ALL.items()}
    assert network.out_channels == {"mask": 2, "distance": 1, "sdf": 2, "presence": 3}
    assert network.size_divisor == 4
    assert network.decoder_of == {"mask": "a", "distance": "b", "sdf": "b", "presence": ""}


def test_dropout_is_off_in_evaluation():
    network = small(dropout=0.5)
    image = torch.randn(2, 1, 16, 16)
    assert not torch.equal(network(image)["mask"], network(image)["mask"])
    network.eval()
    assert torch.equal(network(image)["mask"], network(image)["mask"])


@pytest.mark.parametrize("dims", [2, 3])
def test_checkpointing_changes_nothing(dims):
    plain, saving = small(dims, dropout=0.3), small(dims, dropout=0.3, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 1, *[16] * dims)
    for network in (plain, saving):
        torch.manual_seed(3)
        squared(network(image)).backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    for (name, p), q in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.equal(p, q), name


# ---- exports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_torchscript(dims, options):
    network = small(dims, 2, **options)
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network), stored)
        stored.seek(0)
        loaded = torch.jit.load(stored).eval()
    network.eval()
    image = torch.randn(2, 2, *[17, 30, 9][:dims])
    for wanted in (None, ["sdf", "presence"]):
        outputs, expected = loaded(image, wanted), network(image, wanted)
        assert list(outputs) == list(expected)
        for name, output in outputs.items():
            torch.testing.assert_close(output, expected[name], rtol=0, atol=1e-6)


def test_classification_alone():
    network = small(heads={"presence": ALL["presence"]}).eval()
    assert not network.decoders
    image = torch.randn(2, 1, 9, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        compiled = torch.jit.script(network)
    assert torch.equal(compiled(image)["presence"], network(image)["presence"])


def test_state_dict_round_trip():
    network, other = small().eval(), small().eval()
    stored = io.BytesIO()
    torch.save(network.state_dict(), stored)
    stored.seek(0)
    other.load_state_dict(torch.load(stored, weights_only=True))
    image = torch.randn(1, 1, 16, 16)
    assert torch.equal(other(image)["mask"], network(image)["mask"])


REFUSED = {
    "dims": ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
    "channels": ({"in_channels": 0}, "must be at least 1"),
    "depth": ({"depth": 0}, "must be at least 1"),
    "filters": ({"filters": 0}, "must be at least 1"),
    "dropout": ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
    "kind": ({"heads": {"a": {"kind": "b", "out_channels": 1}}}, "kind of the head a"),
    "decoders": ({"decoders": "own"}, "decoders must be shared, separate or a name for each head, got own"),
    "decoder": ({"decoders": {"mask": "a"}}, "must name one for each of mask, distance, sdf, got mask"),
    "name": ({"decoders": {"mask": "a", "distance": "a", "sdf": "keys"}}, "keys cannot be the name of a decoder"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="variant must be multi_task_32, .* or single_dropout_64, got fourier"):
        MultiTaskUNet.published("fourier")
