"""The predictor that a configuration asks for."""

from __future__ import annotations

import pytest
from torch import nn

from networks.nets import DualTaskPredictor, SoftmaxPredictor
from pipelines.prediction.class_predictor import class_predictor, head_of


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
