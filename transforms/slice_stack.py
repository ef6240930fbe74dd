"""One slice of a volume with its neighbours as channels: what a 2D network sees of the third dimension (2.5D)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import MetaKeys, TransformBackends, ensure_tuple_rep


class SliceStack(Transform):
    """Cut slice ``i`` and its neighbours out of a volume and lay them over each other as channels.

    The channels are slice-major: all channels of slice ``i - neighbours``, then all of the next one, up to
    ``i + neighbours``. Beyond its ends the volume goes on with its first and last slice. A single 2D image is its own
    neighbour. With three slices of one channel this is the input of the fourth place of the AI Challenger 2018 on
    retinal oedema (github ShawnBIT/AI-Challenger-Retinal-Edema-Segmentation), as whole numbers, not as a picture in
    colour.

    Args:
        neighbours: slices on either side; 0 gives the slice alone, as for a label.
        slice_axis: the spatial axis along which the slices lie: 0 to 2, or -1 (the last) to -3.

    Raises:
        ValueError: for a negative number of neighbours or no such axis.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(self, neighbours: int = 1, slice_axis: int = -1) -> None:
        if neighbours < 0:
            raise ValueError(f"neighbours must not be negative, got {neighbours}.")
        if not -3 <= slice_axis <= 2:
            raise ValueError(f"slice_axis must be a spatial axis from 0 to 2 or from -3 to -1, got {slice_axis}.")
        self.neighbours = neighbours
        self.slice_axis = slice_axis % 3

    def __call__(self, img: NdarrayOrTensor, index: int) -> NdarrayOrTensor:  # type: ignore[override]
        """Cut one stack.

        Args:
            img: volume (C, H, W, D), or one slice (C, H, W).
            index: number of the middle slice along ``slice_axis``, from 0; 0 for a single slice.

        Returns:
            (C * (2 * neighbours + 1), H, W), with the two remaining axes in their order; same kind, dtype and device.
            The affine of a ``MetaTensor`` becomes that of its middle slice, with the axis of the slices as third
            column; its record of applied transforms, which no longer could be undone, is left behind.

        Raises:
            ValueError: for another number of axes, or when there is no such slice.
        """
        check_non_lazy_pending_ops(img, name="SliceStack", raise_error=True)
        if img.ndim not in (3, 4):
            raise ValueError(f"img must have shape (C, H, W, D) or (C, H, W), got {tuple(img.shape)}.")
        axis = self.slice_axis + 1
        depth = int(img.shape[axis]) if img.ndim == 4 else 1
        if not 0 <= index < depth:
            raise ValueError(f"index must be a slice from 0 to {depth - 1}, got {index}.")
        chosen = np.clip(np.arange(index - self.neighbours, index + self.neighbours + 1), 0, depth - 1).tolist()
        if not isinstance(img, torch.Tensor):
            return np.concatenate([img if img.ndim == 3 else img.take(number, axis) for number in chosen])
        plain = img.as_tensor() if isinstance(img, MetaTensor) else img
        stack = torch.cat([plain if img.ndim == 3 else plain.select(axis, number) for number in chosen])
        return self._with_place(stack, img, index) if isinstance(img, MetaTensor) else stack

    def _with_place(self, stack: torch.Tensor, img: MetaTensor, index: int) -> MetaTensor:
        """Give the stack the metadata of its volume, moved to the slice."""
        affine = img.affine
        if img.ndim == 4 and affine.shape == (4, 4):
            order = [axis for axis in range(3) if axis != self.slice_axis] + [self.slice_axis, 3]
            origin = affine[:3, 3] + index * affine[:3, self.slice_axis]
            affine = affine[:, order].clone()
            affine[:3, 3] = origin
        meta = {key: value for key, value in img.meta.items() if key != MetaKeys.AFFINE}
        meta[MetaKeys.SPATIAL_SHAPE] = np.array(stack.shape[1:])
        return MetaTensor(stack, affine=affine, meta=meta, applied_operations=[])


class SliceStackd(MapTransform):
    """Dictionary version of :class:`SliceStack`: cuts the slice whose number is under ``index_key``.

    Args:
        keys: volumes of one grid.
        neighbours: see :class:`SliceStack`; one number for all keys, or one a key (0 for labels).
        slice_axis: see there.
        index_key: where the number of the slice is found.
        allow_missing_keys: leave out a key that is not there, as for a volume without a label.
    """

    backend = SliceStack.backend

    def __init__(
        self,
        keys: KeysCollection,
        neighbours: Sequence[int] | int = 1,
        slice_axis: int = -1,
        index_key: str = "slice_index",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.stackers = [SliceStack(count, slice_axis) for count in ensure_tuple_rep(neighbours, len(self.keys))]
        self.index_key = index_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with a stack in place of each volume."""
        result = dict(data)
        index = int(cast(Any, data[self.index_key]))
        for key, stacker in self.key_iterator(result, self.stackers):
            result[key] = stacker(result[key], index)
        return result
