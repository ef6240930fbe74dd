"""The synthetic fundus: one disc, inside a round field of view, that brightness alone does not find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label as connected_parts

from pipelines.data.phantom_fundus import draw_fundus

SHAPE, SPACING = (128, 128), (10 / 128, 10 / 128)


def drawn(seed: int) -> tuple[np.ndarray, ...]:
    return draw_fundus(np.random.default_rng(seed), SHAPE, SPACING)


@pytest.mark.parametrize("seed", range(4))
def test_the_disc_is_one_round_piece(seed: int) -> None:
    _, label, fov = drawn(seed)
    assert connected_parts(label)[1] == 1
    x, y = np.nonzero(label)
    across = [np.ptp(axis) + 1 for axis in (x, y)]
    assert 15 <= min(across) <= max(across) <= 32
    assert label.sum() > 0.68 * across[0] * across[1]  # a disc fills pi / 4 of its box
    assert np.all(fov[label > 0] == 1)


@pytest.mark.parametrize("seed", range(4))
def test_the_field_of_view_is_round_and_dark_outside(seed: int) -> None:
    image, _, fov = drawn(seed)
    assert set(np.unique(fov)) == {0, 1}
    assert fov.mean() == pytest.approx(np.pi * 4.8**2 / 100, abs=0.005)
    assert np.array_equal(fov, fov[::-1])
    assert np.array_equal(fov, fov.T)
    assert image[fov == 0].max() < 20
    assert np.median(image[fov == 1], axis=0).tolist() == sorted(np.median(image[fov == 1], axis=0), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_disc_is_bright_and_something_else_is_too(seed: int) -> None:
    image, label, fov = drawn(seed)
    green = image[..., 1].astype(float)
    around = (fov == 1) & (label == 0)
    assert green[label > 0].mean() > 1.25 * green[around].mean()
    assert (green[around] > np.median(green[label > 0])).sum() > 0.1 * label.sum()


def test_left_and_right_eyes_occur() -> None:
    sides = [np.nonzero(drawn(seed)[1])[0].mean() > 64 for seed in range(8)]
    assert 0 < sum(sides) < 8


def test_the_same_generator_draws_the_same() -> None:
    for one, two in zip(drawn(0), drawn(0), strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(drawn(0)[0], drawn(1)[0])
