"""Rigid, then affine alignment of two feature images by gradient descent."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.registration.grids import Matrix
from pipelines.registration.sampling import pool, sample, to_cells, voxel_indices
from pipelines.registration.settings import AffineSettings


def align_affine(
    fixed: torch.Tensor, moving: torch.Tensor, start: Matrix, weight: torch.Tensor | None, settings: AffineSettings
) -> Matrix:
    """Find the affine that makes the features of ``moving`` resemble those of ``fixed`` most.

    The cost is the mean squared difference over the fixed grid. The map is ``x -> c' + exp(G) (x - c) + t``:
    antisymmetric ``G`` are the rotations, so that rigid and affine are one search. The best of all steps is given, the
    start included.

    Args:
        fixed: ``(C, *shape)``, features.
        moving: ``(C, *shape of its own)``.
        start: ``(d + 1, d + 1)``, fixed index to moving index, a translation.
        weight: ``(1, *shape)`` from 0 to 1, how much each fixed voxel counts; None for all alike.
        settings: see :class:`pipelines.registration.settings.AffineSettings`.

    Returns:
        Fixed index to moving index, ``(d + 1, d + 1)``.
    """
    search = _AffineSearch(fixed, moving, start, weight, settings)
    search.descend(settings.rigid_steps, rigid=True)
    search.descend(settings.affine_steps, rigid=False)
    return search.matrix()


class _AffineSearch:
    """The state of one search: generator G (times the radius, so that all parameters are lengths) and shift t."""

    def __init__(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        start: Matrix,
        weight: torch.Tensor | None,
        settings: AffineSettings,
    ) -> None:
        self.settings = settings
        cell = settings.cell
        self.fixed, self.moving = pool(fixed, cell), pool(moving, cell)
        self.weight = None if weight is None else pool(weight, cell)
        self.dims = fixed.ndim - 1
        self.start = torch.as_tensor(start, dtype=torch.float32, device=fixed.device)
        self.centre = (torch.tensor(fixed.shape[1:], dtype=torch.float32, device=fixed.device) - 1) / 2
        self.radius = float(self.centre.norm().clamp_min(1))
        cells = voxel_indices(self.fixed.shape[1:], fixed.device)
        self.points = cells * cell + (cell - 1) / 2 - self.centre  # in voxels, from the centre
        self.best = torch.zeros(self.dims, self.dims + 1, device=fixed.device)
        self.best_cost = float("inf")

    def descend(self, steps: int, *, rigid: bool) -> None:
        """Go on from the best so far."""
        parameters = self.best.clone().requires_grad_()
        rate = self.settings.rate * self.settings.cell
        optimizer = torch.optim.Adam([parameters], lr=rate)
        for step in range(steps + 1):
            optimizer.zero_grad()
            cost = self._cost(parameters, rigid=rigid)
            if float(cost.detach()) < self.best_cost:
                self.best_cost, self.best = (
                    float(cost.detach()),
                    self._reduced(parameters, rigid=rigid).detach().clone(),
                )
            if step == steps or not torch.isfinite(cost):
                break
            cost.backward()
            optimizer.param_groups[0]["lr"] = rate * (1 + np.cos(np.pi * step / steps)) / 2
            optimizer.step()

    def matrix(self) -> Matrix:
        """The best affine as a matrix of indices."""
        linear, shift = self._parts(self.best.double())
        moved_centre = self.start.double()[:-1, :-1] @ self.centre.double() + self.start.double()[:-1, -1]
        matrix = np.eye(self.dims + 1)
        matrix[:-1, :-1] = linear.cpu().numpy()
        matrix[:-1, -1] = (moved_centre + shift - linear @ self.centre.double()).cpu().numpy()
        return matrix

    def _reduced(self, parameters: torch.Tensor, *, rigid: bool) -> torch.Tensor:
        if not rigid:
            return parameters
        generator = parameters[:, : self.dims]
        return torch.cat([(generator - generator.T) / 2, parameters[:, self.dims :]], dim=1)

    def _parts(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.linalg.matrix_exp(parameters[:, : self.dims] / self.radius), parameters[:, self.dims]

    def _cost(self, parameters: torch.Tensor, *, rigid: bool) -> torch.Tensor:
        reduced = self._reduced(parameters, rigid=rigid)
        linear, shift = self._parts(reduced)
        moved_centre = self.start[:-1, :-1] @ self.centre + self.start[:-1, -1]
        points = self.points @ linear.T + shift + moved_centre
        taken = sample(self.moving, to_cells(points, self.settings.cell))
        cost = (taken - self.fixed).square().mean(0, keepdim=True)
        mean = cost.mean() if self.weight is None else (cost * self.weight).sum() / self.weight.sum()
        generator = reduced[:, : self.dims] / self.radius
        strain = (generator + generator.T) / 2
        return mean + self.settings.stiffness * strain.square().sum() / self.dims
