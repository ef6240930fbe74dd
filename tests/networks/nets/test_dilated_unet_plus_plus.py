"""DilatedUNetPlusPlus: equal to plain implementations of the published ones, then exits, pruning, heads and exports."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from networks.describe import parameter_count
from networks.nets import DilatedUNetPlusPlus


def small(spatial_dims=2, in_channels=1, out_channels=4, **options):
    settings = {"filters": 2, "depth": 3, "dilations": (1, 2), "presence_channels": 3} | options
    return DilatedUNetPlusPlus(spatial_dims, in_channels, out_channels, **settings)


def squared(outputs):
    return torch.stack([output.square().mean() for output in outputs.values()]).sum()


# ---- the published networks ------------------------------------------------------------------------------------------

COUNTS = {"unet": 2_466_151, "unet_plus_plus": 2_953_027, "dilated_unet_plus_plus": 5_315_395}


def test_published_parameter_counts():
    assert set(COUNTS) == set(DilatedUNetPlusPlus.PUBLISHED)
    with torch.device("meta"):
        found = {variant: parameter_count(DilatedUNetPlusPlus.published(variant)) for variant in COUNTS}
        assert found == COUNTS
        assert list(DilatedUNetPlusPlus.published().names) == [
            "mask",
            "mask_1",
            "mask_2",
            "mask_3",
            "mask_4",
            "presence",
        ]
    with pytest.raises(ValueError, match="variant must be dilated_unet_plus_plus, unet_plus_plus or unet, got vnet"):
        DilatedUNetPlusPlus.published("vnet")


class Double(nn.Sequential):
    def __init__(self, entering, width, norm):
        super().__init__(
            nn.Conv2d(entering, width, 3, padding=1),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            nn.ReLU(),
        )


class Up(nn.Module):
    def __init__(self, below, width, joined):
        super().__init__()
        self.up = nn.ConvTranspose2d(below, width, 4, stride=2, padding=1)
        self.convolutions = Double(width * (joined + 1), width, norm=False)

    def forward(self, below, *joined):
        return self.convolutions(torch.cat([self.up(below), *joined], 1))


class PlainEncoder(nn.Module):
    def __init__(self, f, dilated):
        super().__init__()
        self.e0, self.e1, self.e2 = Double(3, f, True), Double(f, 2 * f, True), Double(2 * f, 4 * f, True)
        self.e3, self.e4 = Double(4 * f, 8 * f, True), Double(8 * f, 16 * f, True)
        self.dilated = dilated
        if dilated:
            for d in (1, 2, 4, 8):
                setattr(self, f"d{d}", nn.Conv2d(16 * f, 16 * f, 3, padding=d, dilation=d))
                setattr(self, f"n{d}", nn.BatchNorm2d(16 * f))

    def forward(self, x):
        x0 = self.e0(x)
        x1 = self.e1(F.max_pool2d(x0, 2))
        x2 = self.e2(F.max_pool2d(x1, 2))
        x3 = self.e3(F.max_pool2d(x2, 2))
        x4 = self.e4(F.max_pool2d(x3, 2))
        if self.dilated:
            y1 = F.relu(self.n1(self.d1(x4)))
            y2 = F.relu(self.n2(self.d2(y1)))
            y3 = F.relu(self.n4(self.d4(y2)))
            y4 = F.relu(self.n8(self.d8(y3)))
            x4 = x4 + y1 + y2 + y3 + y4
        return x0, x1, x2, x3, x4


class PlainUNet(nn.Module):
    """The published U-Net, written out; modules in our order."""

    def __init__(self, f):
        super().__init__()
        self.encoder = PlainEncoder(f, dilated=False)
        self.u3, self.u2 = Up(16 * f, 8 * f, 1), Up(8 * f, 4 * f, 1)
        self.u1, self.u0 = Up(4 * f, 2 * f, 1), Up(2 * f, f, 1)
        self.final, self.presence = nn.Conv2d(f, 4, 1), nn.Conv2d(16 * f, 3, 1)

    def forward(self, x):
        x0, x1, x2, x3, x4 = self.encoder(x)
        y = self.u0(self.u1(self.u2(self.u3(x4, x3), x2), x1), x0)
        return {"mask": self.final(y), "presence": F.adaptive_max_pool2d(self.presence(x4), 1).flatten(1)}


class PlainNested(nn.Module):
    """The published U-Net++, written out; modules in our order."""

    def __init__(self, f, dilated):
        super().__init__()
        self.encoder = PlainEncoder(f, dilated)
        widths = [f, 2 * f, 4 * f, 8 * f, 16 * f]
        for j in range(1, 5):
            for i in range(5 - j):
                setattr(self, f"u{i}{j}", Up(widths[i + 1], widths[i], j))
        self.finals = nn.ModuleList(nn.Conv2d(f, 4, 1) for _ in range(4))
        self.presence = nn.Conv2d(16 * f, 3, 1)

    def forward(self, x):
        x00, x10, x20, x30, x40 = self.encoder(x)
        x01, x11, x21, x31 = self.u01(x10, x00), self.u11(x20, x10), self.u21(x30, x20), self.u31(x40, x30)
        x02, x12, x22 = self.u02(x11, x00, x01), self.u12(x21, x10, x11), self.u22(x31, x20, x21)
        x03, x13 = self.u03(x12, x00, x01, x02), self.u13(x22, x10, x11, x12)
        x04 = self.u04(x13, x00, x01, x02, x03)
        exits = [final(features) for final, features in zip(self.finals, (x01, x02, x03, x04), strict=True)]
        outputs = {f"mask_{n}": logits for n, logits in enumerate(exits, start=1)}
        outputs["mask"] = (exits[0] + exits[1] + exits[2] + exits[3]) / 4
        outputs["presence"] = F.adaptive_max_pool2d(self.presence(x40), 1).flatten(1)
        return outputs


def with_weights(network):
    kinds = nn.modules.conv._ConvNd | nn.BatchNorm2d
    return [module for module in network.modules() if isinstance(module, kinds)]


PLAIN = {
    "unet": (lambda: PlainUNet(2), {"nested": False, "dilations": ()}),
    "unet_plus_plus": (lambda: PlainNested(2, dilated=False), {"dilations": ()}),
    "dilated_unet_plus_plus": (lambda: PlainNested(2, dilated=True), {"dilations": (1, 2, 4, 8)}),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("plain", "options"), PLAIN.values(), ids=PLAIN.keys())
def test_parity_with_the_published_networks(plain, options, training):
    torch.manual_seed(0)
    theirs, ours = plain(), small(in_channels=3, depth=4, dropout=0.0, **options)
    mine, others = with_weights(ours), with_weights(theirs)
    for to, source in zip(mine, others, strict=True):
        if isinstance(source, nn.BatchNorm2d):
            nn.init.uniform_(source.weight, 0.5, 1.5)
            nn.init.uniform_(source.bias, -0.3, 0.3)
            nn.init.uniform_(source.running_mean, -0.2, 0.2)
            nn.init.uniform_(source.running_var, 0.5, 1.5)
        to.load_state_dict(source.state_dict())
    ours.train(training)
    theirs.train(training)
    image = torch.randn(2, 3, 48, 32)
    outputs, expected = ours(image), theirs(image)
    for name, tensor in expected.items():
        torch.testing.assert_close(outputs[name], tensor, rtol=1e-5, atol=1e-5)
    wanted = ["mask", "presence"]
    squared({name: outputs[name] for name in wanted}).backward()
    squared({name: expected[name] for name in wanted}).backward()
    for to, source in zip(mine, others, strict=True):
        for p, q in zip(to.parameters(), source.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5)


def test_how_weights_begin():
    """Variance two over the fan-in, biases zero, norms around one with a spread of 0.02, from torch's generator."""
    torch.manual_seed(0)
    network = DilatedUNetPlusPlus(2, 3, 4, presence_channels=3)
    body = network.stages[4].body
    assert body[3].weight.var().item() == pytest.approx(2 / (256 * 9), rel=0.02)
    scales = torch.cat([module.weight for module in network.modules() if isinstance(module, nn.BatchNorm2d)])
    assert scales.mean().item() == pytest.approx(1.0, abs=0.002)
    assert scales.std().item() == pytest.approx(0.02, rel=0.05)
    for name, parameter in network.named_parameters():
        assert not name.endswith("bias") or torch.count_nonzero(parameter) == 0, name
    torch.manual_seed(0)
    again = DilatedUNetPlusPlus(2, 3, 4, presence_channels=3)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), again.parameters(), strict=True))
    for head in (*network.exits, network.presence[0].logits):
        torch.testing.assert_close(head[0].weight.sum(dim=1).abs().amax(), torch.tensor(0.0), rtol=0, atol=1e-5)


