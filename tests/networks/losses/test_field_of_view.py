"""Means within a field of view."""

import pytest
import torch

from networks.losses.field_of_view import field_mean, field_size, within_field

VALUES = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # (1, 2, 1, 2)
MASK = torch.tensor([[[[0.5, 0.0]]]])  # the first voxel, of both channels


def test_by_hand():
    assert within_field(VALUES, MASK).tolist() == [[[[1, 0]], [[3, 0]]]]
    assert field_mean(VALUES, MASK).item() == 2.0
    assert field_size(VALUES, MASK).item() == 2
    assert field_mean(VALUES).item() == 2.5
    assert field_size(VALUES).item() == 4


def test_nothing_outside_counts_not_even_nan():
    assert field_mean(torch.tensor([[[[1.0, float("nan")]]]]), MASK).item() == 1.0


def test_an_empty_field_is_zero_with_a_gradient_of_zeros():
    values = VALUES.clone().requires_grad_()
    mean = field_mean(values, torch.zeros(1, 1, 1, 2))
    mean.backward()
    assert mean.item() == 0.0
    assert values.grad.tolist() == torch.zeros_like(VALUES).tolist()


def test_refuses_a_mask_of_another_size():
    with pytest.raises(ValueError, match=r"want a mask \(B, 1, ...\)"):
        field_mean(VALUES, torch.ones(1, 2, 1, 2))
