"""Masks that somebody has made already, in place of a network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.keys import Keys
from pipelines.prediction.evaluation import first_image
from pipelines.prediction.segmenter import Prediction
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import SUFFIXES, read_geometry, read_volume, stem_of

POSTFIXES = ("", "_seg", "_pred")
SAME_PLACE_MM = 1e-3


class StoredMasks:
    """Gives for each case the mask in a folder that is named after it.

    The name is the case's id or that of its image, perhaps with ``_seg`` or ``_pred`` behind it, and any suffix that
    is read. All headers are looked at when this is made.

    Args:
        folder: of masks.
        entries: the cases that will be asked for.
        class_names: label to name; other labels than these and 0 are refused.

    Raises:
        InputErrors: naming each case without a mask or with several, and each mask on another grid than its image.
    """

    def __init__(self, folder: Path, entries: Sequence[Mapping[str, Any]], class_names: Mapping[int, str]) -> None:
        if not folder.is_dir():
            raise InputError(folder, "is no folder of masks")
        self.folder = folder
        self.class_names = class_names
        self._found: dict[str, Path] = {}
        faults = []
        for entry in entries:
            try:
                self._found[str(entry[Keys.CASE_ID.value])] = self._find(entry)
            except InputError as fault:
                faults.append(fault)
        if faults:
            raise InputErrors(faults)

    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Read the mask of a case.

        Raises:
            InputError: when it is damaged, or holds anything but the labels of the classes.
        """
        path = self._found[str(entry[Keys.CASE_ID.value])]
        values = read_volume(path).array
        strange = sorted(set(np.unique(values).tolist()) - {0, *self.class_names})
        if strange:
            told = ", ".join(f"{value:g}" for value in strange[:5])
            raise InputError(path, f"holds the values {told}; its labels are 0 to {max(self.class_names)}")
        return Prediction(values.astype(np.uint8 if max(self.class_names) < 256 else np.uint16), 0.0)

    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give None: masks come without level sets."""
        return None

    def _find(self, entry: Mapping[str, Any]) -> Path:
        case_id, image = str(entry[Keys.CASE_ID.value]), first_image(entry)
        stem = stem_of(image)
        names = dict.fromkeys((case_id, stem, stem.removesuffix("_0000")))
        candidates = [f"{name}{postfix}{suffix}" for name in names for postfix in POSTFIXES for suffix in SUFFIXES]
        found = [self.folder / name for name in candidates if (self.folder / name).is_file()]
        if not found:
            raise InputError(self.folder, f"holds no mask for case {case_id} (such as {candidates[0]})")
        if len(found) > 1:
            listed = ", ".join(path.name for path in found)
            raise InputError(self.folder, f"holds several masks for case {case_id} ({listed}); keep one")
        mask, grid = read_geometry(found[0]), read_geometry(image)
        if mask.shape != grid.shape:
            raise InputError(found[0], f"has shape {mask.shape}, but the image {image.name} has {grid.shape}")
        if mask.channels or not np.allclose(mask.affine, grid.affine, rtol=0, atol=SAME_PLACE_MM):
            raise InputError(found[0], f"does not lie on the grid of the image {image.name}")
        return found[0]
