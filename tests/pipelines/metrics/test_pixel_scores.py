"""Scores in pixels: by hand, by MONAI, by brute force; with a tolerance, in a field of view, on empty masks."""

import math
from itertools import product

import numpy as np
import pytest

from pipelines.metrics.overlap import count_overlap
from pipelines.metrics.pixel_scores import PIXEL_SCORES, PixelCounts, count_pixels
from transforms.io.input_error import InputError


def two_masks(seed=0, shape=(17, 23), share=0.2):
    rng = np.random.default_rng(seed)
    return rng.random(shape) < share, rng.random(shape) < share


def brute_force(pred, reference, tolerance, inside):
    """Each pixel against each; returns (predicted, true, either, false alarms, missed, total)."""
    places = [place for place in product(*map(range, pred.shape)) if inside[place]]
    found, truth = ([place for place in places if mask[place]] for mask in (pred, reference))

    def beyond(some, others):
        return sum(all(math.dist(one, other) > tolerance + 1e-9 for other in others) for one in some)

    return (
        len(found), len(truth), len({*found, *truth}), beyond(found, truth), beyond(truth, found), len(places),
    )  # fmt: skip


def test_by_hand():
    """TP 4, FP 2, FN 1, TN 3."""
    pred = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    reference = np.array([[1, 1, 1, 1, 0], [0, 1, 0, 0, 0]])
    expected = {
        "precision": 4 / 6,
        "recall": 4 / 5,
        "specificity": 3 / 5,
        "f1": 8 / 11,
        "iou": 4 / 7,
        "accuracy": 7 / 10,
        "kappa": (0.7 - 0.5) / (1 - 0.5),  # by chance 0.6 x 0.5 + 0.4 x 0.5
        "g_mean": math.sqrt(0.8 * 0.6),
        "fdr": 2 / 6,
    }
    scores = count_pixels(pred, reference).scores()
    assert tuple(scores) == PIXEL_SCORES
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_confusion_matrix_of_monai(seed):
    import torch
    from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

    pred, reference = two_masks(seed)
    matrix = get_confusion_matrix(*(torch.from_numpy(mask)[None, None].float() for mask in (pred, reference)))
    names = {
        "precision": "precision",
        "recall": "sensitivity",
        "specificity": "specificity",
        "f1": "f1 score",
        "iou": "threat score",
        "accuracy": "accuracy",
        "fdr": "false discovery rate",
    }
    scores = count_pixels(pred, reference).scores()
    for ours, theirs in names.items():
        assert scores[ours] == pytest.approx(compute_confusion_matrix_metric(theirs, matrix).item(), rel=1e-5)
    overlap = count_overlap(pred, reference)
    assert (scores["f1"], scores["iou"]) == pytest.approx((overlap.dice, overlap.jaccard))


def test_kappa_is_0_by_chance_and_1_when_right():
    rows, columns = np.indices((10, 10))
    assert count_pixels(rows < 3, columns < 4).kappa == pytest.approx(0)
    assert count_pixels(rows < 3, rows < 3).kappa == 1
    assert count_pixels(rows < 5, rows >= 5).kappa == -1


@pytest.mark.parametrize("tolerance", [0, 0.5, 1, math.sqrt(2), 2, 3])
@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 4)])
def test_tolerance_by_brute_force(shape, tolerance):
    pred, reference = two_masks(1, shape, 0.08)
    inside = np.ones(shape, bool)
    inside[:2] = False
    expected = brute_force(pred, reference, tolerance, inside)
    assert count_pixels(pred, reference, tolerance, inside) == PixelCounts(*expected)


def test_tolerance_by_hand():
    """A vessel predicted one pixel beside: all is forgiven at 1, in every score; at 0 all is wrong."""
    pred, reference = np.zeros((2, 6, 8), bool)
    pred[:, 3], reference[:, 4] = True, True
    exact, near = (count_pixels(pred, reference, tolerance).scores() for tolerance in (0, 1))
    assert (exact["precision"], exact["recall"], exact["f1"], exact["iou"]) == (0, 0, 0, 0)
    assert exact["accuracy"] == 36 / 48
    assert (exact["specificity"], exact["fdr"]) == (36 / 42, 1)
    perfect = {**dict.fromkeys(PIXEL_SCORES, 1.0), "fdr": 0.0}
    assert near == pytest.approx(perfect)


