import numpy as np
import pytest

from pipelines.consensus import scores as module
from pipelines.consensus.scores import count_labels, dice_per_label, mean_dice, summarise, table_text


def test_dice_by_hand():
    # Label 1: 2 2 / (3 + 2); label 2: none shared; label 5 in one map only; the background is left out.
    scores = dice_per_label(np.array([[1, 1, 1], [2, 0, 0]]), np.array([[1, 1, 5], [0, 2, 0]]))
    assert scores == {1: 0.8, 2: 0.0, 5: 0.0}
    assert mean_dice(scores) == pytest.approx(0.8 / 3)


def test_labels_are_counted_in_parts(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    labels = np.random.default_rng(0).integers(0, 6, (5, 7)).astype(np.uint8)
    np.testing.assert_array_equal(count_labels(labels), np.bincount(labels.ravel()))
    assert count_labels(labels, 9)[6:].tolist() == [0, 0, 0]


def test_nothing_in_both_has_no_score():
    assert dice_per_label(np.zeros((2, 2), int), np.zeros((2, 2), int)) == {}
    assert mean_dice({}) is None


def test_summary_by_hand():
    assert summarise([0.5, None, 0.7, float("nan")]) == {
        "cases": 2,
        "mean": 0.6,
        "sd": pytest.approx(0.02**0.5),
        "min": 0.5,
        "max": 0.7,
    }
    assert summarise([None])["mean"] is None
    assert summarise([0.5])["sd"] is None


def test_table():
    text = table_text(("a", "b"), [{"a": 1, "b": None, "c": 3}, {"a": 0.1, "b": "x,y"}])
    assert text == 'a,b\n1,\n0.1,"x,y"\n'
