"""Losses of the implicit background, for networks with a channel of it and labels with voxels to be ignored."""

import pytest
import torch
from torch.nn import functional as F

from networks.losses.background_channel import BackgroundChannelLoss, counted, without_background
from networks.losses.catalogue import NamedLoss
from networks.losses.cross_entropy import CrossEntropyLoss
from networks.losses.mask import MaskLoss


def case(size=(5, 4)):
    labels = torch.randint(0, 4, (2, 1, *size))
    labels[0, 0, 0] = 255
    return torch.randn(2, 4, *size), labels


@pytest.mark.parametrize("size", [(5, 4), (5, 4, 3)])
def test_parity_with_torch(size):
    logits, labels = case(size)
    weights = torch.tensor([1.0, 5, 10, 20])
    expected = F.cross_entropy(logits, labels[:, 0], weight=weights, ignore_index=255)
    loss = BackgroundChannelLoss(CrossEntropyLoss(weights))(logits, labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_reach_the_background_channel():
    logits, labels = case()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    BackgroundChannelLoss(CrossEntropyLoss())(ours, labels).backward()
    F.cross_entropy(theirs, labels[:, 0], ignore_index=255).backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert not ours.grad[0, :, 0].any()


def test_any_loss_of_the_catalogue_can_be_inside():
    logits, labels = case()
    mask = (labels != 255).float()
    expected = MaskLoss()(logits[:, 1:] - logits[:, :1], labels * mask, mask)
    assert BackgroundChannelLoss(NamedLoss("dice"))(logits, labels.float()).item() == pytest.approx(expected.item())


def test_what_counts_is_known_and_in_view():
    logits, labels = torch.zeros(1, 2, 1, 3), torch.tensor([[[[255, 1, 0]]]])
    view = torch.tensor([[[[1, 1, 0]]]])
    assert counted(logits, labels, None, 255).tolist() == [[[[False, True, True]]]]
    assert counted(logits, labels, view, 255).tolist() == [[[[False, True, False]]]]
    assert counted(logits, labels, view, None) is view
    assert counted(logits, labels, None, None) is None


def test_logits_of_extreme_size_in_half_precision_stay_finite():
    logits = torch.tensor([60000.0, -60000.0], dtype=torch.float16).view(1, 2, 1, 1)
    assert without_background(logits).tolist() == [[[[-120000.0]]]]


def test_refusals():
    with pytest.raises(ValueError, match=r"logits must be \(B, K \+ 1, ...\)"):
        BackgroundChannelLoss(MaskLoss())(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="want labels"):
        BackgroundChannelLoss(MaskLoss())(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3))
    with pytest.raises(ValueError, match="labels must be 0 to 1"):
        BackgroundChannelLoss(MaskLoss(), None)(torch.zeros(1, 2, 3, 3), torch.full((1, 1, 3, 3), 255))
