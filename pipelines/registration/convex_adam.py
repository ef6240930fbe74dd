"""Registration by ConvexAdam on MIND-SSC features: affine, then dense search, then Adam; in 2D and 3D."""

from __future__ import annotations

import torch

from networks.layers.mind_ssc import mind_ssc
from pipelines.registration.affine_alignment import align_affine
from pipelines.registration.convex_search import search_displacements
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
    matrix = align_affine(fixed_features, _features(moving, settings), start, weight, settings.affine)
    shape = fixed.shape[1:]
    aligned = sample(moving, move_points(voxel_indices(shape, fixed.device), matrix))
    moving_features = _features(aligned, settings)
    cell = settings.search_cell(tuple(shape))
    with torch.no_grad():
        coarse = search_displacements(
            pool(fixed_features, cell),
            pool(moving_features, cell),
            settings.reach,
            settings.consistency_steps,
            None if weight is None else pool(weight, cell),
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


def _features(image: torch.Tensor, settings: ConvexAdamSettings) -> torch.Tensor:
    with torch.no_grad():
        return mind_ssc(image[None], settings.radius, settings.dilation)[0]
