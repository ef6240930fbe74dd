"""clDice and Betti numbers: by hand, and what an overlap does not see."""

import math

import numpy as np
import pytest
from scipy.ndimage import label as connected_parts
from skimage.morphology import skeletonize

from pipelines.metrics.overlap import count_overlap
from pipelines.metrics.topology import TopologyScores, compute_topology_scores
from transforms.io.input_error import InputError


def line(length=20, width=1, shape=(9, 24)):
    mask = np.zeros(shape, bool)
    mask[4 - width // 2 : 5 + width // 2, 2 : 2 + length] = True
    return mask


def test_half_a_line_by_hand():
    """Half of the line is predicted: the prediction's skeleton is right, half of the reference's is found."""
    scores = compute_topology_scores(line(10), line(20))
    assert scores == TopologyScores(1.0, 0.5, 0.0)
    assert scores.cldice == pytest.approx(2 / 3)
    assert compute_topology_scores(line(20), line(10)).skeleton_precision == 0.5


def test_width_does_not_matter_and_gaps_do():
    wide, thin = line(width=5), line()
    assert compute_topology_scores(wide, thin).cldice > 0.93  # the skeleton forks at the blunt ends
    assert compute_topology_scores(wide, thin).skeleton_recall == 1
    assert count_overlap(wide, thin).dice < 0.4
    torn = thin.copy()
    torn[:, [6, 11, 16]] = False
    scores = compute_topology_scores(torn, thin)
    assert scores.betti0_error == 3
    assert scores.skeleton_recall == pytest.approx(17 / 20)


@pytest.mark.parametrize("seed", range(3))
def test_against_the_definition(seed):
    rng = np.random.default_rng(seed)
    pred, reference = (connected_parts(rng.random((30, 40)) < 0.6)[0] > 0 for _ in range(2))
    ours, theirs = skeletonize(pred), skeletonize(reference)
    precision, recall = (ours & reference).sum() / ours.sum(), (theirs & pred).sum() / theirs.sum()
    scores = compute_topology_scores(pred, reference)
    assert (scores.skeleton_precision, scores.skeleton_recall) == pytest.approx((precision, recall))
    assert scores.cldice == pytest.approx(2 * precision * recall / (precision + recall))
    pieces = [connected_parts(mask, np.ones((3, 3)))[1] for mask in (pred, reference)]
    assert scores.betti0_error == abs(pieces[0] - pieces[1])


def test_corners_connect():
    diagonal = np.eye(8, dtype=bool)
    assert compute_topology_scores(diagonal, line(8, shape=(8, 8))[:8, :8]).betti0_error == 0
    cube = np.zeros((6, 6, 6), bool)
    cube[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    assert compute_topology_scores(cube, cube) == TopologyScores(1.0, 1.0, 0.0)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_balls_in_3d_have_a_skeleton(size):
    mask = np.zeros((9, 9, 9), bool)
    mask[2 : 2 + size, 2 : 2 + size, 2 : 2 + size] = True
    assert compute_topology_scores(mask, mask).cldice == 1
    assert compute_topology_scores(mask, ~mask).cldice == 0


def test_empty_masks():
    empty, full = np.zeros((9, 24), bool), line()
    nothing = compute_topology_scores(empty, empty)
    assert all(math.isnan(value) for value in (nothing.cldice, nothing.skeleton_recall, nothing.betti0_error))
    missed, spurious = compute_topology_scores(empty, full), compute_topology_scores(full, empty)
    assert (missed.cldice, missed.skeleton_recall, missed.betti0_error) == (0, 0, 1)
    assert math.isnan(missed.skeleton_precision)
    assert (spurious.cldice, spurious.skeleton_precision, spurious.betti0_error) == (0, 0, 1)
    assert math.isnan(spurious.skeleton_recall)


def test_only_the_field_of_view_counts():
    inside = np.zeros((9, 24), np.uint8)
    inside[:, :12] = 255
    assert compute_topology_scores(line(10), line(20), inside) == TopologyScores(1.0, 1.0, 0.0)


def test_refusals():
    with pytest.raises(InputError, match=r"has shape \(9, 24\), but the reference has \(9, 23\)"):
        compute_topology_scores(line(), line()[:, 1:])
    with pytest.raises(InputError, match="1 axes"):
        compute_topology_scores([0, 1], [0, 1])
    with pytest.raises(InputError, match="field of view: has shape"):
        compute_topology_scores(line(), line(), [[1]])
    with pytest.raises(InputError, match="is no mask"):
        compute_topology_scores(line() * 2, line())
