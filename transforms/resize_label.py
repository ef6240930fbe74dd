"""Bringing a label map to another number of voxels without a class growing or shrinking."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Resize
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type, ensure_tuple

ResizeMethod = Literal["area", "cover"]


class ResizeLabel(InvertibleTransform):
    """Resize a label map so that its classes keep their size and, where there is room, their connections.

    With ``area``, each class gets as many voxels as its area asks for, to the nearest whole voxel: first those through
    which its middle lines (the skeleton) run, so that thin structures are not torn, then those in which its exact share
    is largest; where classes meet, the smaller one chooses first, and no class goes where it has no share. Cutting
    interpolated masks to whole numbers wears thin structures away, a threshold at one half thickens them, and taking
    the nearest voxel keeps their area on average but tears them when the image gets smaller.
    With ``cover``, each voxel that a class touches is of that class: nothing is lost and classes grow.

    Args:
        spatial_size: voxels of the result along each axis. The edges of the image stay where they are, as in MONAI's
            ``Resize`` with its modes ``area``, ``bilinear`` (not aligned to corners) and ``nearest-exact``.
        method: ``area`` (default) or ``cover``.

    Raises:
        ValueError: for sizes below 1 or another method.

    Note:
        A line that is one voxel wide has room for half of its length at half the size. A class of nothing but such
        lines cannot keep both: ``area`` then keeps the area.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, spatial_size: Sequence[int], method: ResizeMethod = "area") -> None:
        self.spatial_size = tuple(int(size) for size in spatial_size)
        if not self.spatial_size or min(self.spatial_size) < 1:
            raise ValueError(f"spatial_size must be at least 1 along each axis, got {self.spatial_size}.")
        if method not in get_args(ResizeMethod):
            raise ValueError(f"method must be one of {', '.join(get_args(ResizeMethod))}, got {method!r}.")
        self.method = method
        # MONAI knows the affine of the new grid and how to come back; only the values are ours.
        self._grid = Resize(self.spatial_size, mode="nearest-exact")

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Resize one label map.

        Args:
            img: whole numbers from 0, the background, upwards; shape (1, H, W[, D]), any dtype.

        Returns:
            The same labels in shape (1, *spatial_size), of the kind, dtype and device of ``img``; a ``MetaTensor``
            gets the affine of the new grid and the record by which MONAI undoes a ``Resize``.

        Raises:
            ValueError: for another shape, or labels that are not whole numbers from 0 upwards.
        """
        check_non_lazy_pending_ops(img, name="ResizeLabel", raise_error=True)
        if img.ndim != len(self.spatial_size) + 1 or img.shape[0] != 1:
            axes = "HWD"[: len(self.spatial_size)]
            raise ValueError(f"a label map must have shape (1, {', '.join(axes)}), got {tuple(img.shape)}.")
        label = cast(npt.NDArray[Any], convert_data_type(img, np.ndarray)[0])[0]
        resized = _resized(label, self.spatial_size, self.method)[None]
        if not isinstance(img, MetaTensor):
            return convert_to_dst_type(resized, dst=img, dtype=img.dtype)[0]
        return cast(MetaTensor, convert_to_dst_type(resized, dst=self._grid(img), dtype=img.dtype)[0])

    def inverse(self, img: torch.Tensor) -> torch.Tensor:
        """Bring a ``MetaTensor`` back to the grid that it came from, by the nearest voxel."""
        return self._grid.inverse(img)


class ResizeLabeld(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`ResizeLabel`.

    Args:
        keys: label maps.
        spatial_size: see :class:`ResizeLabel`.
        method: see there.
        allow_missing_keys: leave out a key that is not there, as for a scan without a label.
    """

    backend = ResizeLabel.backend

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        method: ResizeMethod = "area",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.resize = ResizeLabel(ensure_tuple(spatial_size), method)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the resized label maps."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.resize(result[key])
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the label maps on the grids that they came from."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.resize.inverse(result[key])
        return result


def _resized(label: npt.NDArray[Any], size: tuple[int, ...], method: str) -> npt.NDArray[np.int64]:
    """Give the label map of another size; see :class:`ResizeLabel`."""
    values = np.unique(label)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()):
        raise ValueError(f"labels must be whole numbers from 0 upwards, found {values[:5].tolist()}.")
    overlaps = [_overlap(old, new) for old, new in zip(label.shape, size, strict=True)]
    counts = {int(value): int(np.count_nonzero(label == value)) for value in values if value > 0}
    shares = {value: _shares(label == value, overlaps) for value in counts}
    if method == "cover":
        # Where classes meet, the one with the larger share; rounding errors are no share.
        best, result = np.full(size, 1e-9), np.zeros(size, np.int64)
        for value, share in shares.items():
            result[share > best] = value
            best = np.maximum(best, share)
        return result
    middles = {value: _middle(label == value, size) for value in counts}
    return _filled(shares, middles, counts, int(np.prod(size)) / label.size, size)


def _overlap(old: int, new: int) -> npt.NDArray[np.float64]:
    """How much of each new voxel each old one takes up along one axis: (new, old), rows sum up to 1."""
    edges = np.arange(new + 1) * (old / new)
    voxels = np.arange(old)
    covered = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    return np.clip(covered, 0, None) * (new / old)


def _shares(mask: npt.NDArray[np.bool_], overlaps: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The share of a mask in every new voxel."""
    shares = mask.astype(np.float64)
    for axis, overlap in enumerate(overlaps):
        shares = np.moveaxis(np.tensordot(overlap, shares, axes=(1, axis)), 0, axis)
    return shares


def _middle(mask: npt.NDArray[np.bool_], size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The new voxels through which the middle lines of a mask run, without a gap."""
    from skimage.morphology import skeletonize

    lines = skeletonize(mask)
    # The old voxel at the centre of each new one, for axes that get finer; the new one at that of each old, for others.
    centres = [
        np.floor((np.arange(new) + 0.5) * (old / new)).astype(int) for old, new in zip(mask.shape, size, strict=True)
    ]
    middle = lines[np.ix_(*centres)]
    places = np.argwhere(lines) + 0.5
    middle[tuple(np.floor(places * (np.array(size) / mask.shape)).astype(int).T)] = True
    return middle


def _filled(
    shares: Mapping[int, npt.NDArray[np.float64]],
    middles: Mapping[int, npt.NDArray[np.bool_]],
    counts: Mapping[int, int],
    growth: float,
    size: tuple[int, ...],
) -> npt.NDArray[np.int64]:
    """Give each class as many voxels as its area asks for: the smallest class first, so that it finds them free; its
    middle before its rim.
    """
    result = np.zeros(int(np.prod(size)), np.int64)
    # Among voxels of equal merit the choice must not favour a corner of the image, and be the same every time.
    rng = np.random.default_rng(0)
    for value in sorted(counts, key=lambda value: (counts[value], value)):
        # Rounded, so that shares that are equal but for the order of summation are equal. None is above 1.
        merit = (np.round(shares[value], 9) + 2 * middles[value]).reshape(-1)
        candidates = rng.permutation(np.flatnonzero((merit > 0) & (result == 0)))
        wanted = int(np.floor(counts[value] * growth + 0.5))
        result[candidates[np.argsort(-merit[candidates], kind="stable")[:wanted]]] = value
    return result.reshape(size)
