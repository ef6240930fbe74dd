from __future__ import annotations

import pytest

from pipelines.registration.settings import ConvexAdamSettings, PairSettings


@pytest.mark.parametrize(
    ("shape", "cell"),
    [((35, 50, 35), 3), ((160, 192, 160), 6), ((16, 16, 16), 2), ((64, 64, 1), 5), ((5, 5), 2), ((72, 90), 6)],
)
def test_cells_fit_the_image(shape, cell):
    assert ConvexAdamSettings().search_cell(shape) == cell


def test_published_defaults():
    found = ConvexAdamSettings()
    assert (found.radius, found.dilation, found.cell, found.reach, found.consistency_steps) == (1, 2, 6, 4, 15)
    assert (found.adam_cell, found.adam_steps, found.adam_rate, found.diffusion) == (2, 80, 1.0, 1.25)


@pytest.mark.parametrize(("affine", "steps"), [("affine", (50, 50)), ("rigid", (50, 0)), ("none", (0, 0))])
def test_what_comes_before_the_deformation(affine, steps):
    found = PairSettings(affine=affine).engine_settings().affine
    assert (found.rigid_steps, found.affine_steps) == steps
    assert found.is_off == (affine == "none")
