"""A phantom of this kind has what its anatomy promises, whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipelines.data.phantom_two_class import draw_two_class

SHAPE, SPACING_MM = (36, 50, 36), (1.0, 1.0, 1.0)


@pytest.fixture(scope="module", params=[0, 1])
def phantom(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    image, label = draw_two_class(np.random.default_rng(request.param), SHAPE, SPACING_MM)
    return np.asarray(image), np.asarray(label)


def test_two_classes_touch(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    _, label = phantom
    assert set(np.unique(label)) == {0, 1, 2}
    assert (ndimage.binary_dilation(label == 1) & (label == 2)).any()


def test_each_class_has_one_main_piece(phantom: tuple[np.ndarray, np.ndarray]) -> None:
    for value in (1, 2):
        sizes = np.bincount(ndimage.label(phantom[1] == value, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() > 0.8 * sizes.sum()
