"""How the axes of a volume lie after it has been brought into other axis codes, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class AxisTurn:
    """Which axis of a turned volume each axis of the file has become, and whether it runs the other way.

    Attributes:
        axes: by axis of the file, spatial axes counted from 0.
        is_reversed: by axis of the file.
    """

    axes: tuple[int, ...]
    is_reversed: tuple[bool, ...]

    @classmethod
    def between(cls, before: ArrayLike, after: ArrayLike) -> AxisTurn:
        """Find the turn that has brought a volume with the affine ``before`` (4, 4) to one with ``after``; steps of
        other sizes are no turn.
        """
        turn = nib.orientations.ornt_transform(
            nib.io_orientation(np.asarray(before)), nib.io_orientation(np.asarray(after))
        )
        return cls(tuple(int(axis) for axis in turn[:, 0]), tuple(bool(sign < 0) for sign in turn[:, 1]))

    @property
    def changes_nothing(self) -> bool:
        """Whether the axes lie as they did."""
        return self.axes == tuple(range(len(self.axes))) and not any(self.is_reversed)

    def undo(self, array: torch.Tensor) -> torch.Tensor:
        """Turn a volume (C, H, W, D) back to the axes of the file, without copying more than torch's ``flip`` does."""
        back = array.permute(0, *(axis + 1 for axis in self.axes))
        flipped = [axis + 1 for axis, is_reversed in enumerate(self.is_reversed) if is_reversed]
        return back.flip(flipped) if flipped else back
