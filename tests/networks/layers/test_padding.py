"""Padding to a divisor and back, by hand."""

from __future__ import annotations

import pytest
import torch

from networks.layers.padding import crop_back, pad_to_divisor


def test_by_hand():
    """5 + 3 = 8 with 1 zero before and 2 behind; 6 + 2 = 8 with 1 and 1; 4 stays."""
    x = torch.arange(1.0, 121.0).reshape(1, 1, 5, 6, 4)
    padded, before = pad_to_divisor(x, 4)
    assert padded.shape == (1, 1, 8, 8, 4)
    assert before == [1, 1, 0]
    assert torch.equal(padded[..., 1:6, 1:7, :], x)
    assert padded.sum() == x.sum()


@pytest.mark.parametrize("size", [(5, 9), (16, 8), (1, 1), (7, 3, 10)])
@pytest.mark.parametrize("divisor", [1, 2, 8])
def test_there_and_back(size, divisor):
    x = torch.randn(2, 3, *size)
    padded, before = pad_to_divisor(x, divisor)
    assert all(side % divisor == 0 for side in padded.shape[2:])
    assert all(0 <= new - old < divisor for new, old in zip(padded.shape[2:], size, strict=True))
    assert torch.equal(crop_back(padded, x, before), x)
    assert crop_back(padded[:, :1], x, before).shape == (2, 1, *size)
