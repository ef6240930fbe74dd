"""Keep the largest connected piece of each class."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray

__all__ = ["KeepLargestComponent", "KeepLargestComponentd"]

# Face neighbours only, or corners and edges too; by the number of spatial axes.
_CONNECTIVITY: dict[int, dict[str, Literal[4, 6, 8, 26]]] = {2: {"face": 4, "full": 8}, 3: {"face": 6, "full": 26}}


class KeepLargestComponent(Transform):
    """Keep the largest connected component of each class, set the others to background (0).

    Each class is treated on its own, so a class may not lose its largest piece to another. An empty class stays empty.
    Among pieces of equal size the one that comes first in array order is kept. Does what MONAI's
    ``KeepLargestConnectedComponent`` does for its default options, in less time (cc3d, one count of voxels).

    Args:
        labels: which classes to treat; others are left as they are. All but 0 by default.
        connectivity: ``full`` joins voxels that share a corner, ``face`` only those that share a face.

    Raises:
        ValueError: when ``connectivity`` is neither, or 0 (background) is among ``labels``.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, labels: Sequence[int] | None = None, connectivity: str = "full") -> None:
        if connectivity not in ("face", "full"):
            raise ValueError(f"connectivity must be 'face' or 'full', got {connectivity!r}.")
        if labels is not None and 0 in labels:
            raise ValueError(f"0 is the background and has no largest component, got labels {tuple(labels)}.")
        self.labels = None if labels is None else tuple(labels)
        self.connectivity = connectivity

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Clean a label map, or one mask per channel.

        Args:
            img: shape ``(C, H, W[, D])``, whole numbers; each channel is a label map of its own.

        Returns:
            Same shape, kind and dtype.

        Raises:
            ValueError: when there are not 2 or 3 spatial axes, or a value is no whole number.
        """
        channels: NDArray[Any] = convert_to_numpy(img)
        if channels.ndim - 1 not in _CONNECTIVITY:
            raise ValueError(f"img must have shape (C, H, W[, D]), got {tuple(channels.shape)}.")
        kept = np.stack([self._clean(channel) for channel in channels])  # (C, H, W[, D])
        return convert_to_dst_type(kept, dst=img, dtype=img.dtype)[0]

    def _clean(self, labelmap: NDArray[Any]) -> NDArray[Any]:
        cleaned = labelmap.copy()
        for label in self._present(labelmap):
            mask = labelmap == label
            cleaned[mask & ~self._largest(mask)] = 0
        return cleaned

    def _present(self, labelmap: NDArray[Any]) -> Sequence[int]:
        if labelmap.dtype.kind == "f" and not np.array_equal(labelmap, np.round(labelmap)):
            raise ValueError("img must hold whole numbers: threshold or take the argmax before keeping components.")
        if self.labels is not None:
            return self.labels
        if labelmap.dtype == np.bool_ or (labelmap.size and labelmap.min() >= 0 and labelmap.max() <= 1):
            return (1,)
        return [int(label) for label in np.unique(labelmap) if label != 0]

    def _largest(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The largest component of one mask; the mask itself when it has one or none."""
        import cc3d

        neighbours = _CONNECTIVITY[mask.ndim][self.connectivity]
        pieces, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=neighbours, return_N=True)
        if count < 2:
            return mask
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        largest: NDArray[np.bool_] = pieces == sizes.argmax()
        return largest


class KeepLargestComponentd(MapTransform):
    """``KeepLargestComponent`` of each key."""

    backend = KeepLargestComponent.backend

    def __init__(
        self,
        keys: KeysCollection,
        labels: Sequence[int] | None = None,
        connectivity: str = "full",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.keep = KeepLargestComponent(labels, connectivity)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Clean each key's array, shape ``(C, H, W[, D])``."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.keep(d[key])
        return d
