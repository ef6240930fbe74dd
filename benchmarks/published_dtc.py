"""Dual-task consistency as its paper describes it, in plain PyTorch and SciPy: what the benchmarks are measured beside.

Written from the published facts alone and independent of the project's packages, so that the tests compare with it too.
Nothing here is made to be fast, and nothing to be slow.

Reference: Luo et al., *Semi-supervised medical image segmentation through dual-task consistency*, AAAI 2021.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

STEEPNESS = 1500.0
LEVEL_SET_WEIGHT = 0.3


class PublishedVNet(nn.Module):
    """The 3D V-Net: five levels, added skips, batch norm; ``sdf_head=False`` gives the plain V-Net.

    ``forward`` gives (level set, mask logits), each (B, 1, H, W, D), for images (B, 1, H, W, D) whose sides are
    multiples of 16.
    """

    def __init__(self, filters: int = 16, dropout: float = 0.5, sdf_head: bool = True) -> None:
        super().__init__()
        n = filters
        self.stage1 = _stage(1, 1, n)
        self.down1, self.stage2 = _strided(n, 2 * n), _stage(2, 2 * n, 2 * n)
        self.down2, self.stage3 = _strided(2 * n, 4 * n), _stage(3, 4 * n, 4 * n)
        self.down3, self.stage4 = _strided(4 * n, 8 * n), _stage(3, 8 * n, 8 * n)
        self.down4, self.stage5 = _strided(8 * n, 16 * n), _stage(3, 16 * n, 16 * n)
        self.up1, self.stage6 = _transposed(16 * n, 8 * n), _stage(3, 8 * n, 8 * n)
        self.up2, self.stage7 = _transposed(8 * n, 4 * n), _stage(3, 4 * n, 4 * n)
        self.up3, self.stage8 = _transposed(4 * n, 2 * n), _stage(2, 2 * n, 2 * n)
        self.up4, self.stage9 = _transposed(2 * n, n), _stage(1, n, n)
        self.dropout = nn.Dropout3d(dropout)
        self.mask_head = nn.Conv3d(n, 1, 1)
        self.sdf_head = nn.Conv3d(n, 1, 1) if sdf_head else None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        x1 = self.stage1(x)
        x2 = self.stage2(self.down1(x1))
        x3 = self.stage3(self.down2(x2))
        x4 = self.stage4(self.down3(x3))
        x5 = self.dropout(self.stage5(self.down4(x4)))
        x6 = self.stage6(self.up1(x5) + x4)
        x7 = self.stage7(self.up2(x6) + x3)
        x8 = self.stage8(self.up3(x7) + x2)
        x9 = self.dropout(self.stage9(self.up4(x8) + x1))
        return (None if self.sdf_head is None else torch.tanh(self.sdf_head(x9))), self.mask_head(x9)


def _stage(convolutions: int, in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convolutions):
        entering = in_channels if index == 0 else out_channels
        layers += [nn.Conv3d(entering, out_channels, 3, padding=1), nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _strided(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 2, stride=2), nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)
    )


def _transposed(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(in_channels, out_channels, 2, stride=2), nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)
    )


def signed_distance_target(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """The regression target of binary labels (B, H, W, D): either side over its own maximum, zero on the inner
    boundary, all zero for an empty sample.
    """
    target = np.zeros(labels.shape, np.float32)
    for index, label in enumerate(labels):
        inside = label > 0
        if inside.any():
            outer, inner = ndimage.distance_transform_edt(~inside), ndimage.distance_transform_edt(inside)
            distance = (outer - outer.min()) / (outer.max() - outer.min())
            distance -= (inner - inner.min()) / (inner.max() - inner.min())
            distance[inside & ~ndimage.binary_erosion(inside, border_value=1)] = 0
            target[index] = distance
    return target


def training_loss(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, iteration: int) -> torch.Tensor:
    """The loss of a batch whose first samples are those that have ``labels`` (L, 1, H, W, D)."""
    count = len(labels)
    level_set, logits = network(images)
    probability = torch.sigmoid(logits)
    target = torch.from_numpy(signed_distance_target(labels[:, 0].cpu().numpy())).to(images.device)
    level_set_loss = F.mse_loss(level_set[:count, 0], target)

    p, g = probability[:count], (labels == 1).to(probability.dtype)
    dice = (2 * (p * g).sum() + 1e-5) / ((p * p).sum() + (g * g).sum() + 1e-5)

    consistency = ((torch.sigmoid(-STEEPNESS * level_set) - probability) ** 2).mean()
    ramp = math.exp(-5 * (1 - min(iteration // 150, 40) / 40) ** 2)
    return (1 - dice) + LEVEL_SET_WEIGHT * level_set_loss + ramp * consistency


@torch.no_grad()
def sliding_window(
    network: nn.Module, image: torch.Tensor, patch_size: tuple[int, ...], stride: tuple[int, ...]
) -> torch.Tensor:
    """Mean of the mask probabilities of all windows, one window at a time.

    Args:
        network: gives (level set, mask logits).
        image: (H, W, D), at least ``patch_size``.
        patch_size: sides of a window.
        stride: steps between windows along each axis; the last window is moved back to end at the image's edge.

    Returns:
        (H, W, D) in [0, 1].
    """
    sides = zip(image.shape, patch_size, stride, strict=True)
    starts = [
        [min(i * step, size - patch) for i in range(-(-(size - patch) // step) + 1)] for size, patch, step in sides
    ]
    total, count = torch.zeros_like(image), torch.zeros_like(image)
    for corner in product(*starts):
        window = tuple(slice(start, start + patch) for start, patch in zip(corner, patch_size, strict=True))
        _, logits = network(image[window][None, None])
        total[window] += torch.sigmoid(logits)[0, 0]
        count[window] += 1
    return total / count
