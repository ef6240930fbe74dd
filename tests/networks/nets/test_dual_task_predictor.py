"""DualTaskPredictor: each head by hand, the label decision, and what is exported."""

import io
import math

import pytest
import torch
from torch import nn

from networks.nets.dual_task_predictor import HEADS, DualTaskPredictor
from networks.nets.dual_task_vnet import DualTaskOutput, DualTaskVNet


class Fixed(nn.Module):
    """Say the same of every voxel."""

    def __init__(self, mask, sdf):
        super().__init__()
        self.register_buffer("mask", torch.tensor(mask).reshape(1, -1, 1, 1))
        self.register_buffer("sdf", torch.tensor(sdf).reshape(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> DualTaskOutput:
        size = [x.shape[0], self.mask.shape[1], x.shape[2], x.shape[3]]
        return DualTaskOutput(self.mask.expand(size), self.sdf.expand(size), [])


LN = math.log
# head, mask logits, level set, probabilities with the background first; k = 2.
BY_HAND = [
    ("mask", [LN(3)], [0.0], [0.25, 0.75]),
    ("level_set", [LN(3)], [0.0], [0.5, 0.5]),
    ("level_set", [0.0], [-0.5 * LN(4)], [0.2, 0.8]),
    ("level_set", [0.0], [0.5 * LN(4)], [0.8, 0.2]),
    ("mean", [LN(3)], [0.0], [0.375, 0.625]),
    ("mask", [LN(2), LN(5)], [0.0, 0.0], [0.125, 0.25, 0.625]),
    ("level_set", [0.0, 0.0], [-0.5 * LN(4), 0.5 * LN(9)], [0.1, 0.8, 0.1]),
    ("level_set", [0.0, 0.0], [-0.5 * LN(4), -0.5 * LN(9)], [0.0, 0.8, 0.9]),
    ("mean", [LN(2), LN(5)], [0.5 * LN(3), 0.5 * LN(3)], [0.3125, 0.25, 0.4375]),
]


@pytest.mark.parametrize(("head", "mask", "sdf", "expected"), BY_HAND)
def test_by_hand(head, mask, sdf, expected):
    predictor = DualTaskPredictor(Fixed(mask, sdf), k=2.0, head=head)
    probabilities = predictor(torch.zeros(2, 1, 3, 4))
    assert probabilities.shape == (2, len(mask) + 1, 3, 4)
    assert torch.allclose(probabilities, torch.tensor(expected).reshape(1, -1, 1, 1).expand_as(probabilities))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("head", HEADS)
def test_half_precision_with_the_published_steepness(head, dtype):
    """1500 z leaves float16 at z = 44; the decision must not."""
    network = Fixed([9.0], [-1.0]).to(dtype)
    probabilities = DualTaskPredictor(network, k=1500.0, head=head)(torch.zeros(1, 1, 2, 2, dtype=dtype))
    assert torch.isfinite(probabilities).all()
    assert (probabilities.argmax(dim=1) == 1).all()


def predictor_of(dims, classes, **options):
    network = DualTaskVNet(dims, 1, classes, filters=2, **options)
    return DualTaskPredictor(network, k=20.0).eval()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("classes", [1, 2])
def test_torchscript_follows_head(dims, classes):
    """``head`` can be set on a loaded module, which then gives what ours gives."""
    predictor = predictor_of(dims, classes, deep_supervision=True)
    stored = io.BytesIO()
    torch.jit.save(torch.jit.script(predictor), stored)
    stored.seek(0)
    loaded = torch.jit.load(stored)
    image = torch.randn(1, 1, *[21, 32, 16][:dims])
    results = []
    for head in HEADS:
        predictor.head = loaded.head = head
        with torch.no_grad():
            results.append(loaded(image))
            assert torch.allclose(results[-1], predictor(image), atol=1e-6)
    assert not torch.allclose(results[0], results[1], atol=1e-3)
    assert torch.allclose(results[2][:, 1:], 0.5 * (results[0] + results[1])[:, 1:], atol=1e-6)


def test_torch_export():
    predictor = predictor_of(2, 2)
    image = torch.randn(1, 1, 21, 32)
    with torch.no_grad():
        exported = torch.export.export(predictor, (image,)).module()
        assert torch.allclose(exported(image), predictor(image), atol=1e-6)


@pytest.mark.parametrize("head", ["sdf", "", "Mask"])
def test_refuses(head):
    with pytest.raises(ValueError, match="head must be one of mask, level_set, mean"):
        DualTaskPredictor(nn.Identity(), k=1500.0, head=head)
