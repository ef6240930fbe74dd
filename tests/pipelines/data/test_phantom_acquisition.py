"""Tissues mix at borders; noise has the strength and the distribution that were asked for."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.phantom_acquisition import blurred, ct_scan, mr_scan, paint
from pipelines.data.phantom_shapes import make_grid

GRID = make_grid((40, 40, 20), (1, 1, 1), (40, 40, 20))


def test_paint_mixes_half_at_the_surface() -> None:
    canvas = np.full(5, 100.0)
    paint(canvas, np.array([-3.0, -0.25, 0.0, 0.25, 3.0]), 200.0, 1.0)
    assert canvas.tolist() == [200, 175, 150, 125, 100]


def test_blur_keeps_the_sum_and_single_slices_apart() -> None:
    point = np.zeros((9, 9, 1))
    point[4, 4, 0] = 1
    assert blurred(point, 0.6).sum() == pytest.approx(1)
    assert blurred(np.ones((4, 4, 1)), 2.0).min() == pytest.approx(1)


def test_mr_background_is_rayleigh() -> None:
    image = mr_scan(np.random.default_rng(0), GRID, np.zeros(GRID.shape, np.float32), noise=100, bias=0.2, blur=0.6)
    assert image.dtype == np.int16
    assert image.mean() == pytest.approx(100 * np.sqrt(np.pi / 2), rel=0.02)


def test_mr_bias_field_is_smooth_and_of_the_asked_strength() -> None:
    flat = np.full(GRID.shape, 1000, np.float32)
    scans = [mr_scan(np.random.default_rng(seed), GRID, flat, noise=0, bias=0.15, blur=0) for seed in range(20)]
    logs = np.log(np.stack(scans) / 1000)
    assert 0.08 < logs.std() < 0.25
    assert np.abs(np.diff(logs, axis=1)).max() < 0.06


def test_ct_keeps_hounsfield_units_and_clips() -> None:
    signal = np.full(GRID.shape, 40, np.float32)
    signal[:5] = -2000
    image = ct_scan(np.random.default_rng(0), GRID, signal, noise=12, blur=0)
    assert image.dtype == np.int16
    assert image.min() == -1024
    assert image[10:].mean() == pytest.approx(40, abs=1)
    assert image[10:].std() == pytest.approx(12, rel=0.1)
    neighbours = np.corrcoef(image[10:-1].ravel(), image[11:].ravel())[0, 1]
    assert neighbours > 0.2
