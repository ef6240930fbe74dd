"""Random affine map and random smooth deformation, composed, in one resampling."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable, Transform
from monai.utils import TransformBackends, convert_data_type, convert_to_dst_type, ensure_tuple_rep

__all__ = ["RandAffineBSpline", "RandAffineBSplined", "bspline_field", "centre_coordinates"]

MODES = ("bilinear", "nearest")


def centre_coordinates(size: int) -> npt.NDArray[np.float64]:
    """Give the coordinates of ``size`` voxel centres along an axis whose voxels fill -1 to 1 edge to edge.

    It is what ``grid_sample`` takes with ``align_corners=False``: two neighbours are 2 / size apart, and the same
    coordinate is the same place at every resolution.
    """
    return (2 * np.arange(size) + 1) / size - 1


def bspline_field(control: npt.NDArray[Any], coordinates: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Evaluate uniform cubic B-splines on a rectilinear grid.

    Args:
        control: coefficients (C, n_1, ..., n_d) of C splines over the cube -1 to 1. As in ITK's ``BSplineTransform``,
            n control points make n - 3 segments, so that every place in the cube has four of them around it per axis.
        coordinates: where to evaluate, one array for each of the d axes, from -1 to 1.

    Returns:
        (C, len(coordinates[0]), ..., len(coordinates[d - 1])).

    Raises:
        ValueError: when an axis has fewer than 4 control points.
    """
    field = np.asarray(control, np.float64)
    for axis, places in enumerate(coordinates, start=1):
        weights = _cubic_weights(np.asarray(places, np.float64), field.shape[axis])  # (places, n)
        field = np.moveaxis(np.tensordot(field, weights, axes=(axis, 1)), -1, axis)
    return field


