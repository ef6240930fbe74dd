"""DataParameterLoss: numbers by hand, an independent sum in NumPy, and where gradients go."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from networks.losses.data_parameter import DataParameterLoss, sample_cross_entropy

LN3 = math.log(3.0)
# Two samples of two voxels; logits (0, ln 3) give the classes the probabilities 1/4 and 3/4.
LOGITS = torch.tensor([[[0.0, 0.0], [LN3, LN3]], [[0.0, LN3], [LN3, 0.0]]])[:, :, None]  # (B, K, 1, N)
LABEL = torch.tensor([[1.0, 1.0], [0.0, 0.0]])[:, None, None]
# Sample 0: both voxels have p = 3/4. Sample 1: p(0) = 1/4 and 3/4.
CE = (-math.log(0.75), -(math.log(0.25) + math.log(0.75)) / 2)
PARAMETERS = torch.tensor([LN3, -LN3])  # sigmoid 3/4 and 1/4: weights 1.5 and 0.5 of their mean
FIXED = (math.log(2 + math.e) + math.e, 1.0 + math.e)


def test_each_samples_cross_entropy_by_hand():
    assert sample_cross_entropy(LOGITS, LABEL).tolist() == pytest.approx(CE)


@pytest.mark.parametrize(
    ("fixed", "risk", "expected"),
    [
        (False, False, 1.5 * CE[0] + 0.5 * CE[1]),
        (True, False, 1.5 / FIXED[0] * CE[0] + 0.5 / FIXED[1] * CE[1]),
        # Sample 0 is called foreground in both voxels, sample 1 in one of two.
        (False, True, 1.5 * (CE[0] - 1.0) + 0.5 * (CE[1] - 0.5)),
        (True, True, 1.5 / FIXED[0] * (CE[0] - 1.0) + 0.5 / FIXED[1] * (CE[1] - 0.5)),
    ],
)
def test_by_hand(fixed, risk, expected):
    assert DataParameterLoss(fixed, risk)(LOGITS, LABEL, PARAMETERS).item() == pytest.approx(expected, rel=1e-6)


def test_the_published_form_is_the_default():
    both = DataParameterLoss(True, True)(LOGITS, LABEL, PARAMETERS)
    assert torch.equal(DataParameterLoss()(LOGITS, LABEL, PARAMETERS), both)


@pytest.mark.parametrize("size", [(6, 5), (4, 5, 3)])
def test_against_numpy(size):
    random = np.random.default_rng(0)
    logits, label = random.normal(size=(3, 4, *size)), random.integers(0, 4, (3, 1, *size))
    label[2] = 0
    s = random.normal(size=3)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    w = 1 / (1 + np.exp(-s))
    w = w / w.mean()
    expected = 0.0
    for b in range(3):
        w[b] /= math.log((label[b] > 0).sum() + math.e) + math.e
        fit = -np.log(np.take_along_axis(p[b], label[b], axis=0)).mean()
        expected += w[b] * (fit - (logits[b].argmax(0) > 0).mean())
    found = DataParameterLoss()(torch.tensor(logits), torch.tensor(label), torch.tensor(s))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_parameter_of_the_worse_label_falls():
    parameters = torch.zeros(2, requires_grad=True)
    DataParameterLoss(False, False)(LOGITS, LABEL, parameters).backward()
    assert parameters.grad is not None
    # d/ds_0 of the two weights at s = 0: 1/4 and -1/4 of the difference of the cross entropies.
    expected = 0.25 * (CE[0] - CE[1])
    assert parameters.grad.tolist() == pytest.approx([expected, -expected], rel=1e-5)
    assert expected < 0  # so that descent raises the first, which is fitted well


def test_the_count_of_risk_regularisation_has_no_gradient():
    gradients = []
    for risk in (False, True):
        logits = LOGITS.clone().requires_grad_()
        DataParameterLoss(True, risk)(logits, LABEL, PARAMETERS).backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)


def test_one_sample_alone_teaches_nothing_of_its_label():
    parameters = torch.zeros(1, requires_grad=True)
    DataParameterLoss()(LOGITS[:1], LABEL[:1], parameters).backward()
    assert parameters.grad is not None
    assert parameters.grad.item() == pytest.approx(0.0, abs=1e-7)


def test_half_precision_is_summed_in_single():
    loss = DataParameterLoss()(LOGITS.half(), LABEL, PARAMETERS.half())
    assert loss.dtype == torch.float32


def test_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match="target must have shape"):
        DataParameterLoss()(LOGITS, LABEL[:, 0], PARAMETERS)
    with pytest.raises(ValueError, match="parameters must have shape"):
        DataParameterLoss()(LOGITS, LABEL, PARAMETERS[:1])
