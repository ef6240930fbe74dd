"""CenterlineDiceLoss: against scipy's morphology, by hand, and what it is for."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from networks.losses.centerline_dice import CenterlineDiceLoss

LIMIT = 100.0


def soft_skeleton(x, iterations):
    """The paper's algorithm on one float64 image, with scipy's grey morphology."""
    cross = ndimage.generate_binary_structure(x.ndim, 1)

    def opened(y):
        return ndimage.grey_dilation(
            ndimage.grey_erosion(y, footprint=cross, mode="nearest"), size=(3,) * x.ndim, mode="nearest"
        )

    skeleton = np.maximum(x - opened(x), 0)
    for _ in range(iterations):
        x = ndimage.grey_erosion(x, footprint=cross, mode="nearest")
        left = np.maximum(x - opened(x), 0)
        skeleton = skeleton + np.maximum(left - skeleton * left, 0)
    return skeleton


def reference(logits, labels, iterations, smooth=1.0):
    exponentials = np.exp(np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1).astype(np.float64))
    p = exponentials / exponentials.sum(1, keepdims=True)
    losses = []
    for sample in range(len(logits)):
        for index in range(1, p.shape[1]):
            mine, label = p[sample, index], (labels[sample, 0] == index).astype(np.float64)
            s_p, s_g = soft_skeleton(mine, iterations), soft_skeleton(label, iterations)
            precision = ((s_p * label).sum() + smooth) / (s_p.sum() + smooth)
            recall = ((s_g * mine).sum() + smooth) / (s_g.sum() + smooth)
            losses.append(1 - 2 * precision * recall / (precision + recall))
    return np.mean(losses)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("size", [(13, 11), (9, 8, 7)])
@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_parity_with_scipy(classes, size, iterations):
    logits, labels = 2 * torch.randn(2, classes, *size), torch.zeros(2, 1, *size, dtype=torch.long)
    labels[:, :, 2:7, 3:6], labels[:, :, :, :2] = 1, classes
    loss = CenterlineDiceLoss(iterations)(logits, labels)
    assert loss.item() == pytest.approx(reference(logits.numpy(), labels.numpy(), iterations), abs=1e-5)


def line(broken=()):
    """(1, 1, 7, 12): a horizontal vessel three voxels thick, without the columns in ``broken``."""
    label = torch.zeros(1, 1, 7, 12)
    label[:, :, 2:5] = 1
    for column in broken:
        label[..., column] = 0
    return label


def logits_of(label):
    return LIMIT * (2 * label - 1)


def test_by_hand():
    """The centre line of a full-width bar is its middle row, 12 voxels. Of the broken one's prediction: all lies in
    the label, and 11 of the 12 are found."""
    assert CenterlineDiceLoss()(logits_of(line()), line()).item() == pytest.approx(0, abs=1e-6)
    recall = (11 + 1) / (12 + 1)
    expected = 1 - 2 * recall / (1 + recall)
    assert CenterlineDiceLoss()(logits_of(line(broken=[6])), line()).item() == pytest.approx(expected, abs=1e-6)


def test_a_break_counts_and_thickness_does_not():
    thin = line()
    thin[:, :, 2] = thin[:, :, 4] = 0
    loss = CenterlineDiceLoss()
    assert loss(logits_of(thin), line()).item() == pytest.approx(0, abs=1e-6)
    assert loss(logits_of(line(broken=[6])), line()) > 0.01


@pytest.mark.parametrize(("label", "predicted", "expected"), [(0, 0, 0.0), (1, 1, 0.0)])
def test_empty_and_full(label, predicted, expected):
    labels = torch.full((1, 1, 8, 8), label)
    logits = logits_of(torch.full((1, 1, 8, 8), float(predicted)))
    assert CenterlineDiceLoss()(logits, labels).item() == pytest.approx(expected, abs=1e-6)


def test_what_lies_outside_the_field_of_view_is_no_vessel():
    mask = torch.zeros(1, 1, 7, 12)
    mask[..., :6] = 1
    broken = CenterlineDiceLoss()(logits_of(line(broken=[9])), line(), mask)
    assert broken.item() == pytest.approx(0, abs=1e-6)
    assert CenterlineDiceLoss()(logits_of(line(broken=[3])), line(), mask) > 0.01


@pytest.mark.parametrize("options", [{"iterations": -1}, {"smooth": 0.0}])
def test_refuses_options(options):
    with pytest.raises(ValueError, match="iterations must not be negative and smooth be positive"):
        CenterlineDiceLoss(**options)
