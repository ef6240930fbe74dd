"""A phantom of this kind has what its anatomy promises, whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipelines.data.phantom_ct_organ import draw_ct_organ

SHAPE, SPACING_MM = (60, 48, 24), (3.0, 3.0, 4.0)


@pytest.fixture(scope="module", params=[0, 1])
def phantom(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    image, label = draw_ct_organ(np.random.default_rng(request.param), SHAPE, SPACING_MM)
    return np.asarray(image), np.asarray(label)


def test_the_organ_is_soft_tissue_among_air_and_bone(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = phantom
    assert set(np.unique(label)) == {0, 1}
    assert -50 < np.median(image[label == 1]) < 200  # Hounsfield units
    assert image.min() < -700
    assert image.max() > 250


def test_the_organ_has_one_main_piece(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    sizes = np.bincount(ndimage.label(phantom[1], np.ones((3, 3, 3)))[0].ravel())[1:]
    assert sizes.max() > 0.7 * sizes.sum()
