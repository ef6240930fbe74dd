"""ClassEntropy: by hand and against scipy, its ends, and the kinds of arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.stats import entropy

from transforms.class_entropy import ClassEntropy, ClassEntropyd

# Probabilities of one voxel, and the entropy over ln C.
BY_HAND = [
    ([1.0, 0.0], 0.0),
    ([0.5, 0.5], 1.0),
    ([0.75, 0.25], (0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(2)),
    ([0.5, 0.25, 0.25], 1.5 * math.log(2) / math.log(3)),
    ([0.25, 0.25, 0.25, 0.25], 1.0),
    ([0.0, 0.8, 0.8], math.log(2) / math.log(3)),  # overlapping level sets
    ([0.0, 0.0, 0.0], 1.0),
    ([1.0, -1e-7], 0.0),
]


@pytest.mark.parametrize(("probabilities", "expected"), BY_HAND)
def test_by_hand(probabilities, expected):
    result = ClassEntropy()(np.array(probabilities, np.float32).reshape(-1, 1, 1))
    assert result.shape == (1, 1, 1)
    assert result.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_against_scipy(classes):
    probabilities = np.random.default_rng(0).dirichlet([0.3] * classes, (5, 6)).transpose(2, 0, 1)
    result = ClassEntropy()(probabilities)
    np.testing.assert_allclose(result[0], entropy(probabilities, axis=0) / np.log(classes), atol=1e-5)
    assert 0 <= result.min() <= result.max() <= 1


KINDS = [
    np.full((2, 4, 4), 0.5, np.float64),
    torch.full((2, 4, 4, 3), 0.5).half(),
    MetaTensor(torch.full((3, 4, 4, 3), 1 / 3), affine=np.diag([1.0, 2, 3, 1])),
]


@pytest.mark.parametrize("probabilities", KINDS, ids=["numpy", "torch", "meta"])
def test_same_kind_out(probabilities):
    result = ClassEntropy()(probabilities)
    assert type(result) is type(probabilities)
    assert result.dtype in (np.float32, torch.float32)
    assert result.shape == (1, *probabilities.shape[1:])
    if isinstance(probabilities, MetaTensor):
        assert torch.equal(result.affine, probabilities.affine)


def test_dictionary():
    data = {"pred": torch.full((2, 3, 3), 0.5), "label": 1}
    result = ClassEntropyd("pred")(data)
    assert torch.equal(result["pred"], torch.ones(1, 3, 3))
    assert result["label"] == 1
    assert data["pred"].shape == (2, 3, 3)
    assert ClassEntropyd("other", allow_missing_keys=True)(data) == data


def test_one_channel_is_refused():
    with pytest.raises(ValueError, match="at least 2 channels, got 1"):
        ClassEntropy()(np.zeros((1, 4, 4)))
