"""What gives a label map for a case, whether a network, several of them, or a folder of finished masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Prediction:
    """What was found in one image.

    Attributes:
        labels: integers 0..K, shape (H, W[, D]), on the grid of the image file.
        seconds: time from reading the file to the finished label map.
        uncertainty: how undecided the class probabilities are, from 0 to 1, shape (H, W[, D]); None where nobody asked.
    """

    labels: np.ndarray
    seconds: float
    uncertainty: np.ndarray | None = None


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


@runtime_checkable
class ProbabilitySegmenter(Protocol):
    """A segmenter that can tell how sure it is, in two steps that together are ``predict``."""

    def predict_probabilities(self, entry: Mapping[str, Any]) -> torch.Tensor:
        """Give the class probabilities (K + 1, H, W[, D]) of one case on the grid of its file, background first."""
        ...

    def prediction(self, probabilities: torch.Tensor, started: float) -> Prediction:
        """Give what such probabilities mean; ``started`` is the monotonic time at which the case was begun."""
        ...
