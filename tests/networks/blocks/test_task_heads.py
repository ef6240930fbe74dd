"""The heads: what each kind makes of features, and what a configuration may say of them."""

from __future__ import annotations

import pytest
import torch

from networks.blocks.task_heads import (
    KINDS,
    ClassificationHead,
    HeadSpec,
    MinimumSubtracted,
    begin_undecided,
    dense_head,
    read_heads,
)


def test_what_is_read():
    heads = {"vessel": {"kind": "mask", "out_channels": 2}, "far": {"kind": "distance", "out_channels": 1}}
    assert read_heads(heads) == {"vessel": HeadSpec("mask", 2, False), "far": HeadSpec("distance", 1, False)}
    heads["far"]["minimum_subtracted"] = True
    assert read_heads(heads)["far"].minimum_subtracted


REFUSED = {
    "none": ({}, "at least one head"),
    "name": ({"a.b": {"kind": "mask", "out_channels": 1}}, "a.b cannot be the name"),
    "method": ({"items": {"kind": "mask", "out_channels": 1}}, "items cannot be the name"),
    "unknown": ({"a": {"kind": "mask", "out_channels": 1, "depth": 2}}, "The head a has no option depth"),
    "missing": ({"a": {"kind": "mask"}}, "The head a needs out_channels"),
    "kind": ({"a": {"kind": "masks", "out_channels": 1}}, "must be one of mask, distance, level_set, classification"),
    "channels": ({"a": {"kind": "mask", "out_channels": 0}}, "at least 1, got 0"),
    "minimum": ({"a": {"kind": "mask", "out_channels": 1, "minimum_subtracted": True}}, "is an option of distances"),
}


@pytest.mark.parametrize(("heads", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(heads, message):
    with pytest.raises(ValueError, match=message):
        read_heads(heads)


@pytest.mark.parametrize("dims", [2, 3])
def test_minimum_by_hand(dims):
    """Of each image and channel by itself."""
    x = torch.tensor([[[3.0, -1.0, 5.0], [2.0, 2.0, 2.0]], [[-4.0, -6.0, -5.0], [0.0, 7.0, 1.0]]])
    expected = torch.tensor([[[4.0, 0.0, 6.0], [0.0, 0.0, 0.0]], [[2.0, 0.0, 1.0], [0.0, 7.0, 1.0]]])
    shape = (2, 2, 3, *[1] * (dims - 1))
    torch.testing.assert_close(MinimumSubtracted(dims)(x.reshape(shape)), expected.reshape(shape))


def test_minimum_gradient():
    """That of a voxel, less that of all at the voxel of the minimum."""
    x = torch.tensor([3.0, -1.0, 5.0]).reshape(1, 1, 3, 1).requires_grad_()
    (MinimumSubtracted(2)(x).flatten() * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.flatten().tolist() == [1.0, 10.0 - 111.0, 100.0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", KINDS[:3])
def test_dense_heads(dims, kind):
    features = 3 * torch.randn(2, 4, *[6, 5, 3][:dims])
    head = dense_head(dims, 4, HeadSpec(kind, 2))
    output = head(features)
    convolved = head[0](features)
    assert output.shape == (2, 2, *features.shape[2:])
    torch.testing.assert_close(output, torch.tanh(convolved) if kind == "level_set" else convolved)


def test_a_distance_from_its_minimum():
    output = dense_head(2, 4, HeadSpec("distance", 2, minimum_subtracted=True))(torch.randn(2, 4, 6, 5))
    assert torch.equal(output.amin(dim=(2, 3)), torch.zeros(2, 2))


@pytest.mark.parametrize("dims", [2, 3])
def test_classification_by_hand(dims):
    head = ClassificationHead(dims, 3, 2)
    features = torch.randn(4, 3, *[6, 5, 2][:dims])
    means = features.flatten(2).mean(dim=2)
    torch.testing.assert_close(head(features), means @ head.linear.weight.T + head.linear.bias)


@pytest.mark.parametrize("kind", ["mask", "distance", "level_set"])
@pytest.mark.parametrize("dims", [2, 3])
def test_heads_begin_undecided(dims, kind):
    """Features of one mean give the bias on average, though nearly all weights were drawn above zero."""
    spec = HeadSpec(kind, 2)
    head = dense_head(dims, 8, spec)
    drawn = torch.tensor([0.5, 0.4, 0.7, 0.9, 0.2, -0.6, 0.1, 0.1])
    with torch.no_grad():
        head[0].weight.copy_(drawn.view(1, 8, *[1] * dims).expand_as(head[0].weight))
    begin_undecided(head, spec)
    width = 1.0 if kind == "mask" else 0.1
    expected = (drawn - 0.2875) * width
    for weight in head[0].weight.detach().flatten(1):
        torch.testing.assert_close(weight, expected)
    head[0].bias.data.fill_(0.3)
    features = torch.full((1, 8, *[4] * dims), 0.4)
    plain = head[0](features)
    torch.testing.assert_close(plain, torch.full_like(plain, 0.3))


def test_a_head_of_one_feature_is_left_its_weight():
    head = dense_head(2, 1, HeadSpec("mask", 1))
    before = head[0].weight.detach().clone()
    begin_undecided(head, HeadSpec("mask", 1))
    assert torch.equal(head[0].weight, before)
    assert head[0].weight.abs().sum() > 0
