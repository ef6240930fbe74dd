"""Detections: by hand, against scipy's rank statistic, levels, unknown entries."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from pipelines.metrics.detection import Detections, measure_detection, presence_of_slices, presence_of_volume
from transforms.io.input_error import InputError


def test_by_hand() -> None:
    # Ranked 1 0 1 0: three of four pairs. Called from 0.5 on: the first three.
    found = measure_detection([0.9, 0.8, 0.5, 0.1], [1, 0, 1, 0])
    assert (found["positives"], found["negatives"], found["unknown"]) == (2, 2, 0)
    assert found["auc"] == 0.75
    assert (found["sensitivity"], found["specificity"], found["accuracy"]) == (1.0, 0.5, 0.75)
    assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.25 + 0.01) / 4)
    assert found["ece"] == pytest.approx((0.1 + 0.8 + 0.5 + 0.1) / 4)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["roc"] == {"false_positive_rate": [0, 0, 0.5, 0.5, 1], "recall": [0, 0.5, 0.5, 1, 1]}
    assert sum(found["reliability"]["counts"]) == 4


def test_unknown_entries_count_for_nothing() -> None:
    found = measure_detection([0.9, 0.8, np.nan, 0.5, 0.1], [1, 0, -1, 1, 0])
    assert found.pop("unknown") == 1
    known = measure_detection([0.9, 0.8, 0.5, 0.1], [1, 0, 1, 0])
    assert found == {name: value for name, value in known.items() if name != "unknown"}


@pytest.mark.parametrize(
    ("truth", "sensitivity", "specificity"),
    [([1, 1, 1], 2 / 3, None), ([0, 0, 0], None, 1 / 3), ([-1] * 3, None, None)],
)
def test_one_sort_alone_has_no_curve(truth: list[int], sensitivity: float | None, specificity: float | None) -> None:
    found = measure_detection([0.7, 0.6, 0.2], truth)
    assert found["auc"] is found["average_precision"] is found["roc"] is None
    assert found["sensitivity"] == (None if sensitivity is None else pytest.approx(sensitivity))
    assert found["specificity"] == (None if specificity is None else pytest.approx(specificity))


def some_volumes(kinds: int = 3, volumes: int = 6, slices: int = 20) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(volumes):
        truth = (rng.random((kinds, slices)) < 0.15).astype(int)
        # Coarse, so that there are ties.
        values = np.round(np.clip(0.3 * truth + rng.normal(0.35, 0.2, truth.shape), 0, 1), 1)
        drawn.append((values, truth))
    return drawn


def test_parity_with_the_rank_statistic() -> None:
    """Both levels, ties included."""
    volumes = some_volumes()
    volumes[0][1][0] = volumes[1][1][0] = 0
    measured = Detections(["REA", "SRF", "PED"])
    for index, (values, truth) in enumerate(volumes):
        measured.add(str(index), values, truth)
    found = measured.summary()
    levels = {
        "slices": [np.concatenate([pair[part] for pair in volumes], axis=1) for part in (0, 1)],
        "volumes": [np.stack([pair[part].max(axis=1) for pair in volumes], axis=1) for part in (0, 1)],
    }
    for level, (values, truth) in levels.items():
        assert found[level]["n"] == values.shape[1]
        areas = []
        for index, name in enumerate(measured.kinds):
            high, low = values[index][truth[index] == 1], values[index][truth[index] == 0]
            measured_kind = found[level]["kinds"][name]
            assert measured_kind["positives"] == len(high)
            if not len(high) or not len(low):
                assert measured_kind["auc"] is measured_kind["auc_ci95"] is None
                continue
            areas.append(mannwhitneyu(high, low).statistic / len(high) / len(low))
            assert measured_kind["auc"] == pytest.approx(areas[-1], abs=1e-12)
            assert measured_kind["auc_ci95"][0] <= areas[-1] <= measured_kind["auc_ci95"][1]
        assert found[level]["kinds_with_auc"] == len(areas)
        assert found[level]["mean"]["auc"] == pytest.approx(np.mean(areas))
    assert found["slices"]["kinds_with_auc"] == 3
    assert found["volumes"]["kinds"]["REA"]["negatives"] == 2
    json.dumps(found, allow_nan=False)


def test_levels_by_hand() -> None:
    measured = Detections(["REA", "SRF"], threshold=0.4)
    measured.add("a", [[0.1, 0.9, 0.2], [0.3, 0.1, 0.1]], [[0, 1, 0], [0, 0, 0]])
    measured.add("b", [[0.3], [0.2]], [[0], [0]])
    found = measured.summary()
    assert [found[level]["n"] for level in ("slices", "volumes")] == [4, 2]
    assert found["volumes"]["kinds"]["REA"]["auc"] == found["slices"]["kinds"]["REA"]["auc"] == 1.0
    assert found["volumes"]["kinds"]["SRF"]["auc"] is None
    assert found["volumes"]["kinds"]["SRF"]["specificity"] == 1.0
    # Of the two kinds, REA alone has a sensitivity.
    assert found["volumes"]["mean"]["sensitivity"] == 1.0
    assert found["volumes"]["mean"]["auc"] == 1.0
    assert (found["slices"]["kinds_with_auc"], found["threshold"]) == (1, 0.4)
    assert "from 0.4" in measured.definitions()["detection"]


def test_pictures_are_slices_and_volumes() -> None:
    measured = Detections(["REA", "SRF"])
    for index, value in enumerate((0.2, 0.7, 0.9)):
        measured.add(str(index), [value, value], [int(value > 0.5), 0])
    found = measured.summary()
    assert found["slices"] == found["volumes"]
    assert found["slices"]["kinds"]["REA"]["auc"] == 1.0
    assert len(measured) == 3


def test_what_is_known_of_the_volume_alone() -> None:
    measured = Detections(["REA", "SRF"])
    measured.add("a", [[0.1, 0.9], [0.2, 0.3]], [[-1, -1], [-1, 0]], volume_truth=[1, 0])
    measured.add("b", [[0.1, 0.2], [0.2, 0.3]], [[-1, 0], [-1, -1]])
    found = measured.summary()
    assert found["volumes"]["kinds"]["REA"]["positives"] == 1
    assert found["volumes"]["kinds"]["REA"]["unknown"] == 1
    assert found["volumes"]["kinds"]["SRF"]["negatives"] == 1
    assert found["slices"]["kinds"]["REA"]["unknown"] == 3


def test_averages_a_hair_above_one_are_taken() -> None:
    measured = Detections(["REA"])
    measured.add("a", np.array([[1.0000001, 0.0]], np.float32), [[1, 0]])
    assert measured.summary()["slices"]["kinds"]["REA"]["auc"] == 1.0


def test_nothing_measured() -> None:
    found = Detections(["REA"]).summary()
    assert found["slices"]["n"] == 0
    assert found["slices"]["mean"] == dict.fromkeys(found["slices"]["mean"])
    json.dumps(found, allow_nan=False)


def test_presence_of_slices() -> None:
    labels = np.zeros((2, 2, 4), int)
    labels[0, 1, 1], labels[:, :, 2], labels[1, 0, 3], labels[0, 0, 3] = 2, 255, 255, 1
    assert presence_of_slices(labels, 3).tolist() == [[0, 0, -1, 1], [0, 1, -1, 0], [0, 0, -1, 0]]
    turned = np.moveaxis(labels, -1, 0)
    assert (presence_of_slices(turned, 3, slice_axis=0) == presence_of_slices(labels, 3)).all()
    assert presence_of_slices(labels[..., 1], 3, slice_axis=None).tolist() == [0, 1, 0]
    assert presence_of_slices(labels[..., 2], 3, slice_axis=None).tolist() == [-1, -1, -1]


def test_presence_of_volume() -> None:
    assert presence_of_volume([[0, 1, -1], [0, 0, -1], [0, 0, 0]]).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        ([[0.5]], [[0]], "has detections of shape"),
        ([[0.5], [0.5]], [[0], [0], [0]], "has detections of shape"),
        ([[0.5], [1.5]], [[0], [0]], "no probabilities"),
        ([[0.5], [np.nan]], [[0], [0]], "no probabilities"),
    ],
)
def test_refusals(probabilities: list[list[float]], truth: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=f"case 7: .*{message}"):
        Detections(["REA", "SRF"]).add("case 7", probabilities, truth)


def test_refuses_cases_twice_and_bad_settings() -> None:
    measured = Detections(["REA"])
    measured.add("case 7", [0.5], [1])
    with pytest.raises(InputError, match="case 7: was measured already"):
        measured.add("case 7", [0.5], [1])
    with pytest.raises(InputError, match=r"has a truth of shape \(2,\)"):
        measured.add("case 8", [0.5], [1], volume_truth=[1, 0])
    with pytest.raises(ValueError, match="each differently"):
        Detections(["REA", "REA"])
    with pytest.raises(ValueError, match="threshold must be within 0 and 1"):
        Detections(["REA"], threshold=2)
    with pytest.raises(ValueError, match="2 probabilities and 1 truths"):
        measure_detection([0.5, 0.5], [1])