# ---- shapes, exits, pruning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"nested": False}], ids=["nested", "plain"])
@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (2, (13, 7)), (3, (8, 16, 8)), (3, (9, 7, 5))])
def test_shapes(dims, size, options):
    network = small(dims, 3, **options)
    outputs = network(torch.randn(2, 3, *size))
    exits = ["mask_1", "mask_2", "mask_3"] if network.nested else ["mask_1"]
    assert list(outputs) == network.names == ["mask", *exits, "presence"]
    assert all(outputs[name].shape == (2, 4, *size) for name in ("mask", *exits))
    assert outputs["presence"].shape == (2, 3)
    assert network.size_divisor == 8


def test_what_is_known_of_heads():
    network = small()
    masks = ["mask", "mask_1", "mask_2", "mask_3"]
    assert network.kinds == dict.fromkeys(masks, "softmax") | {"presence": "classification"}
    assert network.out_channels == dict.fromkeys(masks, 4) | {"presence": 3}
    assert small(presence_channels=0).names == masks


def test_padding_is_what_a_padded_image_would_give():
    """13 + 3 = 16 with 1 zero before and 2 behind, 7 + 1 = 8 with 0 and 1."""
    network = small().eval()
    image = torch.randn(1, 1, 13, 7)
    padded = torch.zeros(1, 1, 16, 8)
    inside = (..., slice(1, 14), slice(0, 7))
    padded[inside] = image
    outputs, expected = network(image), network(padded)
    for name, tensor in expected.items():
        assert torch.equal(outputs[name], tensor if name == "presence" else tensor[inside])


