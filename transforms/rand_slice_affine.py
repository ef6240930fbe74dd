"""Slices turned, scaled and shifted at random, with labels that claim nothing of what comes in from outside."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

from monai.config import KeysCollection
from monai.transforms import RandAffined
from monai.utils import convert_to_dst_type, ensure_tuple

IGNORE = 255.0


class RandSliceAffined(RandAffined):
    """MONAI's ``RandAffined`` for images and their label maps: beyond the border, images go on and labels are 255.

    Losses ignore 255. With padding of zeros a lesion would end where its image goes on, and the transforms of github
    ShawnBIT/AI-Challenger-Retinal-Edema-Segmentation pad with what later counts as oedema. Images are interpolated,
    labels take the nearest pixel.

    Args:
        keys: slices (C, H, W) of one size.
        label_keys: those of ``keys`` that are label maps.
        prob: probability that anything is done.
        rotate_range: largest rotation to either side, radians.
        scale_range: largest relative change of size along each axis.
        translate_range: largest shift along each axis, pixels.
        allow_missing_keys: leave out a key that is not there.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = "label",
        prob: float = 0.5,
        rotate_range: float = 0.17,
        scale_range: Sequence[float] | float = 0.1,
        translate_range: Sequence[float] | float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        self.label_keys = set(ensure_tuple(label_keys))
        is_label = [key in self.label_keys for key in ensure_tuple(keys)]
        super().__init__(
            keys,
            prob=prob,
            rotate_range=rotate_range,
            scale_range=cast(Any, scale_range),
            translate_range=cast(Any, translate_range),
            mode=["nearest" if label else "bilinear" for label in is_label],
            padding_mode=["zeros" if label else "border" for label in is_label],
            allow_missing_keys=allow_missing_keys,
        )

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Return ``data`` with all keys moved by one draw, labels of the type that they had."""
        labels = [key for key in self.key_iterator(data) if key in self.label_keys]
        # MONAI fills with 0: counted from 255 downwards, that is what nobody knows.
        lowered = {key: convert_to_dst_type(data[key], data[key], dtype=float)[0] - IGNORE for key in labels}
        result: dict[Hashable, Any] = super().__call__({**data, **lowered}, lazy)
        for key in labels:
            result[key] = convert_to_dst_type(result[key] + IGNORE, result[key], dtype=data[key].dtype)[0]
        return result
