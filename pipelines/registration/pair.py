"""One atlas and one target: initial alignment, registration by either engine, and what to do when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from pipelines.registration.convex_adam import convex_adam
from pipelines.registration.descriptors import centred_descriptors, likeness
from pipelines.registration.grids import Grid, Matrix, covering_grid, inverse, overlap, perpendicular_axes, working_grid
from pipelines.registration.sampling import move_points, resample, sample
from pipelines.registration.settings import AFFINES, ENGINES, STARTS, PairSettings
from pipelines.registration.transformation import Transformation
from transforms.io.input_error import InputError

_PERCENTILES = (0.5, 99.5)
_LEAST_OVERLAP = 0.25
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Scan:
    """One image to register.

    Args:
        name: how refusals call it.
        array: ``(H, W[, D])``, one channel, finite.
        grid: where its voxels lie.
        mask: the same shape; only where it is not 0 the image counts. None for all of it.
    """

    name: str
    array: np.ndarray
    grid: Grid
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Registration:
    """What registering a pair gave.

    Args:
        start: the initial alignment.
        affine: after the affine stage.
        final: after the deformable stage.
        similarity: correlation of the centred MIND-SSC descriptors on the working grid, for each of ``start``,
            ``affine`` and ``final``: 1 for equal images, about 0 for images that have nothing in common. It is also
            what decides whether a stage of ``convexadam`` is kept.
        fallback: why the final transformation is not what the engine gave; empty when it is.
    """

    start: Transformation
    affine: Transformation
    final: Transformation
    similarity: Mapping[str, float]
    fallback: str = ""


@dataclass(frozen=True)
class _Prepared:
    """Both images on grids of equal axes and spacing."""

    grid: Grid
    moving_grid: Grid
    fixed: torch.Tensor
    moving: torch.Tensor
    weight: torch.Tensor | None
    moving_mask: torch.Tensor | None

    def index_matrix(self, shift_mm: np.ndarray) -> Matrix:
        """Fixed index to moving index when the target is moved by ``shift_mm``."""
        moved = self.grid.matrix.copy()
        moved[:-1, -1] += shift_mm
        return inverse(self.moving_grid.matrix) @ moved

    def transformation(self, matrix: Matrix, displacements: torch.Tensor | None) -> Transformation:
        field = None if displacements is None else displacements.cpu()
        return Transformation(self.grid, self.moving_grid.matrix @ matrix, field)


def register_pair(
    target: Scan, atlas: Scan, settings: PairSettings, device: torch.device | str = "cpu"
) -> Registration:
    """Register ``atlas`` to ``target``.

    Args:
        target: stays where it is.
        atlas: is carried to the target; the same number of axes.
        settings: see :class:`pipelines.registration.settings.PairSettings`.
        device: where ``convexadam`` computes; ``simpleitk`` computes on the CPU.

    Raises:
        InputError: when the two do not have the same number of axes, or do not overlap at all by their headers though
            these shall be trusted.
        ValueError: for an engine, a start or an affine that is not known.
    """
    for name, value, known in (
        ("engine", settings.engine, ENGINES),
        ("start", settings.start, STARTS),
        ("affine", settings.affine, AFFINES),
    ):
        if value not in known:
            raise ValueError(f"{name} must be of {known}, got {value}.")
    if target.grid.dims != atlas.grid.dims:
        raise InputError(atlas.name, f"is {atlas.grid.dims}D, but the target {target.name} is {target.grid.dims}D")
    prepared = _prepare(target, atlas, settings.spacing_mm, device)
    shift = _choose_start(target, atlas, prepared, settings.start)
    start = prepared.index_matrix(shift)
    fallback = ""
    try:
        matrix, displacements = _run_engine(prepared, start, settings)
    except RuntimeError as fault:
        matrix, displacements = start, None
        fallback = f"the initial alignment was kept: {str(fault).strip().splitlines()[-1]}"
    stages = {"start": prepared.transformation(start, None), "affine": prepared.transformation(matrix, None)}
    stages["final"] = prepared.transformation(matrix, displacements)
    if not stages["affine"].is_finite():
        stages["affine"] = stages["final"] = stages["start"]
        fallback = "the initial alignment was kept: the affine was not finite"
    elif not stages["final"].is_finite():
        stages["final"] = stages["affine"]
        fallback = "the affine was kept: the field was not finite"
    similarity = {name: _similarity(prepared, stage) for name, stage in stages.items()}
    if settings.engine == "convexadam" and similarity["final"] < similarity["affine"] - _TOLERANCE:
        stages["final"], similarity["final"] = stages["affine"], similarity["affine"]
        fallback = "the affine was kept: the field made the images less alike"
    return Registration(**stages, similarity=MappingProxyType(similarity), fallback=fallback)


def _run_engine(prepared: _Prepared, start: Matrix, settings: PairSettings) -> tuple[Matrix, torch.Tensor | None]:
    if settings.engine == "convexadam":
        return convex_adam(prepared.fixed, prepared.moving, start, prepared.weight, settings.engine_settings())
    from pipelines.registration.simpleitk_engine import align_with_simpleitk

    return align_with_simpleitk(
        prepared.fixed[0].cpu().numpy(),
        prepared.moving[0].cpu().numpy(),
        start,
        None if prepared.weight is None else prepared.weight[0].cpu().numpy(),
        None if prepared.moving_mask is None else prepared.moving_mask[0].cpu().numpy(),
        seed=settings.seed,
        affine=settings.affine,
    )


def _prepare(target: Scan, atlas: Scan, spacing_mm: float | None, device: torch.device | str) -> _Prepared:
    grid = working_grid(target.grid, spacing_mm)
    moving_grid = covering_grid(atlas.grid, perpendicular_axes(grid), float(grid.spacing_mm[0]))
    masks = [_mask_on(scan, onto) for scan, onto in ((target, grid), (atlas, moving_grid))]
    images = [
        _scaled(resample(_filled(scan), scan.grid, onto)) for scan, onto in ((target, grid), (atlas, moving_grid))
    ]
    fixed, moving = (torch.from_numpy(image)[None].to(device) for image in images)
    weight, moving_mask = (None if mask is None else torch.from_numpy(mask)[None].to(device) for mask in masks)
    return _Prepared(grid, moving_grid, fixed, moving, weight, moving_mask)


def _filled(scan: Scan) -> np.ndarray:
    """Give what lies outside the mask the value of the nearest voxel inside, so that the mask makes no edge."""
    if scan.mask is None:
        return scan.array
    _require_mask(scan)
    nearest = distance_transform_edt(
        scan.mask == 0, sampling=scan.grid.spacing_mm, return_distances=False, return_indices=True
    )
    return np.asarray(scan.array[tuple(nearest)])


def _mask_on(scan: Scan, onto: Grid) -> np.ndarray | None:
    if scan.mask is None:
        return None
    _require_mask(scan)
    return resample(scan.mask != 0, scan.grid, onto, label=True)


def _require_mask(scan: Scan) -> None:
    if scan.mask is not None and scan.mask.shape != scan.array.shape:
        raise InputError(scan.name, f"its mask has shape {scan.mask.shape}, but the image {scan.array.shape}")
    if scan.mask is not None and not scan.mask.any():
        raise InputError(scan.name, "its mask is empty")


def _scaled(image: np.ndarray) -> np.ndarray:
    """Clip to the percentiles 0.5 and 99.5 and scale to [0, 1]; a constant image becomes 0."""
    low, high = np.percentile(image, _PERCENTILES)
    if high <= low:
        low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.zeros_like(image, dtype=np.float32)
    return np.asarray((np.clip(image, low, high) - low) / (high - low), dtype=np.float32)


def _choose_start(target: Scan, atlas: Scan, prepared: _Prepared, start: str) -> np.ndarray:
    """Give the shift in mm of the target's places that starts the search."""
    nowhere = np.zeros(target.grid.dims)
    centred = _middle(atlas) - _middle(target)
    shared = overlap(target.grid, atlas.grid, nowhere)
    if start == "header" and shared == 0:
        raise InputError(atlas.name, f"does not overlap with {target.name} by their headers; use --start centre")
    if start != "auto":
        return nowhere if start == "header" else centred
    if shared < _LEAST_OVERLAP:
        return centred
    looks = [
        _similarity(prepared, prepared.transformation(prepared.index_matrix(shift), None))
        for shift in (nowhere, centred)
    ]
    return nowhere if looks[0] >= looks[1] else centred


def _middle(scan: Scan) -> np.ndarray:
    if scan.mask is None:
        return scan.grid.centre_mm
    inside = np.argwhere(scan.mask).mean(axis=0)
    return np.asarray(scan.grid.matrix[:-1, :-1] @ inside + scan.grid.matrix[:-1, -1])


def _similarity(prepared: _Prepared, transformation: Transformation) -> float:
    """How alike the target and the atlas are as it is carried to it."""
    device = prepared.fixed.device
    points = (
        move_points(transformation.atlas_points(prepared.grid), inverse(prepared.moving_grid.matrix)).float().to(device)
    )
    warped = sample(prepared.moving, points)
    return likeness(centred_descriptors(prepared.fixed), centred_descriptors(warped), prepared.weight)
