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


def randomise(network):
    """Norms start as the identity and biases near zero, which would hide a mistake: move everything."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.mark.parametrize(("filters", "size"), [(16, (32, 32, 16)), (4, (48, 32, 64))])
@pytest.mark.parametrize("training", [True, False])
def test_parity_with_the_published_network(published_dtc, filters, size, training):
    """Outputs, gradients of all weights and of the image, and running statistics, in both modes."""
    theirs = published_dtc.PublishedVNet(filters, dropout=0.0)
    randomise(theirs)
    ours = DualTaskVNet(3, 1, 1, filters=filters, dropout=0.0)
    pairs = copy_weights(theirs, ours)
    ours.train(training)
    theirs.train(training)

    image = torch.randn(2, 1, *size)
    mine, other = image.clone().requires_grad_(), image.clone().requires_grad_()
    output = ours(mine)
    level_set, logits = theirs(other)
    assert (output.mask - logits).abs().max() <= TOLERANCE
    assert (output.sdf - level_set).abs().max() <= TOLERANCE

    weights = torch.randn(2, *output.mask.shape) / output.mask.numel() ** 0.5
    (weights[0] * output.mask + weights[1] * output.sdf).sum().backward()
    (weights[0] * logits + weights[1] * level_set).sum().backward()
    for p, q in [(mine, other), *pairs]:
        assert (p.grad - q.grad).abs().max() <= TOLERANCE * max(1.0, q.grad.abs().max().item())
    for module, reference in zip(body_order(ours), theirs.modules(), strict=False):
        assert isinstance(module, nn.Module) and isinstance(reference, nn.Module)
