"""Volumes as slices to learn from: stacked with their neighbours, and augmented anew, at every draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose
from monai.utils import MetaKeys
from torch.utils.data import Dataset

from pipelines.console import progress
from pipelines.data.drawn_dataset import AUGMENTATION_STREAM, prepare_case
from pipelines.data.presence import Presence, presence_contradictions, presence_of_mask, read_presence
from pipelines.data.seeds import derive_seed
from pipelines.data.two_stream_sampler import Draw
from pipelines.keys import Keys
from transforms.axis_turn import AxisTurn
from transforms.io.input_error import InputError
from transforms.io.volume import read_geometry, read_volume
from transforms.slice_stack import SliceStack

__all__ = ["PackedVolume", "SliceDataset", "collate_slices"]

IGNORE = 255
GIBIBYTE = 2**30


@dataclass(frozen=True)
class PackedVolume:
    """A volume in as little memory as gives it back exactly.

    What has at most 256 different values, such as an image of 8 bit whose values have been scaled or shifted, and a
    label map, is kept as one byte per voxel and a table.

    Attributes:
        voxels: (C, H, W[, D]): the values, or their places in ``table``.
        table: the values, ascending; None when ``voxels`` are the values.
    """

    voxels: torch.Tensor
    table: torch.Tensor | None = None

    @classmethod
    def of(cls, volume: torch.Tensor) -> PackedVolume:
        """Pack a volume (C, H, W[, D]) of any dtype."""
        plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
        if plain.element_size() == 1:
            return cls(plain.contiguous())
        sample = torch.unique(plain.reshape(-1)[:: max(1, plain.numel() // 65536)])
        values = torch.unique(plain) if len(sample) <= 256 else sample
        if len(values) > 256:
            return cls(plain.contiguous())
        return cls(torch.searchsorted(values, plain.contiguous()).to(torch.uint8), values)

    def values_of(self, part: torch.Tensor) -> torch.Tensor:
        """Give the values of a part of ``voxels``."""
        return part if self.table is None else self.table[part.long()]

    @property
    def nbytes(self) -> int:
        """Memory of the voxels."""
        return self.voxels.numel() * self.voxels.element_size()


@dataclass(frozen=True)
class _Volume:
    """A prepared case; one without a mask has no label."""

    image: PackedVolume
    label: PackedVolume | None
    is_reversed: bool  # whether its slices come in the opposite order of those in the file

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + (self.label.nbytes if self.label else 0)


class SliceDataset(Dataset):
    """Give the slice of a :class:`pipelines.data.two_stream_sampler.Draw`; items are the slices of all cases in turn.

    All cases are read and preprocessed when the object is made, and stay in memory as far as ``memory_limit_gb``
    allows; images of 8 bit stay so (see :class:`PackedVolume`). Other cases are read anew at each draw, which is slow.
    A stack never goes beyond its own volume. Before each draw every random transform is seeded from (seed, stream,
    position), so that a sample depends neither on the worker that makes it nor on what was drawn before.

    A case without a label but with a ``presence`` in the data list (see :mod:`pipelines.data.presence`) teaches
    detection alone: its label is 255 all over, which losses of masks ignore. One with neither is left out.

    Args:
        data: case entries, of training patients alone.
        preprocessing: deterministic transforms of a whole case, to ``image`` (C, H, W[, D]) and ``label``
            (1, H, W[, D]).
        augmentation: random transforms of a stack, ``image`` (C * (2 * neighbours + 1), H, W) and ``label`` (1, H, W);
            they must fill what they pad a label with by 255.
        seed: the user's seed.
        num_classes: number of foreground classes K.
        neighbours: slices on either side in a stack.
        slice_axis: spatial axis of the slices.
        threads: how many cases to preprocess at a time.
        class_names: names of the classes, by which data lists may tell the presence.
        memory_limit_gb: GiB of volumes to keep; None for all.

    Attributes:
        presence: (N, K) int8 of all N slices, 1 there, 0 not there, -1 unknown.

    Raises:
        InputError: when a case cannot be preprocessed, its label does not fit its image or contradicts what the data
            list says of it, or there is nothing to learn from.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        preprocessing: Callable[[Mapping[str, Any]], dict[str, Any]],
        augmentation: Compose,
        seed: int,
        num_classes: int,
        neighbours: int = 1,
        slice_axis: int = -1,
        threads: int = 2,
        class_names: Mapping[int, str] | None = None,
        memory_limit_gb: float | None = None,
    ) -> None:
        self.data = [entry for entry in data if Keys.LABEL.value in entry or Keys.PRESENCE.value in entry]
        if not self.data:
            raise InputError("training", "has no case with a label or a presence to learn from")
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self.seed = seed
        self.slice_axis = slice_axis
        self.class_names = class_names or {value: str(value) for value in range(1, num_classes + 1)}
        self.stackers = {Keys.IMAGE: SliceStack(neighbours, slice_axis), Keys.LABEL: SliceStack(0, slice_axis)}
        self.volumes: list[_Volume | None] = []
        tables, left = [], np.inf if memory_limit_gb is None else memory_limit_gb * GIBIBYTE
        with ThreadPoolExecutor(max_workers=threads) as pool:
            read = pool.map(self._read, self.data)
            for entry, volume in zip(self.data, progress(read, "loading cases", total=len(self.data)), strict=True):
                tables.append(self._presence(entry, volume, num_classes).slices.T)
                left -= volume.nbytes
                self.volumes.append(volume if left >= 0 else None)
        self.presence = np.concatenate(tables).astype(np.int8)
        self.ends = np.cumsum([len(table) for table in tables])

    def __len__(self) -> int:
        return len(self.presence)

    def place_of(self, item: int) -> tuple[int, int]:
        """Say which case an item is of, and which slice of it."""
        case = int(np.searchsorted(self.ends, item, side="right"))
        return case, item - (int(self.ends[case - 1]) if case else 0)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        self.augmentation.set_random_state(derive_seed(self.seed, AUGMENTATION_STREAM, draw.stream, draw.position))
        case, index = self.place_of(draw.case)
        volume = self.volumes[case] or self._read(self.data[case])
        image = self._slice(Keys.IMAGE, volume.image, index)
        label = torch.full((1, *image.shape[1:]), float(IGNORE)) if volume.label is None else None
        sample = {
            Keys.IMAGE.value: image,
            Keys.LABEL.value: self._slice(Keys.LABEL, volume.label, index) if volume.label else label,
            Keys.PRESENCE.value: torch.from_numpy(self.presence[draw.case].astype(np.float32)),
            Keys.CASE_ID.value: self.data[case][Keys.CASE_ID.value],
            Keys.SLICE_INDEX.value: index,
        }
        return cast(dict[str, Any], self.augmentation(sample))

    def _slice(self, key: Keys, volume: PackedVolume, index: int) -> torch.Tensor:
        return volume.values_of(cast(torch.Tensor, self.stackers[key](volume.voxels, index)))

    def _read(self, entry: Mapping[str, Any]) -> _Volume:
        """Preprocess one case."""
        case = prepare_case(entry, self.preprocessing)
        image, label = case[Keys.IMAGE.value], case.get(Keys.LABEL.value)
        if image.ndim not in (3, 4):
            raise InputError(_name(entry), f"is preprocessed to {tuple(image.shape)}, not to (C, H, W[, D])")
        if label is not None and tuple(label.shape) != (1, *image.shape[1:]):
            raise InputError(_name(entry), f"has a label of {tuple(label.shape)} for an image of {tuple(image.shape)}")
        packed = None if label is None else PackedVolume.of(torch.as_tensor(label))
        return _Volume(PackedVolume.of(torch.as_tensor(image)), packed, self._reverses_slices(image, entry))

    def _reverses_slices(self, image: Any, entry: Mapping[str, Any]) -> bool:
        if image.ndim != 4 or not isinstance(image, MetaTensor) or MetaKeys.ORIGINAL_AFFINE not in image.meta:
            return False
        turn, axis = AxisTurn.between(image.meta[MetaKeys.ORIGINAL_AFFINE], image.affine), self.slice_axis % 3
        if turn.axes[axis] != axis:
            reason = f"has its slices along axis {turn.axes.index(axis)}, but those of others lie along axis {axis}"
            raise InputError(_name(entry), reason)
        return turn.is_reversed[axis]

    def _presence(self, entry: Mapping[str, Any], volume: _Volume, num_classes: int) -> Presence:
        """Find out what each slice holds."""
        slices = volume.image.voxels.shape[1 + self.slice_axis % 3] if volume.image.voxels.ndim == 4 else 1
        given = entry.get(Keys.PRESENCE.value)
        told = None if given is None else read_presence(given, self.class_names, slices, _name(entry))
        if told is not None and volume.is_reversed:
            told = Presence(told.volume, told.slices[:, ::-1])
        if volume.label is None:
            return cast(Presence, told)
        mask = volume.label.values_of(volume.label.voxels).numpy()[0]
        values = set(np.unique(mask).tolist()) - {IGNORE, *range(num_classes + 1)}
        if values:
            raise InputError(_name(entry), f"has a label with the value {min(values):g}; 0 to {num_classes} are known")
        seen = presence_of_mask(self._as_stored(entry, volume, mask), num_classes, self.slice_axis)
        if told is None:
            return seen
        for words in presence_contradictions(told, seen, self.class_names):
            raise InputError(_name(entry), words)
        return seen.completed_by(told)

    def _as_stored(self, entry: Mapping[str, Any], volume: _Volume, mask: np.ndarray) -> np.ndarray:
        """Give the mask of the file where slices are of another size there: of a small lesion, nothing may be left in
        smaller slices, and yet it is there.
        """
        file = Path(entry[Keys.LABEL.value])
        if not file.exists() or sorted(read_geometry(file).shape) == sorted(mask.shape):
            return mask
        stored, axis = read_volume(file).array, self.slice_axis
        if stored.ndim != mask.ndim or (stored.ndim == 3 and stored.shape[axis] != mask.shape[axis]):
            return mask
        return np.flip(stored, axis) if volume.is_reversed else stored


def collate_slices(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack slices to a batch.

    Returns:
        ``image`` (B, C, H, W), ``label`` (B, 1, H, W), ``presence`` (B, K) float32, negative where unknown, and
        ``slice_index`` (B,), plain tensors; ``case_id``, a list.
    """
    batch: dict[str, Any] = {
        key.value: torch.stack([_plain(sample[key.value]) for sample in samples])
        for key in (Keys.IMAGE, Keys.LABEL, Keys.PRESENCE)
    }
    batch[Keys.SLICE_INDEX.value] = torch.tensor([sample[Keys.SLICE_INDEX.value] for sample in samples])
    batch[Keys.CASE_ID.value] = [sample[Keys.CASE_ID.value] for sample in samples]
    return batch


def _plain(value: Any) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry[Keys.IMAGE.value])
