"""Dice over whole volumes as published: by hand, absent classes, ignored voxels."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics.bootstrap import bootstrap_interval
from pipelines.metrics.overlap import OverlapCounts
from pipelines.metrics.volume_dice import VolumeDice, compute_volume_dice
from transforms.io.input_error import InputError

NAMES = {0: "background", 1: "REA", 2: "SRF", 3: "PED"}


def volume(*voxels: int) -> np.ndarray:
    """(1, 2, N / 2)."""
    return np.array(voxels).reshape(1, 2, -1)


def test_by_hand() -> None:
    measured = VolumeDice(NAMES)
    first = measured.add("a", volume(1, 1, 0, 2, 0, 3), volume(1, 0, 0, 2, 2, 0), spacing_mm=(2, 5, 10))
    # REA: one of 2 and 1; SRF: one of 1 and 2; PED: not in the reference, one voxel of 0.1 ml.
    assert first["REA"] == pytest.approx(2 / 3)
    assert first["SRF"] == pytest.approx(2 / 3)
    assert np.isnan(first["PED"])
    measured.add("b", volume(1, 1, 0, 0, 3, 3), volume(1, 1, 0, 0, 0, 0), spacing_mm=10)
    measured.add("c", volume(0, 0, 0, 0, 0, 0), volume(0, 1, 0, 0, 0, 0))
    found = measured.summary()
    assert found["classes"]["REA"] == {
        "dice": pytest.approx((2 / 3 + 1 + 0) / 3),
        "ci95": pytest.approx(bootstrap_interval([2 / 3, 1, 0])),
        "volumes": 3,
        "absent": 0,
        "false_positive_volumes": 0,
        "false_positive_voxels": 0,
        "false_positive_ml": 0.0,
    }
    assert (found["classes"]["SRF"]["dice"], found["classes"]["SRF"]["absent"]) == (pytest.approx(2 / 3), 2)
    assert found["classes"]["PED"] == {
        "dice": None,
        "ci95": None,
        "volumes": 0,
        "absent": 3,
        "false_positive_volumes": 2,
        "false_positive_voxels": 3,
        "false_positive_ml": pytest.approx(0.1 + 2 * 1.0),
    }
    # PED has no Dice in any volume, and no part in the mean over classes.
    assert found["dice"] == measured.mean == pytest.approx((5 / 9 + 2 / 3) / 2)
    assert len(measured) == 3


def test_the_mean_is_over_volumes_and_then_over_classes() -> None:
    measured = VolumeDice({1: "REA", 2: "SRF"})
    measured.add("a", volume(1, 2), volume(1, 2))
    measured.add("b", volume(0, 0), volume(1, 0))
    measured.add("c", volume(0, 0), volume(1, 0))
    # REA 1/3, SRF 1. The mean over classes first would give (1 + 0 + 0) / 3.
    assert measured.mean == pytest.approx(2 / 3)


def test_nothing_measured() -> None:
    measured = VolumeDice(NAMES)
    assert measured.summary()["dice"] is None
    measured.add("a", volume(1, 0), volume(0, 0))
    assert measured.mean is None
    assert measured.summary()["classes"]["REA"]["false_positive_voxels"] == 1


def test_ignored_voxels_count_for_nothing() -> None:
    measured = VolumeDice(NAMES)
    found = measured.add("a", volume(1, 1, 1, 2, 3, 0), volume(1, 1, 255, 255, 255, 255))
    assert found["REA"] == 1.0
    assert [part["false_positive_voxels"] for part in measured.summary()["classes"].values()] == [0, 0, 0]


def test_pictures_have_no_ml() -> None:
    measured = VolumeDice(NAMES)
    measured.add("a", np.array([[1, 2]]), np.array([[1, 0]]))
    measured.add("b", np.array([[1, 2]]), np.array([[1, 0]]))
    assert measured.summary()["classes"]["SRF"]["false_positive_voxels"] == 2
    assert measured.summary()["classes"]["SRF"]["false_positive_ml"] is None


def test_one_class() -> None:
    assert compute_volume_dice(OverlapCounts(shared=1, only_prediction=1, only_reference=1)) == 0.5
    assert compute_volume_dice(OverlapCounts(shared=0, only_prediction=0, only_reference=4)) == 0.0
    assert np.isnan(compute_volume_dice(OverlapCounts(shared=0, only_prediction=4, only_reference=0)))


def test_refusals() -> None:
    measured = VolumeDice(NAMES)
    with pytest.raises(InputError, match="case 7: has a reference of shape"):
        measured.add("case 7", volume(1, 0), np.zeros((1, 2, 2)))
    measured.add("case 7", volume(1, 0), volume(1, 0))
    with pytest.raises(InputError, match="case 7: was measured already"):
        measured.add("case 7", volume(1, 0), volume(1, 0))
    with pytest.raises(ValueError, match="label 255 is border and cannot be ignored too"):
        VolumeDice({255: "border"})
