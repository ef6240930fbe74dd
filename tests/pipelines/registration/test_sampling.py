from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from pipelines.registration.grids import Grid
from pipelines.registration.sampling import move_points, pool, resample, sample, to_cells, voxel_indices


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 4)])
@pytest.mark.parametrize(("outside", "mode"), [("border", "nearest"), ("zeros", "grid-constant")])
def test_equals_scipy(shape, outside, mode):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape).astype(np.float32)
    points = rng.uniform(-1.5, max(shape) + 1, (40, len(shape))).astype(np.float32)
    found = sample(torch.from_numpy(values)[None], torch.from_numpy(points), outside)[0]
    np.testing.assert_allclose(found, map_coordinates(values, points.T, order=1, mode=mode), atol=1e-5)


def test_an_axis_of_one_voxel():
    values = torch.arange(6.0).reshape(1, 2, 3, 1)
    points = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.4], [1.0, 2.0, 2.0]])
    assert sample(values, points).tolist() == [[5, 5, 5]]
    assert sample(values, points, "zeros").tolist() == [[5, 5, 0]]


def test_pooling_fills_the_last_cell_with_the_border():
    values = torch.tensor([[[0.0, 2, 4], [2, 4, 6], [10, 10, 20]]])
    assert pool(values, 2).tolist() == [[[2, 5], [10, 20]]]
    assert pool(values, 1) is values
    assert to_cells(torch.tensor([0.5, 2.5]), 2).tolist() == [0, 1]


def test_points_move_by_the_matrix():
    matrix = np.array([[0.0, -2, 1], [1, 0, 3], [0, 0, 1]])
    assert move_points(voxel_indices((1, 2)), matrix).tolist() == [[[1, 3], [-1, 3]]]


def test_a_ramp_keeps_its_values_on_another_grid():
    ramp = np.arange(20.0)[:, None] + np.zeros((20, 10))
    fine, coarse = Grid((20, 10), np.eye(3)), Grid((6, 4), np.array([[2.0, 0, 4], [0, 2, 1], [0, 0, 1]]))
    np.testing.assert_allclose(resample(ramp, fine, coarse)[:, 0], [4, 6, 8, 10, 12, 14], atol=1e-3)
    np.testing.assert_array_equal(resample(ramp, fine, fine), ramp)


def test_a_coarser_grid_sees_no_noise():
    noise = np.random.default_rng(0).standard_normal((64, 64))
    coarse = Grid((16, 16), np.array([[4.0, 0, 1.5], [0, 4, 1.5], [0, 0, 1]]))
    assert resample(noise, Grid((64, 64), np.eye(3)), coarse).std() < 0.3
