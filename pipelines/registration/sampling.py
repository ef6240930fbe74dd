"""Linear sampling at places given in voxels, and the moves between an image's grid and a coarser one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from pipelines.registration.grids import Grid, Matrix, inverse


def voxel_indices(shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
    """Give the index of every voxel, ``(*shape, d)`` float32."""
    axes = [torch.arange(size, dtype=torch.float32, device=device) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def move_points(points: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    """Map points ``(..., d)`` by a homogeneous matrix; its product is formed in double precision."""
    linear = torch.as_tensor(matrix[:-1, :-1], dtype=points.dtype, device=points.device)
    offset = torch.as_tensor(matrix[:-1, -1], dtype=points.dtype, device=points.device)
    return points @ linear.T + offset


def sample(values: torch.Tensor, points: torch.Tensor, outside: str = "border") -> torch.Tensor:
    """Interpolate linearly.

    Args:
        values: ``(C, *shape)``.
        points: ``(*places, d)``, in voxels of ``values``, order of its axes.
        outside: ``border`` repeats the last voxel beyond the grid, ``zeros`` is 0 there.

    Returns:
        ``(C, *places)``; differentiable in both.
    """
    dims = points.shape[-1]
    sizes = torch.tensor(values.shape[1:], dtype=points.dtype, device=points.device)
    scaled = 2 * points / (sizes - 1).clamp_min(1) - (sizes > 1).to(points.dtype)
    places = points.shape[:-1]
    lattice = scaled.flip(-1).reshape(1, -1, *(1,) * (dims - 1), dims)  # (1, P, 1[, 1], d)
    taken = F.grid_sample(values[None], lattice, mode="bilinear", padding_mode=outside, align_corners=True)
    taken = taken.reshape(values.shape[0], *places)
    if outside == "border" or bool((sizes > 1).all()):
        return taken
    # grid_sample does not see how far from an axis of one voxel a place is.
    return taken * ((sizes > 1) | (points.abs() <= 0.5)).all(-1)


def pool(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Average ``(C, *shape)`` over cells of ``factor`` voxels an axis; the border fills the last cell."""
    if factor == 1:
        return values
    shape = values.shape[1:]
    missing = [(-size) % factor for size in shape]
    filled = F.pad(values[None], [n for gap in reversed(missing) for n in (0, gap)], mode="replicate")
    mean = F.avg_pool3d if len(shape) == 3 else F.avg_pool2d
    return mean(filled, factor, stride=factor)[0]


def to_cells(points: torch.Tensor, factor: int) -> torch.Tensor:
    """Give the places ``points`` (in voxels) in units of cells of ``factor`` voxels: the first cell's middle is 0."""
    return (points - (factor - 1) / 2) / factor


def resample(array: np.ndarray, grid: Grid, onto: Grid, *, label: bool = False) -> np.ndarray:
    """Bring an image, float32, from its grid onto another; outside, the border repeats (labels: 0).

    When the other grid is coarser the image is smoothed first, by a Gaussian of ``sqrt(ratio^2 - 1) / 2`` voxels.
    """
    ratio = onto.spacing_mm.min() / grid.spacing_mm
    sigma = np.sqrt(np.maximum(ratio**2 - 1, 0)) / 2
    values = np.asarray(array, dtype=np.float32)
    if (sigma > 0.3).any():
        values = gaussian_filter(values, np.where(sigma > 0.3, sigma, 0), mode="nearest")
    to_index = inverse(grid.matrix) @ onto.matrix
    if grid.shape == onto.shape and np.allclose(to_index, np.eye(grid.dims + 1), rtol=0, atol=1e-5):
        return values.copy()
    points = move_points(voxel_indices(onto.shape), to_index)
    taken = sample(torch.from_numpy(np.ascontiguousarray(values))[None], points, "zeros" if label else "border")
    return np.asarray(taken[0].numpy())
