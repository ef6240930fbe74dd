"""Coupled convex optimisation: the best displacement of each cell out of a dense set, made smooth and invertible."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pipelines.registration.sampling import sample, voxel_indices

COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
# Cells where nothing is to be seen cost the same everywhere: of equal costs the shortest displacement wins.
_TIE = 1e-6


def candidate_displacements(reach: int, dims: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Give every displacement of up to ``reach`` cells an axis, ``((2 reach + 1)^d, d)``, the last axis fastest."""
    return voxel_indices((2 * reach + 1,) * dims, device).reshape(-1, dims) - reach


def smooth(values: torch.Tensor, times: int = 1) -> torch.Tensor:
    """Average ``(C, *shape)`` over 3 voxels an axis; at the border over those that are there.

    Axes of fewer than 3 voxels are left as they are.
    """
    mean = F.avg_pool3d if values.ndim == 4 else F.avg_pool2d
    # torch pools no axis that is shorter than its window.
    width = [3 if size > 2 else 1 for size in values.shape[1:]]
    margin = [size // 2 for size in width]
    smoothed = values[None]
    for _ in range(times):
        smoothed = mean(smoothed, width, stride=1, padding=margin, count_include_pad=False)
    return smoothed[0]


def cost_volume(
    fixed: torch.Tensor, moving: torch.Tensor, reach: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute the sum of squared feature differences of every cell and displacement, smoothed twice over 3 cells.

    Args:
        fixed: ``(C, *shape)``.
        moving: ``(C, *shape)``, of the same shape; its border cells are repeated outside.
        reach: longest displacement an axis, in cells.
        weight: ``(1, *shape)``, how much each cell counts.

    Returns:
        ``((2 reach + 1)^d, *shape)``.
    """
    shape, dims = fixed.shape[1:], fixed.ndim - 1
    padded = F.pad(moving[None], (reach,) * (2 * dims), mode="replicate")[0]
    candidates = candidate_displacements(reach, dims)
    costs = fixed.new_empty((len(candidates), *shape))
    for number, displacement in enumerate(candidates.long().tolist()):
        window = [slice(reach + step, reach + step + size) for step, size in zip(displacement, shape, strict=True)]
        costs[number] = (padded[(slice(None), *window)] - fixed).square().sum(0)
    if weight is None:
        return smooth(costs, 2)
    return smooth(costs * weight, 2)


def coupled_convex(costs: torch.Tensor, reach: int) -> torch.Tensor:
    """Choose a displacement for each cell so that the field is smooth.

    In turn each cell takes the displacement of least cost plus ``theta |d - s|^2``, and the field ``s`` is the mean
    over 3 cells of what was taken; ``theta`` grows over ``COUPLING``.

    Args:
        costs: ``((2 reach + 1)^d, *shape)``.
        reach: longest displacement an axis, in cells.

    Returns:
        The field in cells, ``(d, *shape)``.

    References:
        Siebert et al., ConvexAdam, IEEE TMI 2024, after Heinrich et al., MICCAI 2014.
    """
    shape, dims = costs.shape[1:], costs.ndim - 1
    candidates = candidate_displacements(reach, dims, costs.device)  # (K, d)
    flat = costs.reshape(len(candidates), -1) + _TIE * candidates.square().sum(1, keepdim=True)
    taken = flat.argmin(0)
    field = smooth(candidates[taken].T.reshape(dims, *shape))
    lengths = candidates.square().sum(1, keepdim=True)  # (K, 1)
    for theta in COUPLING:
        # |d - s|^2 without |s|^2, which does not change which is least.
        coupled = flat + theta * (lengths - 2 * candidates @ field.reshape(dims, -1))
        field = smooth(candidates[coupled.argmin(0)].T.reshape(dims, *shape))
    return field


def make_consistent(forward: torch.Tensor, backward: torch.Tensor, steps: int = 15) -> torch.Tensor:
    """Bring two fields closer to being each other's inverse; give the first.

    Args:
        forward: ``(d, *shape)``, in cells.
        backward: the same for the other direction.
        steps: of ``u <- (u - v o (id + u)) / 2`` and the same for ``v``.
    """
    points = voxel_indices(forward.shape[1:], forward.device)
    for _ in range(steps):
        there = sample(backward, points + forward.movedim(0, -1))
        back = sample(forward, points + backward.movedim(0, -1))
        forward, backward = (forward - there) / 2, (backward - back) / 2
    return forward


def search_displacements(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    reach: int,
    consistency_steps: int = 15,
    weight: torch.Tensor | None = None,
    shrinkage: float = 0.0,
) -> torch.Tensor:
    """Find the field in cells, ``(d, *shape)``, that carries the cells of ``fixed`` to those of ``moving``.

    Args:
        fixed: ``(C, *shape)``, averaged features.
        moving: ``(C, *shape)``.
        reach: longest displacement an axis, in cells.
        consistency_steps: see :func:`make_consistent`; 0 searches in one direction only.
        weight: ``(1, *shape)``, how much each fixed cell counts.
        shrinkage: what the squared length of a displacement costs: a Gaussian prior that holds cells back which see
            partners everywhere. 0 for none.
    """
    forward = coupled_convex(_shrunk(cost_volume(fixed, moving, reach, weight), reach, shrinkage), reach)
    if consistency_steps == 0:
        return forward
    backward = coupled_convex(_shrunk(cost_volume(moving, fixed, reach), reach, shrinkage), reach)
    return make_consistent(forward, backward, consistency_steps)


def _shrunk(costs: torch.Tensor, reach: int, shrinkage: float) -> torch.Tensor:
    """Add ``shrinkage`` times the squared length of each displacement, in place."""
    dims = costs.ndim - 1
    lengths = candidate_displacements(reach, dims, costs.device).square().sum(1)
    return costs.add_(shrinkage * lengths.reshape(-1, *(1,) * dims))
