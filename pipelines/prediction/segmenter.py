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
        presence: probability that a slice of the file holds a kind of lesion, shape (P, D), kinds 1..P in their order;
            (P,) for a single image. None where the network does not tell.
    """

    labels: np.ndarray
    seconds: float
    uncertainty: np.ndarray | None = None
    presence: np.ndarray | None = None

    @property
    def whole_presence(self) -> np.ndarray | None:
        """Probability that the whole image holds a kind of lesion, shape (P,): the largest over its slices."""
        return None if self.presence is None else whole_presence(self.presence)


def whole_presence(presence: np.ndarray) -> np.ndarray:
    """Give the largest value over the slices (P, D); what is of a single image (P,) stays."""
    return np.asarray(presence.max(axis=1)) if presence.ndim > 1 else presence


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
    """A segmenter that can tell how sure it is."""

    def predict_with_probabilities(self, entry: Mapping[str, Any]) -> tuple[Prediction, torch.Tensor]:
        """Do as ``predict``, and give the class probabilities (K + 1, H, W[, D]) on the grid of the file too,
        background first.
        """
        ...


@runtime_checkable
class PresenceSegmenter(Protocol):
    """A segmenter that may tell which slices hold what, and may do nothing else.

    Attributes:
        gives_mask: whether it can do anything but ``predict_presence``.
        tells_presence: whether it can do that.
        looks_at_slices: whether what it looks at are slices, of volumes or alone.
        slice_axis: axis of the slices in the arrays of a volume; None where there are none.
    """

    gives_mask: bool
    tells_presence: bool
    looks_at_slices: bool
    slice_axis: int | None

    def predict_presence(self, entry: Mapping[str, Any]) -> tuple[np.ndarray, float]:
        """Give the presence (P, D) or (P,) of one case, as in :class:`Prediction`, and the seconds it took."""
        ...