def _cubic_weights(places: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Give what each of ``count`` control points contributes at each place, (places, count)."""
    if count < 4:
        raise ValueError(f"a cubic B-spline needs at least 4 control points per axis, got {count}.")
    segments = count - 3
    position = (places + 1) / 2 * segments
    first = np.clip(np.floor(position).astype(int), 0, segments - 1)
    t = position - first
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    weights = np.zeros((len(places), count))
    np.put_along_axis(weights, first[:, None] + np.arange(4), basis, axis=1)
    return weights


class RandAffineBSpline(Randomizable, Transform):
    """Turn, scale and shear a scan at random, then deform it smoothly, resampling once.

    Coordinates are relative: the scan fills -1 to 1 along each axis, whatever its size. Voxel x of the result shows the
    place ``A (x + u(x))`` of the scan: u is a cubic B-spline with normal displacements at its control points, and A is
    the identity plus a normal number in every entry. What leaves the scan shows its border. There is no translation.

    Either part fires with a probability of its own, at each call; when both do they are composed. The defaults are
    those published for DeepSTAPLE (Weihsbach et al., WBIR 2022), whose code loses the B-spline whenever the affine
    fires.

    Args:
        control_points: per axis, one number for all or one per axis; at least 4.
        bspline_strength: standard deviation of the displacements at the control points, in half sides of the scan.
        bspline_prob: probability of the deformation, 0 to 1.
        affine_strength: standard deviation of what is added to each entry of the matrix.
        affine_prob: probability of the affine map, 0 to 1.
        upscale: voxels of the result per voxel of the scan along each axis, done in the same resampling, and at every
            call. Sizes are rounded; a ``MetaTensor``'s affine follows.
        mode: ``bilinear`` (trilinear in 3D) or ``nearest``.

    Raises:
        ValueError: when a number lies outside its range, or the mode is unknown.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        control_points: Sequence[int] | int = 6,
        bspline_strength: float = 0.03,
        bspline_prob: float = 0.95,
        affine_strength: float = 0.2,
        affine_prob: float = 0.45,
        upscale: float = 1.0,
        mode: str = "bilinear",
    ) -> None:
        for name, value in (("bspline_prob", bspline_prob), ("affine_prob", affine_prob)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
        for name, value in (("bspline_strength", bspline_strength), ("affine_strength", affine_strength)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must not be negative, got {value}.")
        if min(np.atleast_1d(control_points)) < 4:
            raise ValueError(f"control_points must be at least 4 per axis, got {control_points}.")
        if not 0 < upscale < float("inf"):
            raise ValueError(f"upscale must be positive, got {upscale}.")
        self.control_points = control_points
        self.bspline_strength = bspline_strength
        self.bspline_prob = bspline_prob
        self.affine_strength = affine_strength
        self.affine_prob = affine_prob
        self.upscale = upscale
        self.mode = _known_mode(mode)
        self.matrix: npt.NDArray[np.float64] | None = None
        self.control: npt.NDArray[np.float64] | None = None

    def randomize(self, spatial_dims: int) -> None:
        """Draw ``matrix`` (d, d) and ``control`` (d, n_1, ..., n_d), for which axes count in array order; None is for
        what does not fire.

        Every call draws equally many numbers, so that a probability does not change what comes later.
        """
        counts = ensure_tuple_rep(self.control_points, spatial_dims)
        chances = self.R.random_sample(2)
        noise = self.R.standard_normal((spatial_dims, spatial_dims))
        displacements = self.R.standard_normal((spatial_dims, *counts))
        fires = chances < (self.affine_prob, self.bspline_prob)
        self.matrix = np.eye(spatial_dims) + self.affine_strength * noise if fires[0] else None
        self.control = self.bspline_strength * displacements if fires[1] else None

    def sampled_places(self, shape: Sequence[int]) -> npt.NDArray[np.float64]:
        """Give where each voxel of the result looks in the scan, for what was drawn last.

        Args:
            shape: spatial shape of the result.

        Returns:
            (d, *shape), relative coordinates in array order.
        """
        axes = [centre_coordinates(size) for size in shape]
        places = np.stack(np.meshgrid(*axes, indexing="ij"))
        if self.control is not None:
            places += bspline_field(self.control, axes)
        if self.matrix is not None:
            places = np.tensordot(self.matrix, places, axes=1)
        return places

    def __call__(self, img: NdarrayOrTensor, mode: str | None = None, randomize: bool = True) -> NdarrayOrTensor:
        """Transform one scan.

        Args:
            img: shape (C, H, W[, D]).
            mode: another than that of the constructor.
            randomize: draw anew; ``False`` does what the last call did.

        Returns:
            Shape (C, H, W[, D]) scaled by ``upscale``; kind and dtype of ``img``. Whole-number types are rounded.

        Raises:
            ValueError: when there are not 2 or 3 spatial axes.
        """
        dims = len(img.shape) - 1
        if dims not in (2, 3):
            raise ValueError(f"img must have shape (C, H, W[, D]), got {tuple(img.shape)}.")
        if randomize:
            self.randomize(dims)
        mode = self.mode if mode is None else _known_mode(mode)
        if self.matrix is None and self.control is None and self.upscale == 1:
            return img
        tensor = convert_data_type(img, torch.Tensor)[0]
        shape = tuple(max(1, round(size * self.upscale)) for size in tensor.shape[1:])
        places = torch.as_tensor(self.sampled_places(shape), dtype=torch.float32, device=tensor.device)
        grid = places.flip(0).movedim(0, -1)[None]  # (1, H, W[, D], d), last array axis first
        sampled = torch.nn.functional.grid_sample(
            tensor[None].float(), grid, mode=mode, padding_mode="border", align_corners=False
        )[0]
        if not tensor.dtype.is_floating_point:
            sampled = sampled.round()
        result = convert_to_dst_type(sampled, dst=img, dtype=img.dtype)[0]
        if isinstance(result, MetaTensor):
            result.affine = _rescaled(result.affine, tensor.shape[1:], shape)
        return result


class RandAffineBSplined(Randomizable, MapTransform):
    """Dictionary version of :class:`RandAffineBSpline`: one draw for all keys.

    Args:
        keys: scans on one grid.
        control_points: see :class:`RandAffineBSpline`.
        bspline_strength: see there.
        bspline_prob: see there.
        affine_strength: see there.
        affine_prob: see there.
        upscale: see there.
        mode: one for all keys or one per key: ``bilinear`` for images, ``nearest`` for labels.
        allow_missing_keys: pass over a key that is not there.
    """

    backend = RandAffineBSpline.backend

    def __init__(
        self,
        keys: KeysCollection,
        control_points: Sequence[int] | int = 6,
        bspline_strength: float = 0.03,
        bspline_prob: float = 0.95,
        affine_strength: float = 0.2,
        affine_prob: float = 0.45,
        upscale: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.mode = tuple(_known_mode(one) for one in ensure_tuple_rep(mode, len(self.keys)))
        self.warp = RandAffineBSpline(
            control_points, bspline_strength, bspline_prob, affine_strength, affine_prob, upscale
        )

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandAffineBSplined:
        """Seed the draws; see :class:`monai.transforms.Randomizable`."""
        super().set_random_state(seed, state)
        self.warp.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with all keys transformed alike.

        Raises:
            ValueError: when the keys differ in their spatial shapes.
        """
        result = dict(data)
        shapes = {key: tuple(result[key].shape[1:]) for key in self.key_iterator(result)}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"all keys must share one spatial shape, got {shapes}.")
        if not shapes:
            return result
        self.warp.randomize(len(next(iter(shapes.values()))))
        for key, mode in self.key_iterator(result, self.mode):
            result[key] = self.warp(result[key], mode=mode, randomize=False)
        return result


def _known_mode(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
    return mode


def _rescaled(affine: torch.Tensor, old: Sequence[int], new: Sequence[int]) -> torch.Tensor:
    """Give the affine of the same field of view cut into other voxels."""
    dims = len(old)
    step = torch.tensor([have / want for have, want in zip(old, new, strict=True)], dtype=affine.dtype)
    change = torch.eye(len(affine), dtype=affine.dtype)
    change[:dims, :dims] = torch.diag(step)
    change[:dims, -1] = (step - 1) / 2
    return affine @ change.to(affine.device)
