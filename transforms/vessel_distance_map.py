"""Label map to unsigned distance map: how far every voxel is from the nearest vessel, or other thin structure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import TransformBackends, convert_to_dst_type, ensure_tuple

from transforms.euclidean_distance import Normalization, check_unsigned_settings, unsigned_distance
from transforms.label_distance import affine_spacing, labels_of, thread_count


class VesselDistanceMap(Transform):
    """Turn a label map into the distance of every voxel to the nearest voxel of each foreground class; 0 on the class.

    This is the regression target of multi-task vessel segmentation (github canxkoz/OCTA-Segmentation), as exact float32
    with a unit. The published maps are cut to whole numbers of 8 bit, which takes off half a voxel on average, and keep
    their values when the image is resized: defects, and not offered. What they are meant to be is the distance in
    voxels over 255: ``spacing=1, max_distance=255, normalize="clip"``.

    A map in mm or voxels keeps its scale in a crop, but a crop does not see the vessels outside it: compute the map
    first and crop label and map together. Flips and 90-degree rotations commute with it.

    Args:
        num_classes: number of foreground classes K.
        spacing: voxel size in mm, one number or one per spatial axis. ``None`` takes it from the affine of a
            ``MetaTensor`` and measures anything else in voxels. A picture's affine is a pixel per unit.
        max_distance: clip distances here, in the unit of ``spacing``.
        normalize: ``none`` (default); ``clip`` divides by ``max_distance``, ``max`` by the map's own maximum.
        threads: threads of the distance transform; 0 takes every processor, but one inside a data loader's worker.

    Raises:
        ValueError: when the settings are out of range or contradict each other.

    References:
        Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, Theory of Computing 2012.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(
        self,
        num_classes: int = 1,
        spacing: float | Sequence[float] | None = None,
        max_distance: float | None = None,
        normalize: Normalization = "none",
        threads: int = 0,
    ) -> None:
        check_unsigned_settings(num_classes, normalize, max_distance)
        self.num_classes = num_classes
        self.spacing = spacing
        self.max_distance = max_distance
        self.normalize = normalize
        self.threads = threads

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Compute the map.

        Args:
            img: label map of shape (1, H, W[, D]) with the integers 0..K, of any dtype.

        Returns:
            float32 of shape (K, H, W[, D]), never negative, of the kind and on the device of ``img``; a ``MetaTensor``
            keeps its affine and the record of what was applied to it. A class that is not there is ``max_distance``
            (else the volume's diagonal) everywhere, 1 where the map is normalised.

        Raises:
            ValueError: for another shape, for labels that are not the integers 0..K, and for a spacing that is not
                positive and finite.
        """
        check_non_lazy_pending_ops(img, name="VesselDistanceMap", raise_error=True)
        label = labels_of(img)
        spacing = affine_spacing(img) if self.spacing is None else self.spacing
        threads = thread_count(self.threads)
        distances = unsigned_distance(label, self.num_classes, self.normalize, spacing, self.max_distance, threads)
        return convert_to_dst_type(distances, dst=img, dtype=distances.dtype)[0]


class VesselDistanceMapd(MapTransform):
    """Dictionary version of :class:`VesselDistanceMap`: the map of ``keys`` is written under ``output_keys``.

    Args:
        keys: label maps.
        output_keys: where the maps go, one per key.
        num_classes: see :class:`VesselDistanceMap`, as are all that follow.
        spacing: see there.
        max_distance: see there.
        normalize: see there.
        threads: see there.
        allow_missing_keys: leave out the map of a key that is not there, as for a scan without a label.

    Raises:
        ValueError: when there are not as many ``output_keys`` as ``keys``.
    """

    backend = VesselDistanceMap.backend

    def __init__(
        self,
        keys: KeysCollection,
        output_keys: KeysCollection = "distance",
        num_classes: int = 1,
        spacing: float | Sequence[float] | None = None,
        max_distance: float | None = None,
        normalize: Normalization = "none",
        threads: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_keys = ensure_tuple(output_keys)
        if len(self.output_keys) != len(self.keys):
            raise ValueError(f"output_keys needs {len(self.keys)} names, one per key, got {len(self.output_keys)}.")
        self.converter = VesselDistanceMap(num_classes, spacing, max_distance, normalize, threads)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the maps added."""
        result = dict(data)
        for key, output_key in self.key_iterator(result, self.output_keys):
            result[output_key] = self.converter(result[key])
        return result
