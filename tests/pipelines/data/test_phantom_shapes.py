"""Shapes have the distances that geometry gives; random fields are smooth, standardised and free of the resolution."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.phantom_shapes import blend, curve, ellipsoid, make_grid, outside, posed, smooth_noise, solid, tube

CUBE = (40.0, 40.0, 40.0)


def test_grid_is_centred_and_scales_the_anatomy_to_the_field_of_view() -> None:
    grid = make_grid((40, 40, 40), (1, 1, 1), CUBE)
    assert grid.points[:, 0, 0, 0].tolist() == [-19.5, -19.5, -19.5]
    assert grid.voxel == 1
    half = make_grid((20, 20, 30), (1, 1, 1), CUBE)
    assert half.voxel == 2
    assert half.points[0, 0, 0, 0] == -19
    assert make_grid((20, 20), (1, 1), CUBE).shape == (20, 20, 1)


@pytest.mark.parametrize(
    ("point", "expected"), [((0, 0, 0), -3), ((3, 0, 0), 0), ((5, 0, 0), 2), ((0, 0, 11), 1), ((0, 0, -10), 0)]
)
def test_tube_distance(point: tuple[float, ...], expected: float) -> None:
    points = np.array(point, np.float32).reshape(3, 1, 1, 1)
    assert tube(points, ((0, 0, -7), (0, 0, 7)), (3, 3)).item() == pytest.approx(expected, abs=1e-5)


def test_tube_needs_two_points() -> None:
    with pytest.raises(ValueError, match="at least two points, got 1"):
        tube(np.zeros((3, 1, 1, 1), np.float32), ((0, 0, 0),), (1,))


def test_sphere_volume_and_sign() -> None:
    grid = make_grid((40, 40, 40), (1, 1, 1), CUBE)
    ball = ellipsoid(grid.points, (0, 0, 0), (12, 12, 12))
    assert (ball <= 0).sum() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)
    radius = np.sqrt((grid.points**2).sum(0))
    near = (radius > 10) & (radius < 14)
    assert np.allclose(ball[near], radius[near] - 12, atol=1e-4)


def test_blend_joins_and_outside_keeps_the_gap() -> None:
    grid = make_grid((40, 40, 40), (1, 1, 1), CUBE)
    left, right = (ellipsoid(grid.points, (x, 0, 0), (6, 6, 6)) for x in (-7, 7))
    joined = blend(left, right, 6)
    assert (joined <= np.minimum(left, right) + 1e-5).all()
    assert (joined <= 0).sum() > ((left <= 0) | (right <= 0)).sum()
    kept = outside(left, right, 5.0)
    assert (right[kept <= 0] >= 5).all()


def test_curve_passes_through_its_ends() -> None:
    path = ((0, 0, 0), (5, 5, 0), (10, 0, 0))
    line = curve(path, 8)
    assert line.shape == (9, 3)
    assert np.allclose(line[[0, 4, 8]], path)


def test_solid_drops_crumbs_in_3d_only() -> None:
    shape = np.ones((9, 9, 9), np.float32)
    shape[1:4, 1:4, 1:4] = shape[7, 7, 7] = -1
    assert solid(shape).sum() == 27
    assert solid(shape[:, :, 7:8]).sum() == 1
    assert solid(np.ones((3, 3, 3))).sum() == 0


@pytest.mark.parametrize("shape", [(64, 64, 32), (128, 96)])
def test_smooth_noise_is_standardised_and_smooth(shape: tuple[int, ...]) -> None:
    grid = make_grid(shape, (1,) * len(shape), shape + (16,))
    fields = np.stack([smooth_noise(np.random.default_rng(seed), grid, 4) for seed in range(12)])
    assert fields.shape == (12, *grid.shape)
    assert abs(fields.mean()) < 0.1
    assert 0.8 < fields.std() < 1.25
    assert np.diff(fields, axis=1).std() < 0.45


def test_smooth_noise_is_the_same_field_at_twice_the_resolution() -> None:
    coarse, fine = (make_grid((n, n, n), (40 / n,) * 3, CUBE) for n in (20, 40))
    one, two = (smooth_noise(np.random.default_rng(3), grid, 9) for grid in (coarse, fine))
    halved = two.reshape(20, 2, 20, 2, 20, 2).mean((1, 3, 5))
    assert np.abs(halved - one).max() < 0.05


def test_posed_moves_and_turns_but_keeps_sizes_within_the_asked_growth() -> None:
    grid = make_grid((40, 40, 40), (1, 1, 1), CUBE)
    points = posed(np.random.default_rng(0), grid, shift=3, degrees=10, growth=0.1, warp=0, length=10)
    volume = (ellipsoid(points, (0, 0, 0), (10, 10, 10)) <= 0).sum()
    assert 0.9**3 < volume / (4 / 3 * np.pi * 1000) < 1.12**3
    assert np.abs(points[:, 19:21, 19:21, 19:21].mean((1, 2, 3))).max() <= 3 / 0.9
