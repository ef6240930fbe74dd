"""Pictures as MONAI's own reader gives them, whoever reads them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transpose, Transposed
from monai.utils import ImageMetaKey

from transforms.io.volume import format_of


class ColumnsFirstd(Transposed):
    """Bring pictures (PNG, JPEG, TIFF) from rows first to columns first, which is how MONAI's ``PILReader`` has them.

    Bundles from elsewhere were trained so; :class:`transforms.io.volume_reader.VolumeReader` has rows first. Everything
    else stays as it is. ``Invertd`` takes it back.

    Args:
        keys: images (C, H, W[, D]), whose metadata tell the file.
        allow_missing_keys: leave out those that are not there.
    """

    def __init__(self, keys: Any, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, [0, 2, 1], allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with pictures as (C, W, H)."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            is_picture = format_of(str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, ""))) == "raster"
            order = [0, 2, 1] if is_picture else list(range(image.ndim))
            result[key] = Transpose(order)(image)
            self.push_transform(result, key, extra_info={"indices": order})
        return result