def test_mean_and_last():
    mean, last = small(in_channels=2).eval(), small(in_channels=2, mask="last").eval()
    last.load_state_dict(mean.state_dict())
    image = torch.randn(2, 2, 16, 16)
    outputs = mean(image)
    expected = (outputs["mask_1"] + outputs["mask_2"] + outputs["mask_3"]) / 3
    torch.testing.assert_close(outputs["mask"], expected)
    assert torch.equal(last(image, ["mask"])["mask"], outputs["mask_3"])


def watched(network):
    """Tell, by name, which levels, nodes and heads are computed."""
    called = []
    parts = {"level": network.stages, "node": network.nodes, "exit": network.exits, "presence": network.presence}
    for kind, modules in parts.items():
        for index, module in enumerate(modules):
            name = f"{kind} {''.join(map(str, network.places[index])) if kind == 'node' else index}"
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    network.cascade.register_forward_hook(lambda *_: called.append("cascade"))
    return called


LEVELS = ["level 0", "level 1", "level 2", "level 3"]
NODES = ["node 01", "node 11", "node 21", "node 02", "node 12", "node 03"]
COMPUTED = {
    "mask_1": [*LEVELS[:2], "node 01", "exit 0"],
    "mask_2": [*LEVELS[:3], "node 01", "node 11", "node 02", "exit 1"],
    "mask_3": [*LEVELS, "cascade", *NODES, "exit 2"],
    "presence": [*LEVELS, "cascade", "presence 0"],
}


@pytest.mark.parametrize(("name", "computed"), COMPUTED.items(), ids=COMPUTED.keys())
def test_what_no_wanted_head_reads_is_not_computed(name, computed):
    network = small().eval()
    image = torch.randn(1, 1, 11, 14)
    everything, called = network(image), watched(network)
    outputs = network(image, [name])
    assert list(outputs) == [name]
    assert torch.equal(outputs[name], everything[name])
    assert sorted(called) == sorted(computed)


@pytest.mark.parametrize("used", [1, 2, 3])
@pytest.mark.parametrize("form", ["mean", "last"])
def test_pruning(form, used):
    """The mask of the first exits is theirs, and nothing behind them is computed; training knows no pruning."""
    network = small(mask=form, exits_used=used).eval()
    image = torch.randn(2, 1, 11, 14)
    exits = network(image)
    first = [exits[f"mask_{index}"] for index in range(1, used + 1)]
    called = watched(network)
    mask = network(image, ["mask"])["mask"]
    assert torch.equal(mask, first[-1] if form == "last" else torch.stack(first).mean(dim=0))
    read = [f"exit {used - 1}"] if form == "last" else [f"exit {index}" for index in range(used)]
    assert sorted(called) == sorted([*(part for part in COMPUTED[f"mask_{used}"] if "exit" not in part), *read])
    called.clear()
    network.train()(image, ["mask"])
    assert {part for part in called if "node" in part} == set(NODES)


