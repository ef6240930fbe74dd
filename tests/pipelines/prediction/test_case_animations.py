"""Which cases the report goes through slice by slice, and what is shown of them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipelines.metrics.case_report import CaseReport
from pipelines.prediction.case_animations import case_animations
from pipelines.prediction.ensemble import Ensemble
from pipelines.prediction.evaluation import NSD_TOLERANCE_MM, evaluate_cases
from pipelines.prediction.segmenter import Prediction
from tests.pipelines.prediction.slice_networks import predictor, slice_predictor, write_volume

KINDS = {1: "REA", 2: "SRF", 3: "PED"}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    networks = slice_predictor(1), slice_predictor(2, kinds=0), slice_predictor(3, mask=False)
    ensemble = Ensemble([predictor(network) for network in networks])
    entries = []
    for number in range(4):
        entry, _ = write_volume(folder / f"case{number}.nii.gz", seed=number)
        found = ensemble.predict(entry).labels
        found[: 2 * number] = 0  # the further on, the less it finds
        nib.save(nib.Nifti1Image(found, np.diag([0.01, 0.02, 0.1, 1])), folder / f"label{number}.nii.gz")
        entries.append({**entry, "label": str(folder / f"label{number}.nii.gz")})
    report = CaseReport(KINDS, NSD_TOLERANCE_MM)
    evaluate_cases(entries, ensemble, report, KINDS)
    return ensemble, entries, report.summary()


def test_best_median_and_worst(evaluated, monkeypatch):
    ensemble, entries, summary = evaluated
    shown = []

    def keep(image, **parts):
        shown.append(parts)
        return parts["title"]

    monkeypatch.setattr("pipelines.figures.slice_animation.animate_slices", keep)
    made = case_animations(ensemble, entries, summary, ["a", "a", "b"])
    assert made == ["best: case0", "median: case2", "worst: case3"]
    assert list(shown[0]["predictions"]) == ["a", "a (2)", "fused"]
    np.testing.assert_array_equal(shown[0]["predictions"]["fused"], ensemble.predict(entries[0]).labels)
    np.testing.assert_array_equal(shown[0]["predictions"]["a"], ensemble.predictors[0].predict(entries[0]).labels)
    assert shown[0]["presence"].shape == (3, 11)
    assert shown[0]["max_bytes"] == 1_000_000
    assert case_animations(ensemble, entries, summary, ["a", "a", "b"], 4)[3] == "number 2: case1"
    assert case_animations(ensemble, entries, summary, ["a", "a", "b"], 1) == ["best: case0"]


def test_frames(evaluated):
    ensemble, entries, summary = evaluated
    (made,) = case_animations(ensemble.predictors[0], entries, summary, count=1)
    assert len(made.frames) == 11
    assert "present: REA" in made.told[0]
    assert "Dice" in made.caption


def test_other_segmenters_are_asked_for(evaluated):
    _, entries, summary = evaluated

    class Given:
        def predict(self, entry):
            return Prediction(np.ones((10, 12, 11), np.uint8), 0.0)

    assert case_animations(Given(), entries, summary) == []
    assert case_animations(Given(), entries, summary, count=0) == []
    (made,) = case_animations(Given(), entries, summary, count=1)
    assert made.told[10] == "slice 11 of 11"


def test_nothing_was_measured(evaluated):
    assert case_animations(evaluated[0], [], {"cases": []}) == []
