"""Calibration against numbers by hand and against MONAI's binning of one image."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics.calibration import ReliabilityBins, compute_brier, compute_reliability


def test_errors_by_hand() -> None:
    # Bins [0, .5) and [.5, 1]: two at .2 and .4 of which one came true, three at .5, .8, 1 of which two did.
    bins = compute_reliability([0.2, 0.4, 0.5, 0.8, 1.0], [0, 1, 0, 1, 1], bins=2)
    assert bins.counts.tolist() == [2, 3]
    assert bins.confidence == pytest.approx([0.3, 2.3 / 3])
    assert bins.frequency == pytest.approx([0.5, 2 / 3])
    assert bins.expected_error == pytest.approx((2 * 0.2 + 3 * 0.1) / 5)
    assert bins.average_error == pytest.approx((0.2 + 0.1) / 2)
    assert bins.largest_error == pytest.approx(0.2)


def test_bins_of_two_images_add_up_to_those_of_both() -> None:
    draw = np.random.default_rng(0)
    confidence, truth = draw.random((2, 500)), draw.random((2, 500)) < 0.5
    whole = compute_reliability(confidence, truth)
    added = compute_reliability(confidence[0], truth[0]) + compute_reliability(confidence[1], truth[1])
    assert (whole.counts == added.counts).all()
    assert whole.to_sums() == pytest.approx(added.to_sums())
    assert ReliabilityBins.from_sums(whole.to_sums()).expected_error == whole.expected_error


def test_calibrated_predictions_have_no_error() -> None:
    draw = np.random.default_rng(1)
    confidence = draw.random(400_000)
    bins = compute_reliability(confidence, draw.random(400_000) < confidence)
    assert bins.expected_error == pytest.approx(0, abs=4e-3)
    sure = compute_reliability(confidence**0.25, draw.random(400_000) < confidence)  # too sure of itself
    assert (sure.expected_error or 0) > 0.25


def test_the_same_as_monai_for_one_image() -> None:
    import torch
    from monai.metrics.calibration import calibration_binning

    draw = torch.Generator().manual_seed(0)
    predicted = torch.rand(1, 1, 40, 50, generator=draw)
    truth = (torch.rand(1, 1, 40, 50, generator=draw) < predicted).float()
    confidence, frequency, counts = calibration_binning(predicted, truth, num_bins=10)
    bins = compute_reliability(predicted, truth, bins=10)
    assert bins.counts.tolist() == counts[0, 0].tolist()
    assert bins.confidence == pytest.approx(confidence[0, 0].numpy(), rel=1e-5)
    assert bins.frequency == pytest.approx(frequency[0, 0].numpy(), rel=1e-5)


def test_empty_bins_are_told_as_none() -> None:
    told = compute_reliability([0.05, 1.0], [1, 1], bins=3).to_json()
    assert told == {"counts": [1, 0, 1], "confidence": [0.05, None, 1.0], "frequency": [1.0, None, 1.0]}
    nothing = compute_reliability([], [])
    assert (nothing.expected_error, nothing.average_error, nothing.largest_error) == (None, None, None)


@pytest.mark.parametrize(
    ("confidence", "truth", "bins"), [([0.5], [1, 0], 2), ([1.5], [1], 2), ([np.nan], [1], 2), ([0.5], [1], 0)]
)
def test_what_is_refused(confidence, truth, bins) -> None:
    with pytest.raises(ValueError, match=r"do not fit|must lie in"):
        compute_reliability(confidence, truth, bins)


def test_brier_by_hand() -> None:
    # (.2, .8) for class 1: .04 + .04; (.7, .3) for class 1: .49 + .49; over both .53.
    assert compute_brier([[0.2, 0.7], [0.8, 0.3]], [1, 1]) == pytest.approx((0.08 + 0.98) / 2)
    assert compute_brier([[[0.5]], [[0.25]], [[0.25]]], [[2]]) == pytest.approx(0.25 + 0.0625 + 0.5625)
    assert compute_brier(np.zeros((2, 0)), np.zeros(0)) is None
    with pytest.raises(ValueError, match="want labels"):
        compute_brier([[0.5], [0.5]], [1, 0])