def test_tolerance_is_the_same_for_both_kinds_of_error():
    """Published, widening the reference alone, calls a thin prediction of a wide vessel wrong where this does not."""
    reference = np.zeros((9, 9), bool)
    reference[:, 3:6] = True
    thin = np.zeros((9, 9), bool)
    thin[:, 4] = True
    for pred, truth in ((thin, reference), (reference, thin)):
        scores = count_pixels(pred, truth, 1).scores()
        assert scores["precision"] == scores["recall"] == scores["iou"] == 1
    assert count_pixels(thin, reference).recall == pytest.approx(1 / 3)


def test_more_tolerance_is_never_worse():
    pred, reference = two_masks(2, share=0.05)
    for name in PIXEL_SCORES:
        values = [getattr(count_pixels(pred, reference, tolerance), name) for tolerance in (0, 1, 2, 3, 40)]
        assert sorted(values, reverse=name == "fdr") == values
        assert values[-1] == pytest.approx(0.0 if name == "fdr" else 1.0)


def test_only_the_field_of_view_counts():
    pred, reference = two_masks(3)
    inside = np.zeros(pred.shape, np.uint8)
    inside[4:12, 5:20] = 255
    box = (slice(4, 12), slice(5, 20))
    for tolerance in (0, 2):
        assert count_pixels(pred, reference, tolerance, inside) == count_pixels(pred[box], reference[box], tolerance)


UNDEFINED = {
    "both empty": (0, 0, {"accuracy": 1, "specificity": 1}),
    "missed": (0, 1, {"recall": 0, "specificity": 1, "f1": 0, "iou": 0, "accuracy": 0.75, "kappa": 0, "g_mean": 0}),
    "spurious": (
        1,
        0,
        {"precision": 0, "specificity": 0.75, "f1": 0, "iou": 0, "accuracy": 0.75, "kappa": 0, "fdr": 1},
    ),
}


@pytest.mark.parametrize("tolerance", [0, 2])
@pytest.mark.parametrize(("predicted", "true", "expected"), UNDEFINED.values(), ids=UNDEFINED.keys())
def test_empty_masks(predicted, true, expected, tolerance):
    """A quarter of the pixels, or none; what has no denominator is NaN."""
    pred, reference = (np.array([[share, 0], [0, 0]]) for share in (predicted, true))
    scores = count_pixels(pred, reference, tolerance).scores()
    assert {name: value for name, value in scores.items() if not math.isnan(value)} == pytest.approx(expected)


def test_full_masks_and_no_field_of_view():
    full = count_pixels(np.ones((2, 2)), np.ones((2, 2))).scores()
    assert {name for name, value in full.items() if math.isnan(value)} == {"specificity", "kappa", "g_mean"}
    nothing = count_pixels(np.ones((2, 2)), np.ones((2, 2)), 0, np.zeros((2, 2))).scores()
    assert all(math.isnan(value) for value in nothing.values())


def test_counts_add_up_over_images():
    one, two = two_masks(0), two_masks(1)
    together = count_pixels(np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]]))
    assert count_pixels(*one) + count_pixels(*two) == together


def test_refusals():
    with pytest.raises(InputError, match=r"has shape \(2,\), but the reference has \(3,\)"):
        count_pixels([0, 1], [0, 1, 1])
    with pytest.raises(InputError, match="is no mask"):
        count_pixels([[0, 255]], [[0, 1]])
    with pytest.raises(InputError, match="field of view: has shape"):
        count_pixels([[0, 1]], [[0, 1]], 0, [[1]])
    for tolerance in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite number >= 0"):
            count_pixels([[0, 1]], [[0, 1]], tolerance)
