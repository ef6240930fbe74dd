"""Signed distance map back to a soft mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type, ensure_tuple

from networks.layers.level_set import SmoothHeaviside


class SignedDistanceToMask(Transform):
    """Turn signed distances (negative inside) into probabilities ``sigmoid(-k z)``: back from ``SignedDistanceMap``.

    Thresholded at 0.5 (``> 0.5`` is inside) the ``metric`` map of a mask gives back exactly that mask, structures of
    one voxel included. A ``dtc`` map does not: it is 0, hence 0.5, on the inner boundary.

    Args:
        k: steepness, in one over the unit of the distances; see :meth:`SmoothHeaviside.steepness_for`.

    Raises:
        ValueError: when ``k`` is not positive and finite.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, k: float = 1500.0) -> None:
        self.heaviside = SmoothHeaviside(k)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Map distances (K, H, W[, D]) to probabilities of the same shape and kind; float32, or float64 for float64."""
        distances, *_ = convert_data_type(img, torch.Tensor)
        mask = self.heaviside(distances)
        return convert_to_dst_type(mask, dst=img, dtype=mask.dtype)[0]


class SignedDistanceToMaskd(MapTransform):
    """Dictionary version of :class:`SignedDistanceToMask`.

    Args:
        keys: signed distance maps.
        k: steepness.
        output_keys: where the masks go, one per key; ``None`` replaces the maps.
        allow_missing_keys: pass over a key that is not there.

    Raises:
        ValueError: when there are not as many ``output_keys`` as ``keys``, or for a bad ``k``.
    """

    backend = SignedDistanceToMask.backend

    def __init__(
        self,
        keys: KeysCollection,
        k: float = 1500.0,
        output_keys: KeysCollection | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_keys = self.keys if output_keys is None else ensure_tuple(output_keys)
        if len(self.output_keys) != len(self.keys):
            raise ValueError(f"output_keys needs {len(self.keys)} names, one per key, got {len(self.output_keys)}.")
        self.converter = SignedDistanceToMask(k)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the masks in place of, or beside, the maps."""
        result = dict(data)
        for key, output_key in self.key_iterator(result, self.output_keys):
            result[output_key] = self.converter(result[key])
        return result
