"""The project's readers behind MONAI's ``LoadImaged``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from transforms.io.input_error import InputError
from transforms.io.volume import Volume, format_of, read_volume

SAME_PLACE_MM = 1e-3


class VolumeReader(ImageReader):
    """Reads every format that ``read_volume`` reads, and refuses what it refuses.

    ``LoadImaged(keys, reader=VolumeReader)`` gives what MONAI's readers give for a good file: the voxels, and
    ``affine``, ``original_affine``, ``spatial_shape``, ``space`` (RAS) and ``original_channel_dim`` as metadata. A
    list of files becomes one image whose channels they are.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether every one of ``filename`` is a folder or has the suffix of a format that is read."""
        return all(Path(name).is_dir() or format_of(name) != "" for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[Path, ...]:
        """Note what to read; ``get_data`` reads it.

        ``LoadImage`` swallows what a reader raises here and reports that it found no suitable reader. What
        ``get_data`` raises reaches the caller, so that a refusal names the file and the reason.
        """
        return tuple(Path(name) for name in ensure_tuple(data))

    def get_data(self, img: tuple[Path, ...]) -> tuple[np.ndarray, dict]:
        """Read the files.

        Args:
            img: what ``read`` returned.

        Returns:
            ``(H, W[, D])`` for one grey image, ``(C, H, W[, D])`` for several files or colours; and the metadata.

        Raises:
            InputError: when a file is refused, or the files of one image do not lie on one grid.
        """
        volumes = [read_volume(path) for path in img]
        first = volumes[0]
        for path, volume in zip(img[1:], volumes[1:], strict=True):
            _require_one_grid(img[0], first, path, volume)
        shape = first.geometry.shape
        stacked = len(volumes) > 1 or first.has_channels
        meta = {
            MetaKeys.AFFINE: first.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: first.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(shape),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0 if stacked else "no_channel",
        }
        if len(volumes) == 1:
            return first.array, meta
        return np.concatenate([v.array if v.has_channels else v.array[None] for v in volumes]), meta


def _require_one_grid(first_path: Path, first: Volume, path: Path, volume: Volume) -> None:
    if volume.geometry.shape != first.geometry.shape or not np.allclose(
        volume.affine, first.affine, rtol=0, atol=SAME_PLACE_MM
    ):
        raise InputError(path, f"lies on another grid than {first_path.name}, the first channel of the same image")
