"""What mask heads share: an implicit background of logit zero, and labels that belong to the logits."""

import pytest
import torch

from networks.layers.class_probabilities import foreground_probabilities
from networks.losses.mask_head import class_labels, class_logits, in_full_precision, one_hot_foreground, sum_per_class


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("size", [(4, 5), (4, 5, 3)])
def test_logits_have_the_probabilities_of_the_house(classes, size):
    logits = torch.randn(2, classes, *size)
    probabilities = torch.softmax(class_logits(logits), dim=1)
    assert torch.allclose(probabilities[:, 1:], foreground_probabilities(logits), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision(given, computed):
    assert class_logits(torch.zeros(1, 1, 2, 2, dtype=given)).dtype == computed
    assert in_full_precision(torch.zeros(1, dtype=given)).dtype == computed


def test_labels_outside_the_field_of_view_are_background():
    target = torch.tensor([1.0, 255.0, 0.0, 2.0]).view(1, 1, 2, 2)
    mask = torch.tensor([1, 0, 1, 0]).view(1, 1, 2, 2)
    labels = class_labels(torch.zeros(1, 1, 2, 2), target, mask)
    assert labels.dtype == torch.long
    assert labels.tolist() == [[[1, 0], [0, 0]]]


@pytest.mark.parametrize("wrong", [2, 255, -1])
def test_refuses_labels_without_a_logit(wrong):
    with pytest.raises(ValueError, match="labels must be 0 to 1"):
        class_labels(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), wrong))


@pytest.mark.parametrize(
    ("logits", "labels", "mask", "message"),
    [
        ((1, 1, 4, 4), (1, 2, 4, 4), None, "want labels"),
        ((1, 1, 4, 4), (1, 1, 4, 5), None, "want labels"),
        ((2, 1, 4, 4), (1, 1, 4, 4), None, "want labels"),
        ((2, 1, 4, 4), (2, 1, 4, 4, 4), None, "want labels"),
        ((2, 1, 4, 4), (2, 4, 4), None, "want labels"),
        ((2, 1), (2, 1), None, "want labels"),
        ((2, 3, 4, 4), (2, 1, 4, 4), (2, 3, 4, 4), "want a mask"),
        ((2, 3, 4, 4), (2, 1, 4, 4), (1, 1, 4, 4), "want a mask"),
    ],
)
def test_refuses_shapes(logits, labels, mask, message):
    with pytest.raises(ValueError, match=message):
        class_labels(torch.zeros(logits), torch.zeros(labels), None if mask is None else torch.ones(mask))


def test_one_hot_leaves_out_the_background():
    hot = one_hot_foreground(torch.tensor([[[0, 1], [2, 2]]]), 3)
    assert hot.tolist() == [[[[0, 1], [0, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]]]


def test_sums_are_over_samples_and_voxels():
    assert sum_per_class(torch.arange(8.0).view(2, 2, 2, 1)).tolist() == [0 + 1 + 4 + 5, 2 + 3 + 6 + 7]
