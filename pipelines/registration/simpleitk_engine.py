"""Registration by SimpleITK: rigid, affine and B-spline stages under Mattes' mutual information."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pipelines.registration.grids import Matrix

BINS = 32
KNOT_VOXELS = 8
MOST_KNOTS = 12
FEWEST_VOXELS = 16
MOST_SAMPLES = 10_000


def align_with_simpleitk(
    fixed: np.ndarray,
    moving: np.ndarray,
    start: Matrix,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    *,
    seed: int,
    affine: str = "affine",
) -> tuple[Matrix, torch.Tensor]:
    """Register ``moving`` to ``fixed``.

    Everything is told to SimpleITK in voxels: origin 0, spacing 1, axes in array order.

    Args:
        fixed: ``(H, W[, D])`` float32.
        moving: the same number of axes, the same spacing.
        start: ``(d + 1, d + 1)``, fixed index to moving index, a translation.
        fixed_mask: where the fixed image counts, above 0.5.
        moving_mask: the same for the moving one.
        seed: of the voxels that are drawn from large images.
        affine: what comes before the B-spline: ``affine``, ``rigid`` or ``none``.

    Returns:
        The affine ``M`` and the field ``u``, ``(d, *shape)`` in voxels of ``fixed``: the fixed voxel ``x`` is at
        ``M (x + u(x))`` in the moving image.

    Raises:
        RuntimeError: what SimpleITK raises when it cannot go on, as when no voxels of the two images overlap.
    """
    import SimpleITK

    before = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    # Sums over several threads come out in another order each time.
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        return _align(fixed, moving, start, (fixed_mask, moving_mask), seed, affine)
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _align(
    fixed: np.ndarray,
    moving: np.ndarray,
    start: Matrix,
    masks: tuple[np.ndarray | None, np.ndarray | None],
    seed: int,
    stage: str,
) -> tuple[Matrix, torch.Tensor]:
    import SimpleITK

    images = (_image(fixed), _image(moving))
    dims = fixed.ndim
    rigid = SimpleITK.Euler3DTransform() if dims == 3 else SimpleITK.Euler2DTransform()
    centre = (np.array(fixed.shape) - 1) / 2
    rigid.SetCenter(centre.tolist())
    # The start's linear part is the identity: both grids have the same axes and the same spacing.
    rigid.SetTranslation((start[:-1, -1]).tolist())
    if stage != "none":
        _optimise(images, masks, rigid, seed, spline=False)
    affine = SimpleITK.AffineTransform(dims)
    affine.SetCenter(centre.tolist())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    if stage == "affine":
        _optimise(images, masks, affine, seed, spline=False)
    matrix = _homogeneous(affine, dims)
    mesh = [int(np.clip(size // KNOT_VOXELS, 1, MOST_KNOTS)) for size in fixed.shape]
    spline = SimpleITK.BSplineTransformInitializer(images[0], mesh)
    _optimise(images, masks, spline, seed, spline=True, before=affine)
    return matrix, torch.from_numpy(_field(spline, fixed.shape))


def _image(array: np.ndarray) -> Any:
    import SimpleITK

    return SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T, dtype=np.float32))


def _optimise(
    images: tuple[Any, Any],
    masks: tuple[np.ndarray | None, np.ndarray | None],
    transform: Any,
    seed: int,
    *,
    spline: bool,
    before: Any = None,
) -> None:
    """Improve ``transform`` in place; ``before``, when given, is applied after it and stays as it is."""
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    samples = images[0].GetNumberOfPixels()
    if samples > MOST_SAMPLES:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(MOST_SAMPLES / samples, seed + 1)
    for mask, set_mask in zip(masks, (method.SetMetricFixedMask, method.SetMetricMovingMask), strict=True):
        if mask is not None:
            set_mask(SimpleITK.Cast(_image(mask) > 0.5, SimpleITK.sitkUInt8))
    method.SetInterpolator(SimpleITK.sitkLinear)
    shrink = [factor for factor in (4, 2, 1) if min(images[0].GetSize()) >= FEWEST_VOXELS * factor] or [1]
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0 for factor in shrink])
    if spline:
        method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=30)
    else:
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, 0.5, 1e-6)
        method.SetOptimizerScalesFromPhysicalShift()
    if before is not None:
        method.SetMovingInitialTransform(before)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(*images)


def _homogeneous(affine: Any, dims: int) -> Matrix:
    """Give an affine of SimpleITK, ``A (x - c) + c + t``, as one matrix."""
    matrix = np.eye(dims + 1)
    linear, centre = np.array(affine.GetMatrix()).reshape(dims, dims), np.array(affine.GetCenter())
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = centre + np.array(affine.GetTranslation()) - linear @ centre
    return matrix


def _field(transform: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Give the displacements of a transform at every voxel, ``(d, *shape)`` float32."""
    import SimpleITK

    image = SimpleITK.TransformToDisplacementField(transform, SimpleITK.sitkVectorFloat64, list(shape))
    array = SimpleITK.GetArrayFromImage(image)  # (D, W, H, d) or (W, H, d)
    return np.ascontiguousarray(array.T, dtype=np.float32)
