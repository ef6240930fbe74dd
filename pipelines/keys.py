"""The names under which a case's parts travel through transforms, loaders and engines."""

from __future__ import annotations

from enum import Enum


class Keys(str, Enum):
    """Dictionary keys; members are strings, so ``batch[Keys.IMAGE]`` and ``batch["image"]`` are the same.

    ``plain`` is the image, cut and turned but with its intensities left alone: what a teacher looks at.
    ``distance`` is the unsigned distance to the nearest structure, ``fov`` the mask of the field of view: 1 where the
    image shows anything that counts. ``presence`` says of each foreground class whether it occurs.

    MONAI's ``Spacingd`` treats every key that starts with ``image_`` as metadata, so no key of ours starts so.
    """

    IMAGE = "image"
    PLAIN = "plain"
    LABEL = "label"
    PRED = "pred"
    SDF = "sdf"
    DISTANCE = "distance"
    FOV = "fov"
    PRESENCE = "presence"
    CASE_ID = "case_id"
    SLICE_INDEX = "slice_index"
    INSTANCE_INDEX = "instance_index"

    def __str__(self) -> str:
        return self.value
