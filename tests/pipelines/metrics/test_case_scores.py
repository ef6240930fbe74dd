"""Groups of scores: what each gives, what they need, and what is refused."""

import math

import numpy as np
import pytest

from pipelines.metrics.calibration import compute_brier
from pipelines.metrics.case_scores import SCORE_GROUPS, CaseScores
from pipelines.metrics.pixel_scores import count_pixels
from pipelines.metrics.ranking import compute_roc_auc
from transforms.io.input_error import InputError

NAMES = {0: "background", 1: "vein", 2: "artery"}
EVERY = tuple(SCORE_GROUPS)


def case(seed=0):
    """Two label maps (12, 14) and probabilities (3, 12, 14) that decide for the first."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([2, 1, 1], (12, 14)).transpose(2, 0, 1).astype(np.float32)
    return probabilities.argmax(0), rng.integers(0, 3, (12, 14)), probabilities


def measured(scores, inside=None, seed=0):
    labels, reference, probabilities = case(seed)
    return scores.measure(labels, reference, 1.0, NAMES, probabilities, inside)


def test_every_group_gives_what_it_names_for_every_class():
    scores = CaseScores(EVERY)
    found = measured(scores)
    assert list(found) == ["vein", "artery"]
    for values in found.values():
        assert tuple(values) == scores.metrics
        assert all(isinstance(value, float) for value in values.values())
    assert len(set(scores.metrics)) == len(scores.metrics)
    assert set(scores.definitions()) == {*EVERY, "pooled"}
    for name, group in SCORE_GROUPS.items():
        told = group.definition
        assert all(metric in told for metric in group.metrics), name


def test_values_are_those_of_the_functions():
    labels, reference, probabilities = case()
    found = measured(CaseScores(("pixels", "ranking", "calibration"), tolerance_px=1))["artery"]
    assert found["recall"] == count_pixels(labels == 2, reference == 2, 1).recall
    assert found["roc_auc"] == compute_roc_auc(probabilities[2], reference == 2)
    pair = np.stack([1 - probabilities[2], probabilities[2]])
    assert found["brier"] == pytest.approx(compute_brier(pair, (reference == 2).astype(int)) / 2, rel=1e-6)
    assert found["confidence_inside"] == pytest.approx(probabilities[2][reference == 2].mean())
    assert found["confidence_outside"] == pytest.approx(1 - probabilities[2][reference != 2].mean())


def test_order_is_that_of_the_table_and_overlap_is_there_anyway():
    scores = CaseScores(("topology", "overlap", "pixels"))
    assert scores.groups == ("pixels", "topology")
    assert scores.from_probabilities == ()
    assert CaseScores(("calibration", "ranking")).from_probabilities == ("ranking", "calibration")
    assert measured(CaseScores()) == {"vein": {}, "artery": {}}


def test_only_the_field_of_view_counts():
    inside = np.zeros((12, 14), bool)
    inside[2:9, 3:11] = True
    labels, reference, probabilities = case()
    labels, reference = (np.where(inside, values, 0) for values in (labels, reference))
    scores = CaseScores(("pixels", "topology", "ranking", "calibration"))
    cut = scores.measure(labels, reference, 1.0, NAMES, probabilities, inside)
    box = (slice(2, 9), slice(3, 11))
    alone = scores.measure(labels[box], reference[box], 1.0, NAMES, probabilities[(slice(None), *box)])
    for name in cut:
        for metric in scores.metrics:
            assert cut[name][metric] == pytest.approx(alone[name][metric], rel=1e-6), metric


def test_classes_that_are_not_there_are_undefined():
    empty = np.zeros((5, 6), int)
    found = CaseScores(EVERY).measure(empty, empty, 1.0, {1: "vein"}, np.stack([np.ones((5, 6)), np.zeros((5, 6))]))
    values = {name: value for name, value in found["vein"].items() if not math.isnan(value)}
    assert values == {"accuracy": 1, "specificity": 1, "ece": 0, "brier": 0, "confidence_outside": 1}


def test_pixels_of_all_cases_together():
    scores = CaseScores(("pixels", "topology"))
    assert scores.pooled() == {}
    for seed in (0, 1):
        measured(scores, seed=seed)
    labels, reference = (np.concatenate([case(seed)[part] for seed in (0, 1)]) for part in (0, 1))
    assert scores.pooled()["vein"] == count_pixels(labels == 1, reference == 1).scores()
    topology = CaseScores(("topology",))
    measured(topology)
    assert topology.pooled() == {}


def test_the_tolerance_is_told():
    assert "within 2 pixels" in CaseScores(("pixels",), 2).definitions()["tolerance"]
    assert "tolerance" not in CaseScores(("pixels",)).definitions()


def test_probabilities_that_are_missing_are_a_fault():
    labels, reference, _ = case()
    with pytest.raises(ValueError, match="needs the probabilities"):
        CaseScores(("ranking",)).measure(labels, reference, 1.0, NAMES)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((("pixel",),), "--scores: knows overlap, pixels, .*, not pixel"),
        ((("pixels", "pixels"),), "--scores: names pixels twice"),
        ((("pixels",), -1), "--tolerance: must be a finite number"),
        ((("pixels",), math.nan), "--tolerance: must be a finite number"),
        ((("ranking",), 1), "--tolerance: is for the scores in pixels"),
    ],
)
def test_refusals(settings, told):
    with pytest.raises(InputError, match=told):
        CaseScores(*settings)
