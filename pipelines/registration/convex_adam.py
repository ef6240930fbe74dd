"""Registration by ConvexAdam on MIND-SSC features: affine, then dense search, then Adam; in 2D and 3D."""

from __future__ import annotations

import torch

from pipelines.registration.affine_alignment import align_affine
from pipelines.registration.convex_search import search_displacements
from pipelines.registration.descriptors import centred_descriptors, likeness
from pipelines.registration.grids import Matrix
from pipelines.registration.instance_refinement import from_cells, refine_displacements
from pipelines.registration.sampling import move_points, pool, sample, voxel_indices
from pipelines.registration.settings import ConvexAdamSettings


def convex_adam(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    start: Matrix,
    weight: torch.Tensor | None,
    settings: ConvexAdamSettings,
) -> tuple[Matrix, torch.Tensor]:
    """Register ``moving`` to ``fixed``.

    The affine is kept when it makes the images more alike than ``start`` does.

    Args:
        fixed: ``(1, *shape)``, float32.
        moving: ``(1, *shape of its own)``, with the axes and the spacing of ``fixed``.
        start: ``(d + 1, d + 1)``, fixed index to moving index, a translation.
        weight: ``(1, *shape)`` from 0 to 1, how much each fixed voxel counts; None for all alike.
        settings: see :class:`pipelines.registration.settings.ConvexAdamSettings`.

    Returns:
        The affine ``M`` and the field ``u``, ``(d, *shape)`` in voxels of ``fixed``: the fixed voxel ``x`` is at
        ``M (x + u(x))`` in the moving image.
    """
    fixed_features = _features(fixed, settings)
    matrix, moving_features = _align(fixed_features, moving, start, weight, settings)
    shape = fixed.shape[1:]
    cell = settings.search_cell(tuple(shape))
    with torch.no_grad():
        coarse = search_displacements(
            pool(fixed_features, cell),
            pool(moving_features, cell),
            settings.reach,
            settings.consistency_steps,
            None if weight is None else pool(weight, cell),
            settings.shrinkage,
        )
        found = from_cells(coarse, cell, shape) * cell
    refined = refine_displacements(
        fixed_features,
        moving_features,
        found,
        cell=settings.adam_cell,
        steps=settings.adam_steps,
        rate=settings.adam_rate,
        diffusion=settings.diffusion,
        weight=weight,
    )
    return matrix, refined


def _align(
    fixed_features: torch.Tensor,
    moving: torch.Tensor,
    start: Matrix,
    weight: torch.Tensor | None,
    settings: ConvexAdamSettings,
) -> tuple[Matrix, torch.Tensor]:
    """Give the affine, and the features of the moving image as it carries them to the fixed grid."""

    def carried(matrix: Matrix) -> torch.Tensor:
        points = move_points(voxel_indices(fixed_features.shape[1:], moving.device), matrix)
        return _features(sample(moving, points), settings)

    before = carried(start)
    if settings.affine.is_off:
        return start, before
    matrix = align_affine(fixed_features, _features(moving, settings), start, weight, settings.affine)
    after = carried(matrix)
    # What the affine gains by moving flat places onto each other is no likeness.
    if likeness(fixed_features, after, weight) < likeness(fixed_features, before, weight):
        return start, before
    return matrix, after


def _features(image: torch.Tensor, settings: ConvexAdamSettings) -> torch.Tensor:
    return centred_descriptors(image, settings.radius, settings.dilation)
