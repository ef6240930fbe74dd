from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pipelines.registration.instance_refinement import from_cells, refine_displacements

OPTIONS = {"cell": 2, "steps": 60, "rate": 0.5, "diffusion": 0.1}


def texture(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(
        gaussian_filter(np.random.default_rng(0).standard_normal((2, *shape)), (0, *(2.5,) * len(shape)))
    )


@pytest.mark.parametrize("shape", [(40, 36), (22, 24, 20)])
def test_finds_a_shift_that_the_start_does_not_know(shape):
    moving = texture(shape).float() * 10
    fixed = moving.roll(-1, 1)
    found = refine_displacements(fixed, moving, torch.zeros(len(shape), *shape), **OPTIONS)
    inside = found[(slice(None), *(slice(6, -6),) * len(shape))]
    assert float((inside[0] - 1).abs().mean()) < 0.25
    assert float(inside[1:].abs().mean()) < 0.25


def test_equal_features_do_not_move():
    values = texture((20, 20)).float()
    assert float(refine_displacements(values, values, torch.zeros(2, 20, 20), **OPTIONS).abs().max()) == 0


def test_no_step_may_make_it_worse():
    moving = texture((20, 20)).float() * 10
    start = torch.full((2, 20, 20), 0.5)
    found = refine_displacements(moving, moving, start, cell=1, steps=3, rate=50.0, diffusion=0.1)
    assert float(found.abs().max()) == 0


def test_a_linear_field_comes_back_from_cells():
    cells = torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 3) * 2 + 0.5
    found = from_cells(cells, 2, torch.Size((8, 6)))
    torch.testing.assert_close(found[0, 1:-1, 0], torch.arange(1.0, 7.0))
