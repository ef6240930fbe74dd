"""How a scanner sees a synthetic patient: partial volume, blur, bias field and noise."""

from __future__ import annotations

import numpy as np

from pipelines.data.phantom_shapes import Array, Grid, smooth_noise


def paint(canvas: Array, shape: Array, value: Array | float, softness: float) -> None:
    """Put a tissue onto ``canvas``, in place, with mixed voxels where its surface cuts them.

    Args:
        canvas: (X, Y, Z) signal so far.
        shape: signed distance of the tissue, anatomy millimetres.
        value: its signal, one number or one a voxel.
        softness: how wide the mixed border is, anatomy millimetres (about a voxel).
    """
    share = np.clip(0.5 - shape / softness, 0, 1)
    canvas += share * (value - canvas)


def blurred(signal: Array, sigma_voxels: float) -> Array:
    """Gaussian point spread along the axes that have more than one voxel."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(signal, [sigma_voxels if count > 1 else 0 for count in signal.shape], truncate=3)


def mr_scan(rng: np.random.Generator, grid: Grid, signal: Array, *, noise: float, bias: float, blur: float) -> Array:
    """Turn tissue signal into a magnitude MR image.

    The magnitude of a complex signal with Gaussian noise is Rician distributed (Gudbjartsson and Patz, Magn. Reson.
    Med. 34, 1995).

    Args:
        rng: where every draw comes from.
        grid: the voxels.
        signal: (X, Y, Z), not negative.
        noise: standard deviation of the real and the imaginary part, in units of the signal.
        bias: standard deviation of the logarithm of the coil's smooth sensitivity.
        blur: point spread, standard deviation in voxels.

    Returns:
        int16, rounded.
    """
    sensitivity = np.exp(bias * smooth_noise(rng, grid, 1.2 * float(grid.axes[0][-1])))
    real, imaginary = noise * rng.standard_normal((2, *grid.shape), np.float32)
    magnitude = np.hypot(blurred(signal, blur) * sensitivity + real, imaginary)
    return np.clip(np.rint(magnitude), 0, 32767).astype(np.int16)


def ct_scan(rng: np.random.Generator, grid: Grid, signal: Array, *, noise: float, blur: float) -> Array:
    """Turn tissue densities into a CT image.

    Args:
        rng: where every draw comes from.
        grid: the voxels.
        signal: (X, Y, Z), Hounsfield units.
        noise: standard deviation of the noise in Hounsfield units; it is correlated over about a voxel, as filtered
            back projection leaves it.
        blur: point spread, standard deviation in voxels.

    Returns:
        int16 Hounsfield units within [-1024, 3071].
    """
    grain = blurred(rng.standard_normal(grid.shape, np.float32), 0.6)
    grain *= noise / max(float(grain.std()), 1e-6)
    return np.clip(np.rint(blurred(signal, blur) + grain), -1024, 3071).astype(np.int16)
