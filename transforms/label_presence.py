"""Which lesion kinds, or other classes, a label map holds at all: the target of detection."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import TransformBackends, convert_to_numpy

IGNORE = 255


class LabelPresence(Transform):
    """Say of each foreground class whether a label map holds any of it.

    Args:
        num_classes: number of foreground classes K, at most 254.

    Raises:
        ValueError: when it is out of range.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes < IGNORE:
            raise ValueError(f"num_classes must lie within 1 and {IGNORE - 1}, got {num_classes}.")
        self.num_classes = num_classes

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Look for every class.

        Args:
            img: label map (1, H, W[, D]) with the whole numbers 0..K, and 255 where nothing is known, of any dtype.

        Returns:
            float32 (K,), 1 where class k + 1 occurs, else 0: an array for an array, else a plain tensor on the device
            of ``img``, since a presence lies nowhere. A label of 255 alone gives zeros.

        Raises:
            ValueError: for another shape, or other values.
        """
        check_non_lazy_pending_ops(img, name="LabelPresence", raise_error=True)
        if img.ndim not in (3, 4) or img.shape[0] != 1:
            raise ValueError(f"a label map must have shape (1, H, W[, D]), got {tuple(img.shape)}.")
        found = self._values(convert_to_numpy(img))
        presence = np.isin(np.arange(1, self.num_classes + 1), found).astype(np.float32)
        return torch.from_numpy(presence).to(img.device) if isinstance(img, torch.Tensor) else presence

    def _values(self, label: np.ndarray) -> np.ndarray:
        """Give the values that occur; counting is ten times faster than sorting, as ``numpy.unique`` does."""
        whole = label.astype(np.int64)
        if label.dtype.kind == "f" and not np.array_equal(whole, label):
            raise ValueError("a label map holds whole numbers, but this one does not.")
        if whole.size and (whole.min() < 0 or whole.max() > IGNORE):
            raise ValueError(f"labels are 0 to {self.num_classes} or {IGNORE}, got {whole.min()} to {whole.max()}.")
        found = np.flatnonzero(np.bincount(whole.ravel(), minlength=1))
        strange = found[(found > self.num_classes) & (found != IGNORE)]
        if strange.size:
            raise ValueError(f"labels are 0 to {self.num_classes} or {IGNORE}, got {strange[0]}.")
        return found


class LabelPresenced(MapTransform):
    """Dictionary version of :class:`LabelPresence`: the presence in ``keys`` is written under ``presence_key``.

    Args:
        keys: the label map.
        num_classes: see :class:`LabelPresence`.
        presence_key: where the result goes; what is there already stays, since it says more than a mask that has been
            cut, turned or filled.
        allow_missing_keys: leave out the presence of a label that is not there.

    Raises:
        ValueError: for more than one key, whose presences would overwrite each other.
    """

    backend = LabelPresence.backend

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        presence_key: str = "presence",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys must be one label map, got {len(self.keys)}.")
        self.finder = LabelPresence(num_classes)
        self.presence_key = presence_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the presence added."""
        result = dict(data)
        if self.presence_key not in result:
            for key in self.key_iterator(result):
                result[self.presence_key] = self.finder(result[key])
        return result
