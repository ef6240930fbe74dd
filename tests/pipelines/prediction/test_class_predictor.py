"""The predictor that a configuration asks for."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from networks.nets import (
    DualTaskPredictor,
    DualTaskVNet,
    MultiTaskPredictor,
    MultiTaskUNet,
    SlicePredictor,
    SoftmaxPredictor,
)
from pipelines.prediction.class_predictor import choose_head, class_predictor, head_of, level_set_of
from tests.pipelines.prediction.slice_networks import slice_predictor
from transforms.io.input_error import InputError

HEADS = {"vessel": {"kind": "mask", "out_channels": 2}, "sdf": {"kind": "level_set", "out_channels": 2}}


@pytest.mark.parametrize("config", [{}, {"head": None}, {"head": "softmax"}, {"head": "softmax", "k": 3.0}], ids=str)
def test_one_head(config):
    assert head_of(config) == "softmax"
    assert type(class_predictor(nn.Identity(), config)) is SoftmaxPredictor


@pytest.mark.parametrize("head", ["mask", "level_set", "mean"])
def test_two_heads(head):
    predictor = class_predictor(nn.Identity(), {"head": head, "k": 20})
    assert isinstance(predictor, DualTaskPredictor)
    assert (predictor.head, predictor.k) == (head, 20.0)


def test_a_head_that_there_is_not():
    with pytest.raises(ValueError, match="head must be one of mask, level_set, mean, got tail"):
        class_predictor(nn.Identity(), {"head": "tail", "k": 1.0})
    with pytest.raises(KeyError):
        class_predictor(nn.Identity(), {"head": "mask"})


def multi_task(head="vessel", heads=HEADS, **config):
    return class_predictor(MultiTaskUNet(2, 1, heads, filters=2, depth=1), {"head": head, **config}).eval()


def compiled(predictor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(predictor)


@pytest.mark.parametrize("head", ["vessel", "mask", "sdf", "level_set", "mean"])
def test_named_heads(head):
    predictor = multi_task(head, k=20)
    assert isinstance(predictor, MultiTaskPredictor)
    assert (predictor.head, predictor.k, multi_task(head).k) == (head, 20.0, 1500.0)


def test_a_head_that_a_multi_task_network_has_not():
    with pytest.raises(ValueError, match="head must be one of vessel, sdf, mask, level_set, mean, got softmax"):
        class_predictor(MultiTaskUNet(2, 1, HEADS, filters=2, depth=1), {})


def test_slices():
    network = slice_predictor(neighbours=2).network
    predictor = class_predictor(network, {"head": "slices", "neighbours": 2, "slice_axis": 0, "slices_at_once": 3})
    assert isinstance(predictor, SlicePredictor)
    assert (predictor.neighbours, predictor.axis, predictor.slices_at_once, predictor.spatial_dims) == (2, 2, 3, 3)
    assert class_predictor(network, {"head": "slices", "neighbours": 2, "spatial_dims": 2}).spatial_dims == 2
    assert level_set_of(predictor) is None
    with pytest.raises(KeyError):
        class_predictor(network, {"head": "slices"})


@pytest.mark.parametrize("form", [lambda predictor: predictor, compiled], ids=["source", "exported"])
def test_choosing_a_head(form):
    predictor = form(multi_task())
    choose_head(predictor, "level_set", Path("run"))
    assert predictor.head == "level_set"
    with pytest.raises(InputError, match="--head: the network of run has vessel, sdf, mask, level_set, mean, not tail"):
        choose_head(predictor, "tail", Path("run"))
    choose_head(DualTaskPredictor(nn.Identity(), k=1.0), "mean", Path("run"))
    with pytest.raises(InputError, match="--head: the network of run has no choice of heads"):
        choose_head(form(SoftmaxPredictor(nn.Identity())), "mask", Path("run"))


@pytest.mark.parametrize("form", [lambda predictor: predictor, compiled], ids=["source", "exported"])
def test_level_sets(form):
    image = torch.randn(1, 1, 8, 8)
    several = multi_task()
    assert torch.equal(level_set_of(form(several))(image), several.network(image)["sdf"])
    two = DualTaskPredictor(DualTaskVNet(2, 1, 1, filters=1), k=1.0).eval()
    assert torch.equal(level_set_of(form(two))(image), two.network(image).sdf)
    assert level_set_of(form(multi_task(heads={"vessel": HEADS["vessel"]}))) is None
    assert level_set_of(form(SoftmaxPredictor(nn.Identity()))) is None
    assert level_set_of(form(nn.Conv2d(1, 2, 1))) is None