def test_a_plain_form_has_one_exit():
    network = small(nested=False, dilations=()).eval()
    image = torch.randn(1, 1, 16, 8)
    called = watched(network)
    outputs = network(image)
    assert [part for part in called if "node" in part] == ["node 21", "node 12", "node 03"]
    assert torch.equal(outputs["mask"], outputs["mask_1"])
    called.clear()
    network(image, ["presence"])
    assert not [part for part in called if "node" in part]


def test_unknown_heads():
    network = small().eval()
    for name in ("mask_4", "sdf"):
        with pytest.raises(KeyError, match=name):
            network(torch.zeros(1, 1, 8, 8), [name])
    with pytest.raises(KeyError, match="presence"):
        small(presence_channels=0)(torch.zeros(2, 1, 8, 8), ["presence"])
    network.exits_used = 4
    with pytest.raises(ValueError, match="exits_used must be from 1 to 3, got 4"):
        network(torch.zeros(1, 1, 8, 8), ["mask"])


# ---- options ---------------------------------------------------------------------------------------------------------

OPTIONS = {
    "nested": {},
    "plain": {"nested": False, "dilations": (), "presence_channels": 0},
    "average": {"pooling": "average", "decoder_norm": "batch"},
    "attention": {"pooling": "attention", "upsampling": "linear"},
    "last": {"mask": "last", "norm": ("instance", {"affine": True}), "exits_used": 2},
    "no norm": {"norm": None, "checkpointing": True},
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_gradients_reach_every_parameter(dims, options):
    torch.manual_seed(1)
    network = small(dims, **{"filters": 4, "dropout": 0.0} | options)
    squared(network(torch.randn(2, 1, *[2 * network.size_divisor] * dims))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    reached = [parameter.grad.abs().sum() > 0 for parameter in network.parameters()]
    assert sum(reached) / len(reached) > 0.9  # a ReLU may be dead


@pytest.mark.parametrize("dims", [2, 3])
def test_checkpointing_changes_nothing(dims):
    plain, saving = small(dims, decoder_norm="batch"), small(dims, decoder_norm="batch", checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 1, *[16] * dims)
    for network in (plain, saving):
        torch.manual_seed(3)
        squared(network(image)).backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    for (name, p), q in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.equal(p, q), name


def test_dropout_is_of_the_presence_in_training():
    network = small()
    image = torch.randn(2, 1, 16, 16)
    first, second = network(image), network(image)
    assert torch.equal(first["mask"], second["mask"])
    assert not torch.equal(first["presence"], second["presence"])
    network.eval()
    assert torch.equal(network(image)["presence"], network(image)["presence"])


@pytest.mark.parametrize(("dims", "name"), [(2, "nested"), (3, "plain"), (3, "attention"), (2, "average"), (3, "last")])
def test_torchscript(dims, name):
    network = small(dims, 2, depth=2, **OPTIONS[name])
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network), stored)
        stored.seek(0)
        loaded = torch.jit.load(stored).eval()
    network.eval()
    image = torch.randn(2, 2, *[17, 14, 9][:dims])
    for wanted in (None, network.names[-2:]):
        outputs, expected = loaded(image, wanted), network(image, wanted)
        assert list(outputs) == list(expected)
        for name, output in outputs.items():
            torch.testing.assert_close(output, expected[name], rtol=0, atol=1e-6)
    network.exits_used = loaded.exits_used = 1
    torch.testing.assert_close(loaded(image, ["mask"])["mask"], network(image, ["mask_1"])["mask_1"], rtol=0, atol=1e-6)


REFUSED = {
    "dims": ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4"),
    "channels": ({"in_channels": 0}, "in_channels, filters and depth must be at least 1"),
    "classes": ({"out_channels": 1}, "out_channels must be at least 2, the background being one, got 1"),
    "presence": ({"presence_channels": -1}, "presence_channels must not be negative"),
    "dropout": ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
    "upsampling": ({"upsampling": "nearest"}, "upsampling must be transposed or linear, got nearest"),
    "mask": ({"mask": "first"}, "mask must be mean or last, got first"),
    "exits": ({"exits_used": 4}, "exits_used must be from 1 to 3, got 4"),
    "plain exits": ({"exits_used": 2, "nested": False}, "exits_used must be from 1 to 1, got 2"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
