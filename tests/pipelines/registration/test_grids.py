from __future__ import annotations

import numpy as np
import pytest

from pipelines.registration.grids import (
    Grid,
    apply,
    covering_grid,
    grid_of,
    inverse,
    overlap,
    perpendicular_axes,
    translation,
    working_grid,
)
from transforms.io.geometry import Geometry


def test_an_isotropic_target_is_its_own_working_grid():
    matrix = np.diag([-1.5, 1.5, 1.5, 1.0])
    matrix[:3, 3] = (3, -7, 11)
    found = working_grid(Grid((20, 30, 25), matrix))
    assert found.shape == (20, 30, 25)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-9)


def test_an_anisotropic_target_gets_the_geometric_mean():
    grid = Grid((40, 40, 10), np.diag([1.0, 1.0, 8.0, 1.0]))
    found = working_grid(grid)
    np.testing.assert_allclose(found.spacing_mm, 2)
    assert found.shape == (20, 20, 40)
    np.testing.assert_allclose(found.centre_mm, grid.centre_mm)
    np.testing.assert_allclose(working_grid(grid, 4.0).shape, (10, 10, 20))


def test_the_working_grid_has_an_upper_size():
    found = working_grid(Grid((100, 100, 100), np.eye(4)), most_voxels=8000)
    assert found.shape == (20, 20, 20)
    np.testing.assert_allclose(found.spacing_mm, 5)


def test_shear_is_straightened_and_covered():
    matrix = np.eye(4)
    matrix[0, 2] = 0.4
    grid = Grid((10, 12, 14), matrix)
    axes = perpendicular_axes(grid)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    found = covering_grid(grid, axes, 1.0)
    inside = apply(inverse(found.matrix), grid.corners_mm())
    assert (inside >= -0.502).all()
    assert (inside <= np.array(found.shape) - 0.498).all()


@pytest.mark.parametrize(("shift", "share"), [(0.0, 1.0), (5.0, 0.5), (12.0, 0.0)])
def test_overlap(shift, share):
    grid = Grid((10, 10), np.eye(3))
    assert overlap(grid, grid, np.array([shift, 0.0])) == pytest.approx(share)
    assert overlap(grid, Grid((10, 10), translation(np.array([shift, 0.0]))), np.zeros(2)) == pytest.approx(share)


def test_planes():
    axial = np.diag([-2.0, 3.0, 1.0, 1.0])
    axial[:2, 3] = (5, 6)
    found = grid_of(Geometry((4, 5), axial, (2.0, 3.0)))
    np.testing.assert_array_equal(found.matrix, [[-2, 0, 5], [0, 3, 6], [0, 0, 1]])
    sagittal = np.zeros((4, 4))
    sagittal[1, 0] = sagittal[2, 1] = sagittal[0, 2] = sagittal[3, 3] = 2.0
    np.testing.assert_array_equal(grid_of(Geometry((4, 5), sagittal, (2.0, 2.0))).matrix, np.diag([2.0, 2.0, 1.0]))
