from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, gaussian_filter

from pipelines.registration.affine_alignment import align_affine
from pipelines.registration.settings import AffineSettings


def features(shape: tuple[int, ...]) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(0).standard_normal(shape), 3).astype(np.float32) * 20


@pytest.mark.parametrize("shape", [(48, 44), (28, 30, 26)])
def test_recovers_an_affine(shape):
    dims = len(shape)
    moving = features(shape)
    true = np.eye(dims + 1)
    true[0, 0], true[1, 1] = 1.08, 0.95
    true[0, 1], true[1, 0] = 0.1, -0.08
    centre = (np.array(shape) - 1) / 2
    true[:-1, -1] = centre - true[:-1, :-1] @ centre + 2.0
    fixed = affine_transform(moving, true[:-1, :-1], true[:-1, -1], order=1, mode="nearest")
    found = align_affine(
        torch.from_numpy(fixed)[None],
        torch.from_numpy(moving)[None],
        np.eye(dims + 1),
        None,
        AffineSettings(stiffness=0),
    )
    corner = np.append(np.array(shape) * 0.8, 1)
    start_error = np.linalg.norm((true @ corner - corner)[:-1])
    assert np.linalg.norm(((true - found) @ corner)[:-1]) < start_error / 4


def test_a_rigid_search_does_not_stretch():
    moving = torch.from_numpy(features((40, 40)))[None]
    fixed = moving.roll(2, 1)
    found = align_affine(fixed, moving, np.eye(3), None, AffineSettings(affine_steps=0))
    np.testing.assert_allclose(found[:2, :2] @ found[:2, :2].T, np.eye(2), atol=1e-6)


def test_equal_features_stay_where_they_are():
    values = torch.from_numpy(features((24, 24, 20)))[None]
    np.testing.assert_allclose(align_affine(values, values, np.eye(4), None, AffineSettings()), np.eye(4), atol=1e-4)


def test_only_what_has_weight_counts():
    moving = torch.from_numpy(features((40, 40)))[None]
    fixed = moving.roll(-2, 1).clone()
    fixed[:, 20:] = moving[:, 20:]
    weight = torch.zeros_like(fixed)
    weight[:, 4:16] = 1
    found = align_affine(fixed, moving, np.eye(3), weight, AffineSettings(affine_steps=0))
    assert found[0, 2] + found[0, 1] * 20 + (found[0, 0] - 1) * 10 == pytest.approx(2, abs=0.7)
