"""Slices turned, scaled and shifted at random, with labels that claim nothing of what comes in from outside."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import TransformBackends, convert_to_dst_type, ensure_tuple_rep
from torch.nn import functional as F

IGNORE = 255.0


class RandSliceAffine(RandomizableTransform):
    """Turn, scale and shift a slice about its middle.

    Images are interpolated and go on with their border beyond it; labels take the nearest pixel and are 255, which
    losses ignore, where they know nothing. With padding of zeros a lesion would end where its image goes on, and the
    transforms of github ShawnBIT/AI-Challenger-Retinal-Edema-Segmentation pad with what later counts as oedema.

    Args:
        prob: probability that anything is done.
        degrees: largest rotation to either side.
        scale: largest relative change of size, the same along both axes; below 1.
        shift: largest shift along each axis as a share of its length; one number, or one for rows and one for columns.

    Raises:
        ValueError: when a number is out of range.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, prob: float = 0.5, degrees: float = 10.0, scale: float = 0.1, shift: Sequence[float] | float = 0.05
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must lie between 0 and 1, got {prob}.")
        self.shift = ensure_tuple_rep(shift, 2)
        if degrees < 0 or not 0 <= scale < 1 or min(self.shift) < 0:
            raise ValueError(
                f"degrees and shift must not be negative and scale must lie in [0, 1), got {degrees}, {shift}, {scale}."
            )
        super().__init__(prob)
        self.degrees = degrees
        self.scale = scale
        self._turn, self._growth, self._move = 0.0, 1.0, np.zeros(2)

    def randomize(self, data: Any = None) -> None:
        """Draw whether, how far to turn, how much to scale and where to shift."""
        super().randomize(None)
        self._turn = float(np.deg2rad(self.R.uniform(-self.degrees, self.degrees)))
        self._growth = float(self.R.uniform(1 - self.scale, 1 + self.scale))
        self._move = self.R.uniform(-1, 1, 2) * self.shift

    def matrix(self, shape: Sequence[int]) -> np.ndarray:
        """Give the (3, 3) matrix from a pixel (row, column) of the result to the place in the slice that it shows.

        Args:
            shape: (H, W) of the slice.
        """
        sine, cosine = np.sin(self._turn) / self._growth, np.cos(self._turn) / self._growth
        turn = np.array([[cosine, -sine], [sine, cosine]])
        middle = (np.array(shape, float) - 1) / 2
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        matrix[:2, 2] = middle - turn @ (middle + self._move * shape)
        return matrix

    def __call__(self, img: NdarrayOrTensor, is_label: bool = False, randomize: bool = True) -> NdarrayOrTensor:
        """Move one slice.

        Args:
            img: (C, H, W).
            is_label: take the nearest pixel, and 255 beyond the border.
            randomize: draw anew; ``False`` moves as the last call did.

        Returns:
            Same shape, kind and dtype; the affine of a ``MetaTensor`` follows, its record does not.

        Raises:
            ValueError: for another number of axes.
        """
        check_non_lazy_pending_ops(img, name="RandSliceAffine", raise_error=True)
        if img.ndim != 3:
            raise ValueError(f"img must have shape (C, H, W), got {tuple(img.shape)}.")
        if randomize:
            self.randomize()
        if not self._do_transform:
            return img
        plain = img.as_tensor() if isinstance(img, MetaTensor) else torch.as_tensor(img)
        values = plain if plain.is_floating_point() else plain.float()
        matrix = self.matrix(values.shape[1:])
        moved = self._sampled(values, matrix, is_label)
        if not plain.is_floating_point():
            moved = moved.round()
        result = convert_to_dst_type(moved.to(plain.dtype), dst=img, dtype=img.dtype)[0]
        if isinstance(result, MetaTensor):
            step = np.eye(4)
            step[:2, :2], step[:2, 3] = matrix[:2, :2], matrix[:2, 2]
            if result.affine.shape == (4, 4):
                result.affine = result.affine @ torch.from_numpy(step).to(result.affine)
        return result

    def _sampled(self, values: torch.Tensor, matrix: np.ndarray, is_label: bool) -> torch.Tensor:
        """Look up the place of every pixel; ``grid_sample`` counts columns first, from -1 to 1 between the borders."""
        sizes = torch.tensor(values.shape[1:], dtype=torch.float64)
        rows, columns = torch.meshgrid(*(torch.arange(int(n), dtype=torch.float64) for n in sizes), indexing="ij")
        pixels = torch.stack([rows, columns, torch.ones_like(rows)], dim=-1)  # (H, W, 3)
        places = pixels @ torch.from_numpy(matrix[:2].T)  # (H, W, 2)
        grid = ((2 * places + 1) / sizes - 1).flip(-1).to(values)[None]
        if not is_label:
            return F.grid_sample(values[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
        # What is outside counts as 0, so that labels are counted from 255 downwards.
        low = F.grid_sample(values[None] - IGNORE, grid, mode="nearest", padding_mode="zeros", align_corners=False)[0]
        return low + IGNORE


class RandSliceAffined(RandomizableTransform, MapTransform):
    """Dictionary version of :class:`RandSliceAffine`: moves all keys alike.

    Args:
        keys: slices (C, H, W) of one size.
        label_keys: those of ``keys`` that are label maps.
        prob: see :class:`RandSliceAffine`, as are the next three.
        degrees: see there.
        scale: see there.
        shift: see there.
        allow_missing_keys: leave out a key that is not there.
    """

    backend = RandSliceAffine.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = "label",
        prob: float = 0.5,
        degrees: float = 10.0,
        scale: float = 0.1,
        shift: Sequence[float] | float = 0.05,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(cast(Any, label_keys))
        self.mover = RandSliceAffine(prob, degrees, scale, shift)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandSliceAffined:
        """Seed the draws."""
        super().set_random_state(seed, state)
        self.mover.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with all keys moved by one draw."""
        result = dict(data)
        self.mover.randomize()
        for key in self.key_iterator(result):
            result[key] = self.mover(result[key], key in self.label_keys, randomize=False)
        return result
