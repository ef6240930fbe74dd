from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from pipelines.registration.convex_search import (
    candidate_displacements,
    cost_volume,
    coupled_convex,
    make_consistent,
    search_displacements,
    smooth,
)


def test_candidates_are_all_displacements():
    found = candidate_displacements(1, 2).tolist()
    assert found == [[a, b] for a in (-1, 0, 1) for b in (-1, 0, 1)]
    assert candidate_displacements(4, 3).shape == (729, 3)


def test_costs_equal_the_definition():
    rng = np.random.default_rng(0)
    fixed, moving = rng.standard_normal((2, 3, 7, 6))
    found = cost_volume(torch.from_numpy(fixed), torch.from_numpy(moving), 2).numpy()
    padded = np.pad(moving, ((0, 0), (2, 2), (2, 2)), mode="edge")
    for number, (a, b) in enumerate(candidate_displacements(2, 2).long().tolist()):
        squares = ((padded[:, 2 + a : 9 + a, 2 + b : 8 + b] - fixed) ** 2).sum(0)
        expected = uniform_filter(uniform_filter(squares, 3), 3)[2:-2, 2:-2]
        np.testing.assert_allclose(found[number][2:-2, 2:-2], expected, atol=1e-12)


def test_smoothing_counts_only_what_is_there():
    assert smooth(torch.full((1, 4, 5), 2.0), 3).allclose(torch.tensor(2.0))
    assert smooth(torch.tensor([[[3.0, 0.0, 0.0]]])).tolist() == [[[1.5, 1.0, 0.0]]]


@pytest.mark.parametrize("dims", [2, 3])
def test_finds_a_shift(dims):
    shape = (11, 10, 9)[:dims]
    moving = torch.from_numpy(np.random.default_rng(0).standard_normal((4, *shape))).float()
    fixed = moving.roll([-2, 1], [1, 2])  # fixed(x) = moving(x + (2, -1))
    found = search_displacements(fixed, moving, 3)
    inside = found[(slice(None), *(slice(3, -3),) * dims)]
    expected = torch.tensor([2.0, -1.0, 0.0][:dims]).reshape(-1, *(1,) * dims)
    assert float((inside - expected).abs().max()) < 0.3


def test_where_nothing_is_seen_nothing_moves():
    flat = torch.zeros(2, 6, 6, 6)
    assert float(search_displacements(flat, flat, 2).abs().max()) == 0
    assert float(coupled_convex(torch.ones(25, 5, 5), 2).abs().max()) == 0


def test_weight_zero_silences_a_cell():
    fixed, moving = torch.rand(2, 8, 8), torch.rand(2, 8, 8)
    assert float(cost_volume(fixed, moving, 1, torch.zeros(1, 8, 8)).abs().max()) == 0


def test_consistency_brings_a_field_and_its_inverse_together():
    forward = torch.full((2, 9, 9), 1.0)
    kept = make_consistent(forward, -forward)
    torch.testing.assert_close(kept, forward)
    # Where the two directions contradict each other, neither is believed.
    assert float(make_consistent(forward, forward).abs().max()) < 0.1


def test_shrinkage_prefers_the_near_partner():
    """Two partners that fit alike but for a little: without a prior the far one wins, with it the near one."""
    fixed = torch.zeros(1, 30, 30)
    fixed[:, 14:17, 14:17] = 1
    moving = torch.zeros(1, 30, 30)
    moving[:, 15:18, 14:17] = 0.9
    moving[:, 18:21, 14:17] = 1
    free = search_displacements(fixed, moving, 4, 0)
    held = search_displacements(fixed, moving, 4, 0, shrinkage=0.03)
    assert float(free[0, 15, 15]) > 2.5
    assert 0.2 < float(held[0, 15, 15]) < 2
