"""Label map to signed distance map, per class: in mm, or in the published form of dual-task consistency."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.transforms.utils import check_non_lazy_pending_ops
from monai.utils import TransformBackends, convert_to_dst_type, ensure_tuple

from transforms.euclidean_distance import DistanceMode, check_settings, signed_distance
from transforms.label_distance import affine_spacing, labels_of, thread_count


class SignedDistanceMap(Transform):
    """Turn a label map into the signed distance map of each foreground class; negative inside, positive outside.

    See :func:`transforms.euclidean_distance.signed_distance` for the two modes and for the values of empty and full
    classes. A map computed on the whole volume keeps its scale in every crop; mode ``dtc`` scales by the maxima of
    whatever it is given, so a crop's map is not the crop of the map. Flips and 90-degree rotations commute with both.
    For thin structures take ``metric``: a vessel of one voxel is minus one voxel step there, while ``dtc`` makes 0 of
    every voxel that touches the background, so that nothing is inside what is less than three voxels wide.

    Args:
        num_classes: number of foreground classes K.
        mode: ``metric`` (default) or ``dtc``.
        spacing: voxel size in mm, one number or one per spatial axis. ``None`` takes it from the affine of a
            ``MetaTensor`` and measures anything else in voxels. Only for ``metric``.
        max_distance: clip distances here, in the unit of ``spacing``. Only for ``metric``.
        normalize: divide by ``max_distance``, so that values lie in [-1, 1]. Only for ``metric``.
        threads: threads of the distance transform; 0 takes every processor, but one inside a data loader's worker.

    Raises:
        ValueError: when the settings are out of range or contradict each other.

    References:
        Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency, AAAI 2021.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(
        self,
        num_classes: int = 1,
        mode: DistanceMode = "metric",
        spacing: float | Sequence[float] | None = None,
        max_distance: float | None = None,
        normalize: bool = False,
        threads: int = 0,
    ) -> None:
        check_settings(num_classes, mode, max_distance, normalize, spacing is not None)
        self.num_classes = num_classes
        self.mode = mode
        self.spacing = spacing
        self.max_distance = max_distance
        self.normalize = normalize
        self.threads = threads

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Compute the map.

        Args:
            img: label map of shape (1, H, W[, D]) with the integers 0..K, of any dtype.

        Returns:
            float32 of shape (K, H, W[, D]), of the kind and on the device of ``img``; a ``MetaTensor`` keeps its
            affine and the record of what was applied to it.

        Raises:
            ValueError: for another shape, for labels that are not the integers 0..K, and for a spacing that is not
                positive and finite.
        """
        check_non_lazy_pending_ops(img, name="SignedDistanceMap", raise_error=True)
        label = labels_of(img)
        spacing = affine_spacing(img) if self.spacing is None and self.mode == "metric" else self.spacing
        threads = thread_count(self.threads)
        distances = signed_distance(
            label, self.num_classes, self.mode, spacing, self.max_distance, self.normalize, threads
        )
        return convert_to_dst_type(distances, dst=img, dtype=distances.dtype)[0]


class SignedDistanceMapd(MapTransform):
    """Dictionary version of :class:`SignedDistanceMap`: the map of ``keys`` is written under ``output_keys``.

    Args:
        keys: label maps.
        output_keys: where the maps go, one per key.
        num_classes: see :class:`SignedDistanceMap`, as are all that follow.
        mode: see there.
        spacing: see there.
        max_distance: see there.
        normalize: see there.
        threads: see there.
        allow_missing_keys: leave out the map of a key that is not there, as for a scan without a label.

    Raises:
        ValueError: when there are not as many ``output_keys`` as ``keys``.
    """

    backend = SignedDistanceMap.backend

    def __init__(
        self,
        keys: KeysCollection,
        output_keys: KeysCollection = "sdf",
        num_classes: int = 1,
        mode: DistanceMode = "metric",
        spacing: float | Sequence[float] | None = None,
        max_distance: float | None = None,
        normalize: bool = False,
        threads: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_keys = ensure_tuple(output_keys)
        if len(self.output_keys) != len(self.keys):
            raise ValueError(f"output_keys needs {len(self.keys)} names, one per key, got {len(self.output_keys)}.")
        self.converter = SignedDistanceMap(num_classes, mode, spacing, max_distance, normalize, threads)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with the maps added."""
        result = dict(data)
        for key, output_key in self.key_iterator(result, self.output_keys):
            result[output_key] = self.converter(result[key])
        return result
