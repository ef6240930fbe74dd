"""DualTaskVNet: equal to a plain implementation of the paper, then shapes, options and exports."""

import importlib.util
import io
from pathlib import Path

import pytest
import torch
from torch import nn

from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.mask import MaskLoss
from networks.nets.dual_task_vnet import DualTaskOutput, DualTaskVNet

TOLERANCE = 1e-5
WITH_WEIGHTS = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)


@pytest.fixture(scope="module")
def published_dtc():
    """The plain implementation, which lives with the benchmarks and is no installed package."""
    path = Path(__file__).parents[3] / "benchmarks" / "published_dtc.py"
    spec = importlib.util.spec_from_file_location("published_dtc", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(spatial_dims=3, in_channels=1, out_channels=1, **options):
    return DualTaskVNet(spatial_dims, in_channels, out_channels, filters=options.pop("filters", 2), **options)


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


# ---- the published network -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["left_atrium", "pancreas"])
def test_published_parameter_count(published_dtc, variant):
    assert parameter_count(DualTaskVNet.published(variant)) == 9_448_866
    assert parameter_count(published_dtc.PublishedVNet()) == 9_448_866


def test_plain_vnet_parameter_count(published_dtc):
    """Without the second head, a 1x1x1 convolution of 16 channels, it is the plain V-Net."""
    network = DualTaskVNet.published()
    assert parameter_count(network) - parameter_count(network.sdf_head) == 9_448_849
    assert parameter_count(published_dtc.PublishedVNet(sdf_head=False)) == 9_448_849


def copy_weights(source, target):
    """Pair the modules that have weights, in the order in which either network defines them."""
    theirs = [module for module in source.modules() if isinstance(module, WITH_WEIGHTS)]
    ours = [module for module in body_order(target) if isinstance(module, WITH_WEIGHTS)]
    assert [type(module) for module in ours] == [type(module) for module in theirs]
    pairs = []
    for to, by in zip(ours, theirs, strict=True):
        to.load_state_dict(by.state_dict())
        pairs += [(p, q) for (_, p), (_, q) in zip(to.named_parameters(), by.named_parameters(), strict=True)]
    return pairs


def body_order(network):
    """Our modules in the order of the data."""
    stages = [*zip(network.down, network.encoder, strict=True), *zip(network.up, network.decoder, strict=True)]
    for module in [*(part for pair in stages for part in pair), network.mask_head, network.sdf_head]:
        yield from module.modules()


def norms(modules):
    return [module for module in modules if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def randomise(network):
    """Norms start as the identity and biases near zero, which would hide a mistake: move everything."""
    for norm in norms(network.modules()):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)


# Filters, image size, memory format, training. Not channels-last in training: on CPUs PyTorch's own batch norm adds up
# the variance of that format in plain float32, and is 1e-4 beside the same layer in the default format.
FORMS = [
    (16, (32, 32, 16), torch.contiguous_format, True),
    (16, (32, 32, 16), torch.contiguous_format, False),
    (4, (48, 32, 64), torch.contiguous_format, True),
    (4, (48, 32, 64), torch.contiguous_format, False),
    (4, (48, 32, 64), torch.channels_last_3d, False),
]


@pytest.mark.parametrize(("filters", "size", "memory_format", "training"), FORMS)
def test_parity_with_the_published_network(published_dtc, filters, size, memory_format, training):
    """Outputs, gradients of all weights and of the image, and running statistics, in both modes."""
    theirs = published_dtc.PublishedVNet(filters, dropout=0.0)
    randomise(theirs)
    ours = DualTaskVNet(3, 1, 1, filters=filters, dropout=0.0)
    pairs = copy_weights(theirs, ours)
    ours.to(memory_format=memory_format).train(training)
    theirs.train(training)

    image = torch.randn(2, 1, *size)
    mine, other = image.clone().requires_grad_(), image.clone().requires_grad_()
    output = ours(mine.contiguous(memory_format=memory_format))
    level_set, logits = theirs(other)
    assert (output.mask - logits).abs().max() <= TOLERANCE
    assert (output.sdf - level_set).abs().max() <= TOLERANCE

    weights = torch.randn(2, *output.mask.shape) / output.mask.numel() ** 0.5
    (weights[0] * output.mask + weights[1] * output.sdf).sum().backward()
    (weights[0] * logits + weights[1] * level_set).sum().backward()
    for p, q in [(mine, other), *pairs]:
        assert (p.grad - q.grad).abs().max() <= TOLERANCE * max(1.0, q.grad.abs().max().item())
    for norm, reference in zip(norms(body_order(ours)), norms(theirs.modules()), strict=True):
        assert (norm.running_mean - reference.running_mean).abs().max() <= TOLERANCE
        assert (norm.running_var - reference.running_var).abs().max() <= TOLERANCE
        assert norm.num_batches_tracked == reference.num_batches_tracked == int(training)


# ---- shapes ----------------------------------------------------------------------------------------------------------

SIZES = {2: [(32, 48), (37, 29)], 3: [(32, 16, 48), (37, 29, 23)]}
SHAPES = [
    (dims, in_channels, out_channels, size)
    for dims in (2, 3)
    for in_channels, out_channels in [(1, 1), (2, 1), (1, 3)]
    for size in SIZES[dims]
]


@pytest.mark.parametrize(("dims", "in_channels", "out_channels", "size"), SHAPES)
def test_shapes(dims, in_channels, out_channels, size):
    network = small(dims, in_channels, out_channels)
    output = network(torch.randn(2, in_channels, *size))
    assert isinstance(output, DualTaskOutput)
    assert output.mask.shape == output.sdf.shape == (2, out_channels, *size)
    assert output.sdf.abs().max() <= 1
    assert output.auxiliary == []


def test_padding_is_what_a_padded_image_would_give():
    """37 + 11 = 48 with 5 zeros before and 6 behind, 29 + 3 = 32 with 1 and 2, 23 + 9 = 32 with 4 and 5."""
    network = small().eval()
    image = torch.randn(1, 1, 37, 29, 23)
    padded = torch.zeros(1, 1, 48, 32, 32)
    inside = (..., slice(5, 42), slice(1, 30), slice(4, 27))
    padded[inside] = image
    output, expected = network(image), network(padded)
    assert torch.equal(output.mask, expected.mask[inside])
    assert torch.equal(output.sdf, expected.sdf[inside])


NORMS = ["batch", "instance", ("instance", {"affine": True}), ("group", {"num_groups": 2}), None]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_norms(dims, norm):
    """All weights get finite gradients; only batch norm looks at the rest of the batch."""
    network = small(dims, norm=norm, dropout=0.0)
    images = torch.randn(3, 1, *[32] * dims)
    output = network(images)
    (output.mask.square().mean() + output.sdf.square().mean()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
    alone = network(images[:1]).mask
    assert torch.allclose(alone, output.mask[:1], atol=1e-3) == (norm != "batch")


def test_no_norm_has_no_norm_layers():
    assert norms(small(norm=None).modules()) == []
    assert len(norms(small().modules())) == 29  # 21 convolutions, four down, four up


@pytest.mark.parametrize("dims", [2, 3])
def test_convolutions_before_a_norm_need_no_bias(dims):
    """The heads keep theirs, and in training a norm takes out what a bias adds: the outputs are the same."""
    plain = small(dims, dropout=0.0, deep_supervision=True)
    bare = small(dims, dropout=0.0, deep_supervision=True, bias=False)
    without = {name for name in plain.state_dict() if name not in bare.state_dict()}
    assert len(without) == 29
    assert all(name.endswith("0.bias") or ".body." in name for name in without)
    bare.load_state_dict({name: value for name, value in plain.state_dict().items() if name not in without})
    image = torch.randn(2, 1, *[32] * dims)
    assert torch.allclose(bare(image).mask, plain(image).mask, atol=1e-4)


def test_dropout_acts_in_training_alone():
    network = small(dropout=0.5)
    image = torch.randn(2, 1, 16, 16, 16)
    assert not torch.equal(network(image).mask, network(image).mask)
    network.eval()
    assert torch.equal(network(image).mask, network(image).mask)


# ---- options ---------------------------------------------------------------------------------------------------------


def test_residual_adds_the_input_before_the_last_relu():
    """Without weights a stage is its bias, so a residual stage gives relu(bias + input)."""
    stage = small(2, norm=None, residual=True).encoder[2]
    for layer in stage.body:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, 0.25)
    image = torch.randn(1, 8, 4, 4)
    assert torch.allclose(stage(image), torch.relu(image + 0.25))


def test_residual_changes_the_network_but_not_its_weights():
    torch.manual_seed(1)
    plain = small(dropout=0.0)
    residual = small(dropout=0.0, residual=True)
    residual.load_state_dict(plain.state_dict())
    image = torch.randn(2, 1, 16, 16, 16)
    assert not torch.allclose(residual(image).mask, plain(image).mask, atol=1e-3)


@pytest.mark.parametrize(("dims", "size"), [(2, (32, 48)), (3, (32, 16, 48)), (2, (37, 29))])
def test_deep_supervision(dims, size):
    """Half and a quarter of the (padded) sides, in training alone."""
    network = small(dims, out_channels=3, deep_supervision=True)
    image = torch.randn(1, 1, *size)
    padded = [-(-side // 16) * 16 for side in size]
    auxiliary = network(image).auxiliary
    assert [tuple(logits.shape[2:]) for logits in auxiliary] == [
        tuple(side // 2**level for side in padded) for level in (1, 2)
    ]
    assert all(logits.shape[:2] == (1, 3) for logits in auxiliary)
    assert network.eval()(image).auxiliary == []


def test_deep_supervision_reaches_the_auxiliary_heads():
    network = small(deep_supervision=True)
    sum(logits.square().mean() for logits in network(torch.randn(2, 1, 16, 16, 16)).auxiliary).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.auxiliary_heads.parameters())
    assert network.mask_head.weight.grad is None


@pytest.mark.parametrize("norm", ["batch", "instance", ("batch", {"momentum": None})])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_checkpointing_changes_nothing(norm, dropout):
    """Same outputs and gradients, and the batch is counted once in the running statistics: two steps show it."""
    torch.manual_seed(2)
    plain = small(filters=4, norm=norm, dropout=dropout)
    saving = small(filters=4, norm=norm, dropout=dropout, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    for step in range(2):
        image = torch.randn(2, 1, 32, 16, 16)
        for network in (plain, saving):
            torch.manual_seed(step)
            network(image).mask.square().sum().backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or torch.allclose(p.grad, q.grad, rtol=1e-5, atol=1e-6)
    for (name, p), q in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7), name


def test_one_step_lowers_the_loss():
    network = small(filters=4, dropout=0.0)
    image = torch.randn(2, 1, 16, 16, 16)
    label = (image > 0).float()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)

    def loss():
        output = network(image)
        return MaskLoss()(output.mask, label) + DualTaskConsistencyLoss()(output.mask, output.sdf)

    before = loss()
    before.backward()
    optimizer.step()
    assert loss().item() < before.item()


# ---- exports ---------------------------------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"deep_supervision": True},
    {"checkpointing": True, "residual": True},
    {"norm": ("group", {"num_groups": 2}), "out_channels": 3},
]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("options", OPTIONS)
def test_torchscript_round_trip(dims, options):
    network = small(dims, dropout=0.0, **options)
    stored = io.BytesIO()
    torch.jit.save(torch.jit.script(network), stored)
    stored.seek(0)
    loaded = torch.jit.load(stored)
    for training in (True, False):
        network.train(training)
        loaded.train(training)
        image = torch.randn(2, 1, *[23, 29, 16][:dims])
        output, expected = loaded(image), network(image)
        assert torch.allclose(output.mask, expected.mask, atol=1e-6)
        assert torch.allclose(output.sdf, expected.sdf, atol=1e-6)
        assert len(output.auxiliary) == len(expected.auxiliary)


def test_state_dict_round_trip():
    network = small().eval()
    stored = io.BytesIO()
    torch.save(network.state_dict(), stored)
    stored.seek(0)
    other = small().eval()
    other.load_state_dict(torch.load(stored, weights_only=True))
    image = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(other(image).mask, network(image).mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1, 1), "spatial_dims must be 2 or 3, got 1"),
        ((4, 1, 1), "spatial_dims must be 2 or 3, got 4"),
        ((3, 0, 1), "must be at least 1"),
        ((3, 1, 0), "must be at least 1"),
        ((3, 1, 1, 0), "must be at least 1"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DualTaskVNet(*arguments)


def test_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="variant must be left_atrium or pancreas, got liver"):
        DualTaskVNet.published("liver")
