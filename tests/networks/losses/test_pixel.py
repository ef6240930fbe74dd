"""PixelLoss: weighted means, maps, and the field of view, for a derived loss of known values."""

import pytest
import torch

from networks.losses.pixel import PixelLoss, of_each_class, require_weights


class LabelLoss(PixelLoss):
    """A voxel's loss is ten times its label plus its logit, its share one plus the label."""

    def voxels(self, logits, labels):
        return 10.0 * labels + logits[:, 1], 1.0 + labels


LOGITS = torch.tensor([[[[0.5, 0.25]]]])
LABELS = torch.tensor([[[[0, 1]]]])


def test_mean_is_of_losses_over_shares():
    assert LabelLoss()(LOGITS, LABELS).item() == pytest.approx((0.5 + 10.25) / (1 + 2))


def test_map_has_one_channel():
    assert LabelLoss("none")(LOGITS, LABELS).tolist() == [[[[0.5, 10.25]]]]


def test_field_of_view():
    mask = torch.tensor([[[[0, 1]]]])
    assert LabelLoss()(LOGITS, LABELS, mask).item() == pytest.approx(10.25 / 2)
    assert LabelLoss("none")(LOGITS, LABELS, mask).tolist() == [[[[0, 10.25]]]]


def test_nothing_in_view_is_zero():
    logits = LOGITS.clone().requires_grad_()
    loss = LabelLoss()(logits, LABELS, torch.zeros(1, 1, 1, 2))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.tolist() == [[[[0, 0]]]]


def test_refuses_another_reduction():
    with pytest.raises(ValueError, match="reduction must be one of mean, none"):
        LabelLoss("sum")


def test_what_derives_must_say_what_a_voxel_costs():
    with pytest.raises(NotImplementedError):
        PixelLoss()(LOGITS, LABELS)


@pytest.mark.parametrize("numbers", [[-1.0, 1.0], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [[1.0], [2.0]]])
def test_refuses_weights(numbers):
    with pytest.raises(ValueError, match="alpha must be one number per class"):
        require_weights("alpha", torch.tensor(numbers))


def test_weights_are_counted():
    assert of_each_class("alpha", torch.ones(3), 3).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="alpha must have 3 numbers, the background's first, got 2"):
        of_each_class("alpha", torch.ones(2), 3)
