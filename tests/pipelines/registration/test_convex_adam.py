from __future__ import annotations

import numpy as np
import torch

from pipelines.registration.convex_adam import convex_adam
from pipelines.registration.settings import AffineSettings, ConvexAdamSettings
from tests.pipelines.registration.deformed_phantom import deformed_pair


def test_the_field_comes_before_the_affine():
    known = deformed_pair((48, 44), (1.0, 1.0), angle=0.2, amplitude_mm=1.5)
    fixed, moving = (torch.from_numpy(scan.array)[None] for scan in (known.target, known.atlas))
    matrix, field = convex_adam(fixed, moving, np.eye(3), None, ConvexAdamSettings())
    places = np.stack(np.meshgrid(np.arange(48), np.arange(44), indexing="ij"), -1) + field.numpy().transpose(1, 2, 0)
    mapped = places @ matrix[:2, :2].T + matrix[:2, 2]
    error = np.linalg.norm(mapped - known.true_points, axis=-1)[6:-6, 6:-6].mean()
    start = np.linalg.norm(places - field.numpy().transpose(1, 2, 0) - known.true_points, axis=-1)[6:-6, 6:-6].mean()
    assert error < start / 3


def test_one_voxel_thick():
    known = deformed_pair((40, 36, 1), (1.0, 1.0, 1.0), amplitude_mm=0.0)
    fixed = torch.from_numpy(known.target.array)[None]
    settings = ConvexAdamSettings(affine=AffineSettings(rigid_steps=2, affine_steps=2), adam_steps=3)
    matrix, field = convex_adam(fixed, fixed, np.eye(4), None, settings)
    np.testing.assert_allclose(matrix, np.eye(4), atol=1e-4)
    assert float(field.abs().max()) < 1e-3
