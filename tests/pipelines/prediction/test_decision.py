"""Deciding on all slices at once or one after the other, and cleaning in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import AsDiscreted, Lambdad

from pipelines.prediction.decision import Decision

ARGMAX = AsDiscreted("pred", argmax=True)


def test_in_two_steps_as_in_one():
    probabilities = torch.rand(3, 4, 5, 6)
    decision = Decision([ARGMAX, Lambdad("pred", lambda labels: labels * (labels < 2))])
    assert decision.slice_by_slice
    expected = probabilities.argmax(0).numpy()
    parts = [decision.decide_slices(part) for part in probabilities.split([2, 4], -1)]
    np.testing.assert_array_equal(np.concatenate(parts, -1), expected)
    cleaned = decision.clean(np.concatenate(parts, -1))
    np.testing.assert_array_equal(cleaned, expected * (expected < 2))
    np.testing.assert_array_equal(cleaned, decision.decide(probabilities))
    assert cleaned.dtype == np.uint8


def test_many_classes():
    probabilities = torch.eye(300)[:, :, None]
    assert Decision([ARGMAX]).decide(probabilities).dtype == np.uint16
    assert Decision([ARGMAX]).decide_slices(probabilities)[299, 0] == 299


def test_what_cannot_be_decided_slice_by_slice():
    decision = Decision([Lambdad("pred", lambda probabilities: probabilities), ARGMAX])
    assert not decision.slice_by_slice
    with pytest.raises(ValueError, match="whole volume"):
        decision.decide_slices(torch.rand(2, 3, 3, 3))
