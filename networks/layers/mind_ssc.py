"""MIND-SSC: what an image looks like around each voxel, told so that images of other modalities tell the same."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F

CHANNELS = {2: 4, 3: 12}
_LEAST, _MOST = 1e-3, 1e3


def neighbour_pairs(spatial_dims: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Give the pairs of direct neighbours of a voxel that lie at distance sqrt(2) from each other.

    Neighbours are -1 and +1 along the first axis, then along the second, ...; pairs are in lexical order of
    these, which is the order of the channels of :func:`mind_ssc`. There are 4 pairs in 2D and 12 in 3D.
    """
    neighbours = [
        tuple(sign if axis == at else 0 for axis in range(spatial_dims))
        for at in range(spatial_dims)
        for sign in (-1, 1)
    ]
    return tuple(
        (a, b) for a, b in combinations(neighbours, 2) if sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) == 2
    )


def mind_ssc(image: torch.Tensor, radius: int = 1, dilation: int = 2) -> torch.Tensor:
    """Compute the modality-independent neighbourhood descriptor with self-similarity context.

    Channel ``c`` belongs to a pair ``(a, b)`` of the direct neighbours. ``D_c(x)`` is the mean of
    ``(I(y + dilation a) - I(y + dilation b))^2`` over the patch of ``2 radius + 1`` voxels an axis around ``x``, with
    the border voxels repeated outside. The descriptor is ``exp(-(D_c - min_c D_c) / V)``, where ``V(x)`` is the mean
    of ``D_c - min_c D_c`` over the channels, kept within 0.001 and 1000 times its mean over the image. It lies in
    (0, 1], does not change with ``a I + b``, and is 1 everywhere for a constant image.

    Args:
        image: ``(B, C, H, W[, D])``, floating point.
        radius: of the patch, in voxels.
        dilation: distance of the neighbours from the voxel, in voxels.

    Returns:
        ``(B, C * N, H, W[, D])`` with N = 4 in 2D and 12 in 3D, channel ``c`` of the image at ``c * N`` and after;
        differentiable.

    Raises:
        ValueError: for other shapes, and for a radius below 0 or a dilation below 1.

    References:
        Heinrich et al., Towards Realtime Multimodal Fusion for Image-Guided Interventions Using Self-similarities,
        MICCAI 2013.
    """
    dims = image.ndim - 2
    if dims not in CHANNELS:
        raise ValueError(f"image must have shape (B, C, H, W[, D]), got {tuple(image.shape)}.")
    if radius < 0 or dilation < 1:
        raise ValueError(f"radius must be at least 0 and dilation at least 1, got {radius} and {dilation}.")
    single = image.reshape(-1, 1, *image.shape[2:])  # (B*C, 1, H, W[, D])
    distances = _patch_distances(single, radius, dilation)  # (B*C, N, H, W[, D])
    distances = distances - distances.amin(1, keepdim=True)
    variance = distances.mean(1, keepdim=True)
    level = variance.mean(dim=tuple(range(1, variance.ndim)), keepdim=True)
    # A constant image has no variance at all: 0 / tiny is 0, and the descriptor 1.
    variance = variance.clamp(level * _LEAST, level * _MOST).clamp_min(torch.finfo(image.dtype).tiny)
    return torch.exp(-distances / variance).reshape(image.shape[0], -1, *image.shape[2:])


def _patch_distances(image: torch.Tensor, radius: int, dilation: int) -> torch.Tensor:
    """Give the patch distance of every pair, ``(B, N, *spatial)`` for ``(B, 1, *spatial)``."""
    dims, shape = image.ndim - 2, image.shape[2:]
    padded = F.pad(image, (dilation,) * (2 * dims), mode="replicate")

    def shifted(offset: tuple[int, ...]) -> torch.Tensor:
        window = [
            slice(dilation * (1 + step), dilation * (1 + step) + size) for step, size in zip(offset, shape, strict=True)
        ]
        return padded[(slice(None), slice(None), *window)]

    squares = torch.cat([(shifted(a) - shifted(b)) ** 2 for a, b in neighbour_pairs(dims)], dim=1)
    if radius == 0:
        return squares
    pool = F.avg_pool3d if dims == 3 else F.avg_pool2d
    return pool(F.pad(squares, (radius,) * (2 * dims), mode="replicate"), 2 * radius + 1, stride=1)
