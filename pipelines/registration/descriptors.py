"""What registration compares: MIND-SSC without its level, and how alike two images are by it."""

from __future__ import annotations

import torch

from networks.layers.mind_ssc import mind_ssc


def centred_descriptors(image: torch.Tensor, radius: int = 1, dilation: int = 2) -> torch.Tensor:
    """Give MIND-SSC minus its mean over the channels, ``(C, *shape)`` for an image ``(1, *shape)``; no gradient.

    The mean over the channels says how textured a place is: high in air and where there is nothing, low in noise. That
    differs from modality to modality, and a squared difference that holds it falls when the images are pulled apart
    until flat lies on flat. What is left says in which directions the image changes.

    Args:
        image: ``(1, *shape)``, floating point.
        radius: of MIND's patches, in voxels.
        dilation: of MIND's neighbours, in voxels.
    """
    with torch.no_grad():
        features = mind_ssc(image[None], radius, dilation)[0]
        return features - features.mean(0, keepdim=True)


def likeness(fixed: torch.Tensor, moving: torch.Tensor, weight: torch.Tensor | None = None) -> float:
    """Give the correlation of two images by their centred descriptors, from -1 to 1.

    It is 1 for equal images and about 0 for images that have nothing to do with each other. Noise counts little, for
    its descriptors point anywhere. 0 when either image is flat.

    Args:
        fixed: ``(C, *shape)``, of :func:`centred_descriptors`.
        moving: the same shape.
        weight: ``(1, *shape)`` from 0 to 1, how much each voxel counts; None for all alike.
    """
    share = torch.ones_like(fixed[:1]) if weight is None else weight

    def product(first: torch.Tensor, second: torch.Tensor) -> float:
        return float((first * second * share).sum(dtype=torch.float64))

    scale = (product(fixed, fixed) * product(moving, moving)) ** 0.5
    return product(fixed, moving) / scale if scale > 0 else 0.0
