from __future__ import annotations

import json

import numpy as np

from pipelines.data.dataset import read_dataset
from pipelines.data.integrity import check_dataset
from pipelines.data.phantom_raters import STRENGTHS, draw_raters
from pipelines.data.phantoms import make_cohort


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def ball(size: int = 40) -> np.ndarray:
    grid = np.indices((size, size)) - (size - 1) / 2
    return ((grid**2).sum(0) < 100).astype(np.uint8)


def test_careful_raters_are_better_than_careless_ones():
    truth = ball()
    scores = np.array(
        [[dice(truth, drawn) for drawn in draw_raters(truth, np.random.default_rng(seed))] for seed in range(12)]
    ).mean(0)
    assert len(scores) == len(STRENGTHS)
    assert (np.diff(scores) < 0).all()
    assert scores[0] > 0.9
    assert scores[-1] < 0.6


def test_the_same_draws_give_the_same_labels_and_strength_zero_the_truth():
    first, again = (draw_raters(ball(), np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(drawn.dtype == np.uint8 for drawn in first)
    (exact,) = draw_raters(ball(), np.random.default_rng(3), strengths=[0.0])
    np.testing.assert_array_equal(exact, ball())


def test_a_cohort_of_raters(tmp_path):
    make_cohort("raters2d", tmp_path, 4, labeled=2, unlabeled=0, test=2, shape=(40, 36))
    dataset = read_dataset(tmp_path)
    assert [len(case.raters) for _, case in dataset.cases] == [5, 5, 0, 0]
    assert dataset.training[0].atlases == ("rater1", "rater2", "rater3", "rater4", "rater5")
    assert check_dataset(dataset).faults == ()
    entry = json.loads((tmp_path / "dataset.json").read_text())["training"][0]
    assert entry["raters"][0] == "./raters/raters2d_0001_rater1.png"
