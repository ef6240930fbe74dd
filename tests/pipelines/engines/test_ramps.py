"""Ramps: their ends, their middle, and the published stairs."""

import math

import pytest

from pipelines.engines.ramps import cosine_ramp, early_ramp, linear_ramp, published_ramp, sigmoid_ramp

E5 = math.exp(-5)  # 0.0067

# Ramp, step, length, value.
VALUES = [
    (sigmoid_ramp, 0, 40, E5),
    (sigmoid_ramp, 20, 40, math.exp(-1.25)),
    (sigmoid_ramp, 40, 40, 1.0),
    (sigmoid_ramp, 400, 40, 1.0),
    (sigmoid_ramp, -3, 40, E5),
    (linear_ramp, 0, 40, 0.0),
    (linear_ramp, 10, 40, 0.25),
    (linear_ramp, 40, 40, 1.0),
    (linear_ramp, 41, 40, 1.0),
    (cosine_ramp, 0, 40, 0.0),
    (cosine_ramp, 10, 40, 0.5 * (1 - math.sqrt(0.5))),
    (cosine_ramp, 20, 40, 0.5),
    (cosine_ramp, 40, 40, 1.0),
    # A length of zero or less is a weight that is there from the start.
    (sigmoid_ramp, 0, 0, 1.0),
    (linear_ramp, 0, 0, 1.0),
    (cosine_ramp, 5, -1, 1.0),
]


@pytest.mark.parametrize(("ramp", "step", "length", "expected"), VALUES)
def test_by_hand(ramp, step, length, expected):
    assert ramp(step, length) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ramp", [sigmoid_ramp, linear_ramp, cosine_ramp, published_ramp])
def test_rises_to_exactly_one(ramp):
    values = [ramp(step, 6000) for step in range(0, 6001, 50)]
    assert values == sorted(values)
    assert values[-1] == 1.0
    assert all(0 <= value <= 1 for value in values)


# Iteration of 6000, stair.
STAIRS = [(0, 0), (1, 0), (149, 0), (150, 1), (299, 1), (300, 2), (3000, 20), (5999, 39), (6000, 40), (7000, 40)]


@pytest.mark.parametrize(("iteration", "stair"), STAIRS)
def test_published_stairs(iteration, stair):
    """exp(-5 (1 - floor(iteration / 150) / 40)^2), which is 0.0067 at the start and 1 at the end, not before."""
    assert published_ramp(iteration, 6000) == pytest.approx(math.exp(-5 * (1 - stair / 40) ** 2), abs=1e-15)


def test_every_published_iteration_is_on_its_stair():
    for iteration in range(6001):
        assert published_ramp(iteration, 6000) == sigmoid_ramp(iteration // 150, 40)


def test_a_short_run_climbs_all_stairs():
    assert published_ramp(0, 10) == pytest.approx(E5)
    assert published_ramp(5, 10) == pytest.approx(math.exp(-1.25))
    assert published_ramp(10, 10) == 1.0


@pytest.mark.parametrize(
    ("iteration", "share", "expected"),
    [
        (0, 0.3, E5),
        (15, 0.3, math.exp(-1.25)),
        (30, 0.3, 1.0),
        (100, 0.3, 1.0),
        (0, 0.0, 1.0),
        (50, 1.0, math.exp(-1.25)),
    ],
)
def test_early_ramp_is_up_after_its_share(iteration, share, expected):
    assert early_ramp(iteration, 100, share) == pytest.approx(expected, abs=1e-12)
