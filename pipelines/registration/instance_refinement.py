"""Adam on the displacements of one pair: the fine part of a registration."""

from __future__ import annotations

import torch

from pipelines.registration.convex_search import smooth
from pipelines.registration.sampling import pool, sample, to_cells, voxel_indices

CHANNEL_SUM = 12.0


def refine_displacements(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    field: torch.Tensor,
    *,
    cell: int,
    steps: int,
    rate: float,
    diffusion: float,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Improve a field by gradient descent.

    The cost is 12 times the mean squared feature difference, plus ``diffusion`` times the mean squared differences of
    neighbouring displacements (in cells), summed over the axes. Displacements are averaged three times over 3 cells
    before they are used, as a cubic B-spline would. The search starts from ``field``, or from no displacement where
    that is cheaper. Of all steps, and of no displacement at all, the cheapest is given.

    Args:
        fixed: ``(C, *shape)``, features.
        moving: ``(C, *shape)``.
        field: ``(d, *shape)``, in voxels.
        cell: displacements live on cells of this many voxels an axis.
        steps: of Adam.
        rate: of Adam, in cells.
        diffusion: see above.
        weight: ``(1, *shape)``, how much each voxel counts; None for all alike.

    Returns:
        The field, ``(d, *shape)`` in voxels.
    """
    target, source = pool(fixed, cell), pool(moving, cell)
    share = None if weight is None else pool(weight, cell)
    points = voxel_indices(target.shape[1:], fixed.device)

    def cost_of(displacements: torch.Tensor) -> torch.Tensor:
        taken = sample(source, points + displacements.movedim(0, -1))
        squares = (taken - target).square().mean(0, keepdim=True)
        mean = squares.mean() if share is None else (squares * share).sum() / share.sum()
        return CHANNEL_SUM * mean + diffusion * _roughness(displacements)

    given = pool(field, cell) / cell
    best = torch.zeros_like(given)
    with torch.no_grad():
        best_cost = float(cost_of(best))
        parameters = given if float(cost_of(smooth(given, 3))) <= best_cost else best.clone()
    parameters.requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=rate)
    for step in range(steps + 1):
        optimizer.zero_grad()
        displacements = smooth(parameters, 3)
        cost = cost_of(displacements)
        if float(cost.detach()) < best_cost:
            best, best_cost = displacements.detach().clone(), float(cost.detach())
        if step == steps or not torch.isfinite(cost):
            break
        cost.backward()
        optimizer.step()
    return from_cells(best, cell, field.shape[1:]) * cell


def from_cells(values: torch.Tensor, cell: int, shape: torch.Size) -> torch.Tensor:
    """Interpolate what lives on cells, ``(C, *cells)``, at every voxel of ``shape``."""
    if cell == 1:
        return values
    return sample(values, to_cells(voxel_indices(shape, values.device), cell))


def _roughness(field: torch.Tensor) -> torch.Tensor:
    """Sum over the axes of the mean squared difference of neighbours; an axis of one cell has none."""
    total = field.new_zeros(())
    for axis in range(1, field.ndim):
        if field.shape[axis] > 1:
            total = total + field.diff(dim=axis).square().mean()
    return total
