"""ExponentialLogarithmicLoss (Wong et al.): by hand, against numpy, weights of the batch, and limits."""

import math

import numpy as np
import pytest
import torch

from networks.losses.exponential_logarithmic import ExponentialLogarithmicLoss, frequency_weights
from networks.losses.exponential_logarithmic_dice import ExponentialLogarithmicDiceLoss
from tests.networks.losses.numpy_dice import explog_cross_entropy, explog_dice

LN3 = math.log(3)
LOGITS = torch.tensor([[0, LN3, LN3, 0], [LN3, 0, 0, LN3]], dtype=torch.float64)[None, :, None]
LABELS = torch.tensor([1, 0, 0, 0])[None, None, None]


def test_by_hand():
    # p = (3/4, 1/4, 1/4, 3/4), g = (1, 0, 0, 0): D = 1.5 / 3. Own probabilities 3/4, 3/4, 3/4, 1/4; the weights of the
    # batch are (4/3)^0.5 of the background's three voxels and 4^0.5 = 2 of the other.
    sure, unsure = math.log(4 / 3) ** 0.3, math.log(4) ** 0.3
    cross_entropy = (2 * sure + math.sqrt(4 / 3) * (2 * sure + unsure)) / 4
    expected = 0.8 * math.log(2) ** 0.3 + 0.2 * cross_entropy
    assert ExponentialLogarithmicLoss(epsilon=1e-12)(LOGITS, LABELS).item() == pytest.approx(expected, abs=1e-7)


def test_given_weights_and_another_power_by_hand():
    cross_entropy = (7 * math.log(4 / 3) + 3 * (2 * math.log(4 / 3) + math.log(4))) / 4
    loss = ExponentialLogarithmicLoss(0.0, 1.0, cross_entropy_gamma=1.0, label_weights=[3, 7])
    assert loss(LOGITS, LABELS).item() == pytest.approx(cross_entropy, rel=1e-9)


def test_without_cross_entropy_it_is_the_dice_loss():
    other = ExponentialLogarithmicDiceLoss(0.3)(LOGITS, LABELS).item()
    assert ExponentialLogarithmicLoss(0.5, 0.0)(LOGITS, LABELS).item() == pytest.approx(0.5 * other)


@pytest.mark.parametrize("size", [(7, 6), (7, 6, 3)])
@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 10.0, 20.0]])
def test_parity_with_numpy(size, weights):
    rng = np.random.default_rng(6)
    logits, target = 2 * rng.normal(size=(2, 4, *size)), rng.choice([0, 0, 0, 1, 3, 255], size=(2, 1, *size))
    counts = np.array([(target == index).sum() for index in range(4)])
    of_batch = [(counts.sum() / count) ** 0.5 if count else 0.0 for count in counts]
    dice = explog_dice(logits, target, 0.3, 1e-5)
    cross_entropy = explog_cross_entropy(logits, target, 0.3, weights or of_batch)
    loss = ExponentialLogarithmicLoss(label_weights=weights)
    found = loss(torch.from_numpy(logits).float(), torch.from_numpy(target))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(0.8 * dice + 0.2 * cross_entropy, rel=1e-6)
    alone = torch.from_numpy(logits[:, 1:] - logits[:, :1])
    implicit = ExponentialLogarithmicLoss(label_weights=weights, background_channel=False)
    assert implicit(alone, torch.from_numpy(target)).item() == pytest.approx(found.item(), rel=1e-6)


def test_gradcheck():
    logits = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 3, 255]).repeat(6).view(2, 1, 3, 4)
    assert torch.autograd.gradcheck(lambda x: ExponentialLogarithmicLoss()(x, target), (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sure", [100.0, -100.0])
def test_extreme_logits_are_finite(dtype, sure):
    target = torch.tensor([0, 1, 2, 255]).repeat(4).view(1, 1, 4, 4)
    logits = torch.full((1, 4, 4, 4), -sure).scatter_(1, target.clamp(max=2), sure).to(dtype).requires_grad_()
    loss = ExponentialLogarithmicLoss()(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert loss.item() == 0.0 if sure > 0 else loss.item() > 1


@pytest.mark.parametrize("fill", [0, 255])
def test_no_class_and_no_voxel(fill):
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    loss = ExponentialLogarithmicLoss()(logits, torch.full((1, 1, 3, 3), fill))
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    if fill == 255:
        assert loss.item() == 0.0
        assert not logits.grad.any()
    else:
        assert loss.item() > 0  # the cross entropy of the background remains


def test_frequency_weights_by_hand():
    assert frequency_weights([900, 100]).tolist() == pytest.approx([math.sqrt(10 / 9), math.sqrt(10)])
    assert frequency_weights([75, 0, 25], 1.0).tolist() == pytest.approx([4 / 3, 0, 4])
    assert frequency_weights([0, 0]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dice_weight": -1.0}, "Weights must not be negative"),
        ({"dice_weight": 0.0, "cross_entropy_weight": 0.0}, "not both zero"),
        ({"gamma": 0.0}, "gamma must be positive"),
        ({"cross_entropy_gamma": -1.0}, "cross_entropy_gamma must be positive, got -1.0"),
        ({"label_weights": [1.0, -1.0]}, "label_weights must be one number per class"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExponentialLogarithmicLoss(**arguments)


def test_refuses_another_number_of_weights():
    with pytest.raises(ValueError, match="label_weights must have 2 numbers, the background's first, got 3"):
        ExponentialLogarithmicLoss(label_weights=[1, 2, 3])(LOGITS, LABELS)
