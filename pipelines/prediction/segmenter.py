"""What gives a label map for a case, whether a network, several of them, or a folder of finished masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """What was found in one image.

    Attributes:
        labels: integers 0..K, shape (H, W[, D]), on the grid of the image file.
        seconds: time from reading the file to the finished label map.
    """

    labels: np.ndarray
    seconds: float


class Segmenter(Protocol):
    """Gives label maps of cases on the grids of their images."""

    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Segment one case.

        Args:
            entry: a case entry; its label, if any, is not looked at.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image.
        """
        ...

    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give the level sets (K, H, W[, D]) of one case on its own grid; None when there are none."""
        ...
