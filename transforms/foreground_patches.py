"""Random patches that hold foreground often enough, from scans with and without a label, of any size.

MONAI's ``RandCropByPosNegLabeld`` lists every foreground and background voxel at each call (or keeps the lists in
memory), refuses scans without a label and scans smaller than the patch, and warns for each empty label.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform, Randomizable, SpatialPad
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type, ensure_tuple_rep, fall_back_tuple


class RandForegroundPatch(Randomizable, InvertibleTransform):
    """Cut one random patch; with a given probability its centre is a foreground voxel.

    The centre is drawn uniformly from the foreground voxels with probability ``foreground_probability``, and moved as
    far as needed for the patch to lie inside the scan. Otherwise, and always when there is no label or an empty one,
    the patch's place is uniform over all places inside the scan. A scan smaller than the patch is padded first, evenly
    on both sides. A ``MetaTensor`` records both steps in ``applied_operations``, so its affine stays right and
    :meth:`inverse` puts the patch back in its place.

    Args:
        patch_size: voxels, one number or one per spatial axis; -1 takes the whole axis.
        foreground_probability: probability of a foreground centre, 0 to 1.
        mode: how to pad, as for :class:`monai.transforms.SpatialPad`; ``constant`` pads with zeros.

    Raises:
        ValueError: when the probability lies outside 0 to 1, or a size is 0 or below -1.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(
        self, patch_size: Sequence[int] | int, foreground_probability: float = 0.5, mode: str = "constant"
    ) -> None:
        if not 0 <= foreground_probability <= 1:
            raise ValueError(f"foreground_probability must lie between 0 and 1, got {foreground_probability}.")
        if any(size < 1 and size != -1 for size in np.atleast_1d(patch_size)):
            raise ValueError(f"patch_size must be positive, or -1 for a whole axis, got {patch_size}.")
        self.patch_size = patch_size
        self.foreground_probability = foreground_probability
        self.padder = SpatialPad(patch_size, mode=mode)
        self.cropper = Crop()
        self._start: tuple[int, ...] = ()

    def randomize(self, shape: Sequence[int], label: NdarrayOrTensor | None = None) -> None:
        """Draw the place of the patch.

        Args:
            shape: spatial shape of the scan.
            label: label map (1, H, W[, D]) in which all but 0 is foreground, or ``None``.
        """
        size = fall_back_tuple(self.patch_size, shape)
        room = [max(have - want, 0) for have, want in zip(shape, size, strict=True)]
        centre = None
        if self.R.random_sample() < self.foreground_probability and label is not None:
            centre = self._draw_foreground(cast(npt.NDArray[Any], convert_data_type(label, np.ndarray)[0])[0])
        if centre is None:
            self._start = tuple(int(self.R.randint(0, free + 1)) for free in room)
        else:
            places = zip(centre, size, room, strict=True)
            self._start = tuple(min(max(voxel - want // 2, 0), free) for voxel, want, free in places)

    def _draw_foreground(self, label: npt.NDArray[Any]) -> tuple[int, ...] | None:
        """Draw one of the non-zero voxels, all alike, by counting them slice by slice and listing one slice only."""
        ends = np.cumsum([np.count_nonzero(part) for part in label])
        if ends[-1] == 0:
            return None
        drawn = int(self.R.randint(0, ends[-1]))
        first = int(np.searchsorted(ends, drawn, side="right"))
        before = int(ends[first - 1]) if first else 0
        flat = int(np.flatnonzero(label[first])[drawn - before])
        return (first, *(int(i) for i in np.unravel_index(flat, label.shape[1:])))

    def __call__(
        self,
        img: NdarrayOrTensor,
        label: NdarrayOrTensor | None = None,
        mode: str | None = None,
        randomize: bool = True,
    ) -> NdarrayOrTensor:
        """Cut the patch.

        Args:
            img: scan of shape (C, H, W[, D]).
            label: label map of the same grid, shape (1, H, W[, D]), or ``None``.
            mode: another padding than that of the constructor.
            randomize: draw a new place; ``False`` cuts where the last call did.

        Returns:
            The patch, shape (C, *patch_size), of the kind of ``img``.

        Raises:
            ValueError: when ``label`` has another shape than one channel on the grid of ``img``.
        """
        shape = tuple(img.shape[1:])
        if label is not None and tuple(label.shape) != (1, *shape):
            raise ValueError(f"the label must have shape {(1, *shape)}, as the scan, got {tuple(label.shape)}.")
        if randomize:
            self.randomize(shape, label)
        size = fall_back_tuple(self.patch_size, shape)
        place = tuple(slice(start, start + want) for start, want in zip(self._start, size, strict=True))
        # MONAI's croppers take tensors and give MetaTensors.
        tensor = cast(torch.Tensor, convert_data_type(img, MetaTensor)[0])
        patch = self.cropper(self.padder(tensor, mode=mode), place)
        return patch if isinstance(img, MetaTensor) else convert_to_dst_type(patch, dst=img)[0]

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Put a patch back in its place in a scan of zeros, or cut off what was padded."""
        return self.padder.inverse(self.cropper.inverse(data))


class RandForegroundPatchd(Randomizable, MapTransform, InvertibleTransform):
    """Dictionary version of :class:`RandForegroundPatch`: one place for all keys.

    Args:
        keys: scans on one grid, the label among them when it shall be cut too.
        label_key: label map that says where the foreground is; a scan that has none gets a uniform place.
        patch_size: see :class:`RandForegroundPatch`.
        foreground_probability: see there.
        mode: padding, one for all keys or one per key. A signed distance map wants ``edge``: 0 would be a contour.
        allow_missing_keys: pass over a key that is not there.
    """

    backend = RandForegroundPatch.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_key: Hashable,
        patch_size: Sequence[int] | int,
        foreground_probability: float = 0.5,
        mode: str | Sequence[str] = "constant",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.label_key = label_key
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.cropper = RandForegroundPatch(patch_size, foreground_probability)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandForegroundPatchd:
        """Seed the draws; see :class:`monai.transforms.Randomizable`."""
        super().set_random_state(seed, state)
        self.cropper.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the patches in place of the scans.

        Raises:
            ValueError: when the keys, or the label, differ in their spatial shapes.
        """
        result = dict(data)
        label = result.get(self.label_key)
        shapes = {key: tuple(result[key].shape[1:]) for key in self.key_iterator(result)}
        if label is not None:
            shapes[self.label_key] = tuple(label.shape[1:])
        if len(set(shapes.values())) > 1:
            raise ValueError(f"all keys must share one spatial shape, got {shapes}.")
        if not shapes:
            return result
        self.cropper.randomize(next(iter(shapes.values())), label)
        for key, mode in self.key_iterator(result, self.mode):
            result[key] = self.cropper(result[key], mode=mode, randomize=False)
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the patches back in their places; see :meth:`RandForegroundPatch.inverse`."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.cropper.inverse(result[key])
        return result
