"""MultiTaskPredictor: each head by hand, what may be chosen, and what is exported."""

from __future__ import annotations

import io
import math
import warnings

import pytest
import torch
from torch import nn

from networks.nets import MultiTaskPredictor, MultiTaskUNet

LN = math.log


class Fixed(nn.Module):
    """Say the same of every voxel."""

    def __init__(self, kinds, values):
        super().__init__()
        self.kinds = kinds
        self.values = {name: torch.tensor(value).reshape(1, -1, 1, 1) for name, value in values.items()}
        self.out_channels = {name: len(value) for name, value in values.items()}
        self.asked = []

    def forward(self, x, heads=None):
        self.asked.append(heads)
        return {name: self.values[name].expand(len(x), -1, *x.shape[2:]) for name in heads}


KINDS = {"vessel": "mask", "sdf": "level_set", "far": "distance", "ill": "classification"}
# head, mask logits, level set, probabilities with the background first; k = 2.
BY_HAND = [
    ("vessel", [LN(3)], [0.0], [0.25, 0.75]),
    ("mask", [LN(2), LN(5)], [0.0, 0.0], [0.125, 0.25, 0.625]),
    ("sdf", [0.0], [-0.5 * LN(4)], [0.2, 0.8]),
    ("level_set", [0.0, 0.0], [-0.5 * LN(4), 0.5 * LN(9)], [0.1, 0.8, 0.1]),
    ("mean", [LN(3)], [0.0], [0.375, 0.625]),
    ("mean", [LN(2), LN(5)], [0.5 * LN(3), 0.5 * LN(3)], [0.3125, 0.25, 0.4375]),
]


@pytest.mark.parametrize(("head", "mask", "level_set", "expected"), BY_HAND)
def test_by_hand(head, mask, level_set, expected):
    network = Fixed(KINDS, {"vessel": mask, "sdf": level_set, "far": [1.0], "ill": [1.0]})
    probabilities = MultiTaskPredictor(network, head, k=2.0)(torch.zeros(2, 1, 3, 4))
    assert probabilities.shape == (2, len(mask) + 1, 3, 4)
    assert torch.allclose(probabilities, torch.tensor(expected).reshape(1, -1, 1, 1).expand_as(probabilities))
    read = {"mean": ["vessel", "sdf"], "vessel": ["vessel"], "mask": ["vessel"]}
    assert network.asked == [read.get(head, ["sdf"])]


CHOICES = {
    "one": ({"a": "mask", "b": "distance"}, {}, {"a": ["a"], "mask": ["a"]}),
    "two masks": ({"a": "mask", "b": "mask", "mask": "distance"}, {}, {"a": ["a"], "b": ["b"]}),
    "named mask": ({"mask": "mask", "b": "mask"}, {}, {"mask": ["mask"], "b": ["b"]}),
    "channels": (
        {"a": "mask", "b": "level_set"},
        {"b": 3},
        {"a": ["a"], "b": ["b"], "mask": ["a"], "level_set": ["b"]},
    ),
    "both": (
        {"mask": "mask", "sdf": "level_set"},
        {},
        {"mask": ["mask"], "sdf": ["sdf"], "level_set": ["sdf"], "mean": ["mask", "sdf"]},
    ),
}


@pytest.mark.parametrize(("kinds", "channels", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_choices(kinds, channels, expected):
    network = Fixed(kinds, {name: [0.0] * channels.get(name, 1) for name in kinds})
    assert MultiTaskPredictor(network, next(iter(expected))).choices == expected


@pytest.mark.parametrize(
    ("head", "kinds", "message"),
    [
        ("tail", {"a": "mask"}, "head must be one of a, mask, got tail"),
        ("b", {"a": "mask", "b": "distance"}, "head must be one of a, mask, got b"),
        ("mean", {"a": "level_set"}, "head must be one of a, level_set, got mean"),
        ("a", {"a": "distance"}, "no head of the kind mask or level_set"),
    ],
)
def test_refuses(head, kinds, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskPredictor(Fixed(kinds, {name: [0.0] for name in kinds}), head)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("classes", [1, 2])
def test_torchscript_follows_head(dims, classes):
    heads = {
        "vessel": {"kind": "mask", "out_channels": classes},
        "far": {"kind": "distance", "out_channels": 1},
        "sdf": {"kind": "level_set", "out_channels": classes},
    }
    network = MultiTaskUNet(dims, 1, heads, filters=2, depth=2, decoders="separate", dropout=0.2, attention=True)
    predictor = MultiTaskPredictor(network, "vessel", k=20.0).eval()
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(predictor), stored)
        stored.seek(0)
        loaded = torch.jit.load(stored)
    image = torch.randn(2, 1, *[9, 14, 7][:dims])
    results = {}
    assert loaded.choices == predictor.choices
    with torch.no_grad():
        for head in predictor.choices:
            predictor.head = loaded.head = head
            results[head] = loaded(image)
            assert torch.allclose(results[head], predictor(image), atol=1e-6)
    assert torch.equal(results["vessel"], results["mask"])
    assert not torch.allclose(results["mask"], results["sdf"], atol=1e-3)
    assert torch.allclose(results["mean"][:, 1:], 0.5 * (results["mask"] + results["sdf"])[:, 1:], atol=1e-6)


def test_torch_export():
    network = MultiTaskUNet(2, 1, {"vessel": {"kind": "mask", "out_channels": 2}}, filters=2, depth=2)
    predictor, image = MultiTaskPredictor(network, "vessel").eval(), torch.randn(1, 1, 9, 14)
    with torch.no_grad():
        exported = torch.export.export(predictor, (image,)).module()
        assert torch.allclose(exported(image), predictor(image), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("head", ["mask", "level_set", "mean"])
def test_half_precision_with_the_published_steepness(head, dtype):
    """1500 z leaves float16 at z = 44; the decision must not."""
    network = Fixed({"mask": "mask", "sdf": "level_set"}, {"mask": [9.0], "sdf": [-1.0]})
    network.values = {name: value.to(dtype) for name, value in network.values.items()}
    probabilities = MultiTaskPredictor(network, head)(torch.zeros(1, 1, 2, 2, dtype=dtype))
    assert torch.isfinite(probabilities).all()
    assert (probabilities.argmax(dim=1) == 1).all()
