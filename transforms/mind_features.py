"""MIND-SSC features: an image told by how its patches resemble each other, the same across modalities."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_tensor

from networks.layers.mind_ssc import mind_ssc

__all__ = ["MINDFeatures", "MINDFeaturesd"]


class MINDFeatures(Transform):
    """Compute MIND-SSC of each channel: 4 features a voxel in 2D, 12 in 3D.

    See :func:`networks.layers.mind_ssc.mind_ssc` for the formula and the order of the features.

    Args:
        spatial_dims: 2 or 3.
        radius: of the patches that are compared, in voxels.
        dilation: distance of the compared neighbours from the voxel, in voxels.

    Raises:
        ValueError: when a setting is out of range.

    References:
        Heinrich et al., Towards Realtime Multimodal Fusion for Image-Guided Interventions Using Self-similarities,
        MICCAI 2013; as used by Siebert et al., ConvexAdam, IEEE TMI 2024.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, spatial_dims: int = 3, radius: int = 1, dilation: int = 2) -> None:
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if radius < 0 or dilation < 1:
            raise ValueError(f"radius must be at least 0 and dilation at least 1, got {radius} and {dilation}.")
        self.spatial_dims = spatial_dims
        self.radius = radius
        self.dilation = dilation

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Compute the features.

        Args:
            img: ``(C, H, W)`` or, for 3D, ``(C, H, W, D)``; any real type.

        Returns:
            float32 ``(C * N, H, W[, D])`` with values in (0, 1], N = 4 in 2D and 12 in 3D, of the kind and on the
            device of ``img``.

        Raises:
            ValueError: for another number of axes.
        """
        if img.ndim - 1 != self.spatial_dims:
            raise ValueError(
                f"img must have {self.spatial_dims} spatial axes after its channels, got {tuple(img.shape)}."
            )
        image = convert_to_tensor(img)
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        features = mind_ssc(plain.to(torch.float32)[None], self.radius, self.dilation)[0]
        return convert_to_dst_type(features, dst=img, dtype=torch.float32)[0]


class MINDFeaturesd(MapTransform):
    """``MINDFeatures`` of each key."""

    backend = MINDFeatures.backend

    def __init__(
        self,
        keys: KeysCollection,
        spatial_dims: int = 3,
        radius: int = 1,
        dilation: int = 2,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.compute = MINDFeatures(spatial_dims, radius, dilation)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Replace each key's ``(C, H, W[, D])`` by its features."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.compute(d[key])
        return d
