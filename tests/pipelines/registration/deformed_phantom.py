"""A pair of images with a known deformation between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from pipelines.registration.grids import Grid
from pipelines.registration.pair import Scan
from pipelines.registration.transformation import Transformation, warp_label


@dataclass(frozen=True)
class DeformedPair:
    """An atlas, and a target that is the atlas deformed: ``target(x) = atlas(x + true(x))``."""

    atlas: Scan
    atlas_label: np.ndarray
    target: Scan
    target_label: np.ndarray
    true_points: np.ndarray
    """(*shape, d): where each voxel of the target lies in the atlas, in mm."""

    def error_mm(self, transformation: Transformation, border: int = 4) -> float:
        """Mean distance of the places found from the true ones, away from the border."""
        found = transformation.atlas_points(self.target.grid).numpy()
        inside = tuple(slice(min(border, size // 4), size - min(border, size // 4)) for size in self.target.grid.shape)
        return float(np.linalg.norm(found - self.true_points, axis=-1)[inside].mean())

    def dice(self, transformation: Transformation) -> float:
        found = warp_label(self.atlas_label, self.atlas.grid, transformation, self.target.grid)
        shared = np.count_nonzero(found & self.target_label)
        return 2 * shared / (np.count_nonzero(found) + np.count_nonzero(self.target_label))


def deformed_pair(
    shape: tuple[int, ...] = (32, 36, 30),
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    amplitude_mm: float = 2.5,
    angle: float = 0.0,
    shift_mm: float = 0.0,
    other_modality: bool = False,
    seed: int = 0,
) -> DeformedPair:
    """Draw a textured body and deform it smoothly: sines of ``amplitude_mm``, a rotation and a shift."""
    rng = np.random.default_rng(seed)
    dims = len(shape)
    matrix = np.diag([*spacing, 1.0])
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1)
    places = indices * np.array(spacing)
    middle = (np.array(shape) - 1) * np.array(spacing) / 2
    sigma = 2.5 / np.array(spacing)
    texture = gaussian_filter(rng.standard_normal(shape), sigma)
    atlas = texture / texture.std()
    radius = np.linalg.norm((places - middle) / np.maximum(middle * 0.6, 1), axis=-1)
    atlas = atlas + 3 * (radius < 1)
    atlas_label = (radius < 1).astype(np.uint8)
    phases = 2 * np.pi * (places - middle) / (1.6 * middle.max())
    moved = np.stack([amplitude_mm * np.sin(phases[..., (axis + 1) % dims] + axis) for axis in range(dims)], axis=-1)
    turn = np.eye(dims)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    points = (places - middle) @ turn.T + middle + moved + shift_mm
    at = np.moveaxis(points / np.array(spacing), -1, 0)
    target = map_coordinates(atlas, at, order=1, mode="nearest")
    target_label = (map_coordinates(atlas_label.astype(float), at, order=1) > 0.5).astype(np.uint8)
    if other_modality:
        target = np.exp(-0.5 * target)
    grid = Grid(shape, matrix)
    return DeformedPair(
        Scan("atlas", atlas.astype(np.float32), grid),
        atlas_label,
        Scan("target", target.astype(np.float32), grid),
        target_label,
        points,
    )
