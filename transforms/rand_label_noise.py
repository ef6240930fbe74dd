"""Labels spoilt on purpose, always alike for the same instance: what the finding of bad labels is tested on."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray

__all__ = ["RandLabelNoise", "RandLabelNoised", "draw_disturbed"]

SINGLE_KINDS = ("roll", "affine", "morphology", "drop")
KINDS = (*SINGLE_KINDS, "mixed")

Labels = NDArray[Any]


class RandLabelNoise(Transform):
    """Disturb a label map; what is done is a function of the seed and the instance's number alone.

    Kinds, at strength ``s`` (``n`` standard normal draws, one per axis or matrix element):

    - ``roll``: the first two axes are swapped (where they are of one length, else the first is flipped), then each axis
      is rolled by ``round(10 s n)`` voxels;
    - ``affine``: the matrix ``1 + 0.09 s n`` and the shift ``0.18 s n``, in units of half the array about its centre;
      what comes from outside is background;
    - ``morphology``: with equal chance the foreground is eroded, or dilated into the background (each new voxel takes
      the nearest class), by ``s (1 + |n|)`` voxels;
    - ``drop``: of the foreground, a share of ``min(1, s u)``, u uniform in [0.5, 1], is lost beyond a plane of random
      direction;
    - ``mixed``: one of the four, drawn per instance.

    Strength 0 leaves every label as it is, save that ``roll`` still swaps or flips. An empty label stays empty.

    Reference: the first two are those of Weihsbach et al., *DeepSTAPLE*, WBIR 2022.

    Args:
        kind: as above.
        strength: as above; not negative.
        seed: of all draws.

    Raises:
        ValueError: for an unknown kind or a negative strength.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, kind: str = "affine", strength: float = 1.0, seed: int = 0) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind}.")
        if not strength >= 0:
            raise ValueError(f"strength must not be negative, got {strength}.")
        self.kind = kind
        self.strength = strength
        self.seed = seed

    def __call__(self, img: NdarrayOrTensor, index: int = 0) -> NdarrayOrTensor:
        """Disturb one label map.

        Args:
            img: shape (1, H, W[, D]), integers 0 to K in any dtype.
            index: the instance's number.

        Returns:
            Same shape, kind and dtype; no value that was not there, but 0.

        Raises:
            ValueError: when there is not one channel, or not 2 or 3 spatial axes.
        """
        array: Labels = convert_to_numpy(img)
        if array.shape[0] != 1 or array.ndim not in (3, 4):
            raise ValueError(f"img must have shape (1, H, W[, D]), got {tuple(array.shape)}.")
        rng = np.random.default_rng([self.seed, index])
        kind = SINGLE_KINDS[int(rng.integers(len(SINGLE_KINDS)))] if self.kind == "mixed" else self.kind
        disturb = {"roll": _roll, "affine": _affine, "morphology": _morphology, "drop": _drop}[kind]
        disturbed = disturb(array[0], self.strength, rng)[None] if array.any() else array.copy()
        return convert_to_dst_type(disturbed, dst=img, dtype=img.dtype)[0]


class RandLabelNoised(MapTransform):
    """:class:`RandLabelNoise` of the labels of chosen instances; all others are left as they are.

    Args:
        keys: label maps.
        instances: numbers of the instances to disturb, as :func:`draw_disturbed` gives them; None disturbs all.
        kind: see :class:`RandLabelNoise`.
        strength: see there.
        seed: see there.
        index_key: where a case's instance number is.
        allow_missing_keys: pass over a key that is not there.
    """

    backend = RandLabelNoise.backend

    def __init__(
        self,
        keys: KeysCollection,
        instances: Collection[int] | None = None,
        kind: str = "affine",
        strength: float = 1.0,
        seed: int = 0,
        index_key: Hashable = "instance_index",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.instances = None if instances is None else frozenset(instances)
        self.noise = RandLabelNoise(kind, strength, seed)
        self.index_key = index_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Disturb each key's label map, shape (1, H, W[, D])."""
        d = dict(data)
        index = int(d[self.index_key])
        if self.instances is None or index in self.instances:
            for key in self.key_iterator(d):
                d[key] = self.noise(d[key], index)
        return d


def draw_disturbed(candidates: Sequence[int], share: float, seed: int) -> frozenset[int]:
    """Draw which instances are to be disturbed: ``round(share * len(candidates))`` of them.

    With the same seed and candidates, a larger share holds all of a smaller one.

    Args:
        candidates: their numbers; best without those whose label is empty, which cannot be disturbed.
        share: 0 to 1.
        seed: of the draw.

    Raises:
        ValueError: when the share lies outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}.")
    order = np.random.default_rng([seed, len(candidates)]).permutation(len(candidates))
    return frozenset(int(candidates[place]) for place in order[: round(share * len(candidates))])


def _roll(label: Labels, strength: float, rng: np.random.Generator) -> Labels:
    shifts = np.rint(10 * strength * rng.standard_normal(label.ndim)).astype(int)
    turned = label.swapaxes(0, 1) if label.shape[0] == label.shape[1] else label[::-1]
    return np.roll(turned, shifts, axis=tuple(range(label.ndim)))


def _affine(label: Labels, strength: float, rng: np.random.Generator) -> Labels:
    from scipy.ndimage import affine_transform

    axes = label.ndim
    matrix = np.eye(axes) + 0.09 * strength * rng.standard_normal((axes, axes))
    shift = 0.18 * strength * rng.standard_normal(axes)
    half = np.array(label.shape) / 2
    centre = half - 0.5
    # Voxel to voxel: x -> centre + half * (matrix @ ((x - centre) / half) + shift).
    in_voxels = half[:, None] * matrix / half
    moved: Labels = affine_transform(label, in_voxels, centre + half * shift - in_voxels @ centre, order=0, cval=0)
    return moved


def _morphology(label: Labels, strength: float, rng: np.random.Generator) -> Labels:
    from scipy.ndimage import distance_transform_edt

    grows = bool(rng.integers(2))
    reach = strength * (1.0 + abs(rng.standard_normal()))
    if not grows:
        depth = distance_transform_edt(np.pad(label > 0, 1))[(slice(1, -1),) * label.ndim]
        return np.where(depth > reach, label, 0)
    distance, nearest = distance_transform_edt(label == 0, return_indices=True)
    return np.where(distance <= reach, label[tuple(nearest)], label)


def _drop(label: Labels, strength: float, rng: np.random.Generator) -> Labels:
    share = min(1.0, strength * rng.uniform(0.5, 1.0))
    direction = rng.standard_normal(label.ndim)
    places = np.argwhere(label > 0)
    order = np.argsort(places @ direction, kind="stable")
    lost = places[order[len(order) - round(share * len(order)) :]]
    kept = label.copy()
    kept[tuple(lost.T)] = 0
    return kept
