"""The synthetic macula: a branching tree of one to five pixels, brighter than what lies around it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from pipelines.data.phantom_shapes import make_grid
from pipelines.data.phantom_vessels import STEM, TWIG, Branch, draw_vessels, grow_tree, tree_distance

SHAPE, SPACING = (128, 128), (3 / 128, 3 / 128)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return draw_vessels(np.random.default_rng(seed), SHAPE, SPACING)


@pytest.mark.parametrize("seed", range(3))
def test_widths(seed: int) -> None:
    """Along the middle of the vessels, away from the forks, twice the distance to the background less one pixel."""
    label = drawn(seed)[1]
    middle = skeletonize(label > 0)
    widths = 2 * distance_transform_edt(np.pad(label, 1, "edge"))[1:-1, 1:-1][middle] - 1
    assert np.percentile(widths, 5) == 1
    assert 3 <= np.percentile(widths, 95) <= 5.1
    assert len(np.unique(np.rint(widths))) >= 3


@pytest.mark.parametrize("seed", range(3))
def test_vessels_are_brighter_but_so_is_the_mesh(seed: int) -> None:
    image, label = drawn(seed)
    assert image.min() >= 0
    assert image.max() <= 255
    assert 0.04 < label.mean() < 0.2
    assert image[label > 0].mean() > 1.5 * image[label == 0].mean()
    bright = np.percentile(image[label > 0], 25)
    assert (image[label == 0] > bright).sum() > 0.3 * (label > 0).sum()


@pytest.mark.parametrize("seed", range(3))
def test_no_vessel_in_the_fovea(seed: int) -> None:
    image, label = drawn(seed)
    x, y = np.meshgrid(*[np.arange(128) - 63.5] * 2, indexing="ij")
    fovea = np.hypot(x, y) < 8
    assert not label[fovea].any()
    assert image[fovea].mean() < 0.6 * image[label == 0].mean()


def test_the_same_generator_draws_the_same() -> None:
    for one, two, other in zip(drawn(0), drawn(0), drawn(1), strict=True):
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)


def test_trees_branch_by_murrays_law() -> None:
    tree = grow_tree(np.random.default_rng(0), np.zeros(2), 0.0, 0.05, reach=2.5, thinnest=TWIG)
    assert len(tree) > 6
    assert all(branch.radii[0] >= TWIG for branch in tree)
    assert all(np.all(np.diff(branch.radii) < 0) for branch in tree)
    children: dict[tuple[float, ...], list[float]] = {}
    for branch in tree:
        children.setdefault(tuple(branch.path[0]), []).append(branch.radii[0])
    forks = [
        (branch.radii[-1], radii)
        for branch in tree
        if len(radii := children.get(tuple(branch.path[-1]), [])) == 2 and len(branch.path) > 1
    ]
    assert forks
    for parent, radii in forks:
        assert sum(radius**3 for radius in radii) == pytest.approx(parent**3)


def test_trees_are_in_one_piece() -> None:
    tree = grow_tree(np.random.default_rng(3), np.array([-1.0, 0.0]), 0.3, STEM[1], reach=2.0, thinnest=TWIG)
    ends = {tuple(branch.path[-1]) for branch in tree}
    assert all(tuple(branch.path[0]) in ends for branch in tree[1:])
    steps = [np.linalg.norm(b - a) for branch in tree for a, b in pairwise(branch.path)]
    assert max(steps) < 0.2


def test_distance_by_hand() -> None:
    """A vessel of radius 1 along x through the middle of nine pixels of 1 mm; elsewhere far away."""
    grid = make_grid((9, 9), (1.0, 1.0), (9.0, 9.0, 9.0))
    line = Branch(np.array([[-3.0, 0, 0], [3.0, 0, 0]]), np.array([1.0, 1.0]))
    distance = tree_distance(grid.points, [line], 1.0)[..., 0]
    assert distance[4].tolist()[2:7] == [1, 0, -1, 0, 1]
    assert distance[0, 4] == pytest.approx(0)
    thin = tree_distance(grid.points, [Branch(line.path, np.array([0.01, 0.01]))], 1.0)[..., 0]
    assert (thin[1:8] <= 0).sum(1).tolist() == [1] * 7
    assert tree_distance(grid.points, [], 1.0).min() > 10
