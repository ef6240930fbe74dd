"""A phantom of this kind has what its anatomy promises, whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipelines.data.phantom_atrium import draw_atrium

SHAPE, SPACING_MM = (40, 36, 24), (2.5, 2.5, 2.5)


@pytest.fixture(scope="module", params=[0, 1])
def phantom(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    image, label = draw_atrium(np.random.default_rng(request.param), SHAPE, SPACING_MM)
    return np.asarray(image), np.asarray(label)


def test_the_atrium_is_one_piece_within_the_scan(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    _, label = phantom
    assert set(np.unique(label)) == {0, 1}
    assert 0.02 < label.mean() < 0.3
    sizes = np.bincount(ndimage.label(label, np.ones((3, 3, 3)))[0].ravel())[1:]
    assert sizes.max() > 0.95 * sizes.sum()


def test_blood_is_brighter_than_what_surrounds_it_on_the_whole(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = phantom
    assert image[label == 1].mean() > image[label == 0].mean()
