"""FocalLoss: by hand, against MONAI, the true gradient, and powers below one."""

import math

import monai.losses
import pytest
import torch

from networks.losses.cross_entropy import CrossEntropyLoss
from networks.losses.focal import FocalLoss

LN3 = math.log(3)
GAMMAS = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("label", "gamma", "alpha", "expected"),
    [
        (1, 2.0, None, -((1 / 4) ** 2) * math.log(3 / 4)),
        (0, 2.0, None, -((3 / 4) ** 2) * math.log(1 / 4)),
        (1, 2.0, 0.25, -0.25 * (1 / 4) ** 2 * math.log(3 / 4)),
        (0, 2.0, 0.25, -0.75 * (3 / 4) ** 2 * math.log(1 / 4)),
        (1, 0.5, [1.0, 2.0], -2 * (1 / 4) ** 0.5 * math.log(3 / 4)),
        (1, 5.0, None, -((1 / 4) ** 5) * math.log(3 / 4)),
    ],
)
def test_by_hand(label, gamma, alpha, expected):
    loss = FocalLoss(gamma, alpha)(torch.full((1, 1, 1, 1), LN3), torch.full((1, 1, 1, 1), label))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("size", [(6, 5), (6, 5, 4)])
def test_parity_with_monai_for_one_class(gamma, alpha, size):
    logits, labels = 3 * torch.randn(2, 1, *size), torch.randint(0, 2, (2, 1, *size))
    expected = monai.losses.FocalLoss(gamma=gamma, alpha=alpha)(logits, labels.float())
    assert FocalLoss(gamma, alpha)(logits, labels).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [None, 0.25, [0.1, 0.2, 0.3, 0.4]])
def test_parity_with_monai_for_several_classes(gamma, alpha):
    logits, labels = 3 * torch.randn(2, 3, 6, 5), torch.randint(0, 4, (2, 1, 6, 5))
    theirs = monai.losses.FocalLoss(gamma=gamma, alpha=alpha, use_softmax=True, to_onehot_y=True, reduction="none")
    expected = theirs(torch.cat([torch.zeros(2, 1, 6, 5), logits], dim=1), labels).sum(1).mean()
    assert FocalLoss(gamma, alpha)(logits, labels).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_with_gamma_zero_it_is_the_cross_entropy(classes):
    logits, labels = torch.randn(2, classes, 6, 5), torch.randint(0, classes + 1, (2, 1, 6, 5))
    for reduction in ("mean", "none"):
        assert torch.equal(
            FocalLoss(0.0, reduction=reduction)(logits, labels), CrossEntropyLoss(reduction=reduction)(logits, labels)
        )


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("label", [0, 1])
def test_gradient_is_the_true_one(gamma, label):
    """With the factor ``(1 - p)^gamma`` held fixed it would be ``-(1 - p)^(gamma + 1)``: up to six times smaller."""
    x = torch.linspace(-6, 6, 25).double().requires_grad_()
    losses = FocalLoss(gamma, reduction="none")(x.view(1, 1, 5, 5), torch.full((1, 1, 5, 5), label))
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    p = torch.sigmoid(x.detach() if label else -x.detach())
    expected = (1 - p) ** gamma * (gamma * p * p.log() - (1 - p))
    assert torch.allclose(gradient, expected if label else -expected, atol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("classes", [1, 3])
def test_gradcheck(gamma, classes):
    logits = torch.randn(2, classes, 3, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, classes + 1, (2, 1, 3, 2))
    assert torch.autograd.gradcheck(lambda x: FocalLoss(gamma, 0.25)(x, labels), (logits,))


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("magnitude", [20.0, 100.0, 60000.0])
@pytest.mark.parametrize("classes", [1, 3])
def test_finite_where_probabilities_saturate(gamma, magnitude, classes):
    """Where 1 - p is zero in float32, the power of 1 - p computed from p has an infinite slope below one."""
    logits = torch.full((1, classes, 2, 2), -magnitude)
    logits[:, 0, 0] = magnitude
    logits.requires_grad_()
    losses = FocalLoss(gamma, reduction="none")(logits, torch.tensor([[[[1, 0], [1, 0]]]]))
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()
    assert losses[0, 0, 0, 1].item() == pytest.approx(magnitude)  # sure of the wrong class: -log p
    assert losses[0, 0, 0, 0].item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma must not be negative"),
        ({"gamma": float("nan")}, "gamma must not be negative"),
        ({"alpha": 1.5}, "alpha must be within 0 and 1"),
        ({"alpha": [-1.0, 1.0]}, "alpha must be one number per class"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        FocalLoss(**options)


def test_refuses_alphas_of_another_number_of_classes():
    with pytest.raises(ValueError, match="alpha must have 2 numbers, the background's first, got 3"):
        FocalLoss(alpha=[1, 2, 3])(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
