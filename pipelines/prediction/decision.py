"""From class probabilities to a label map, all at once or some slices at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose

from pipelines.keys import Keys
from pipelines.prediction.slice_steps import is_argmax


class Decision:
    """What a bundle's postprocessing does on the grid of the file: decide, then clean.

    Args:
        steps: dictionary transforms of the prediction, from probabilities to a label map.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self._steps, self._cleaning = Compose(list(steps)), Compose(list(steps[1:]))
        self._most_probable = steps[0] if steps and is_argmax(steps[0]) else None

    @property
    def slice_by_slice(self) -> bool:
        """Whether a slice can be decided on before its neighbours are known; cleaning waits for all."""
        return self._most_probable is not None

    def decide(self, probabilities: torch.Tensor) -> np.ndarray:
        """Give the label map (H, W[, D]), uint8 (uint16 beyond 255 classes), that probabilities on the grid of the
        file (K + 1, H, W[, D]) mean.
        """
        return _as_array(self._steps({Keys.PRED.value: probabilities})[Keys.PRED.value], probabilities.shape[0])

    def decide_slices(self, probabilities: torch.Tensor) -> np.ndarray:
        """Give the label map (H, W, n) of n slices, not cleaned yet.

        Raises:
            ValueError: when they cannot be decided on alone.
        """
        if self._most_probable is None:
            raise ValueError("This postprocessing looks at the whole volume before it decides.")
        labels = self._most_probable({Keys.PRED.value: probabilities})[Keys.PRED.value]
        return _as_array(labels, probabilities.shape[0])

    def clean(self, labels: np.ndarray) -> np.ndarray:
        """Do to the label map (H, W, D) of all slices what ``decide`` does after deciding."""
        if not self._cleaning.transforms:
            return labels
        given = torch.from_numpy(labels.astype(np.float32))[None]
        return self._cleaning({Keys.PRED.value: given})[Keys.PRED.value][0].cpu().numpy().astype(labels.dtype)


def _as_array(labels: torch.Tensor, classes: int) -> np.ndarray:
    array: np.ndarray = labels[0].cpu().numpy().astype(np.uint8 if classes <= 256 else np.uint16)
    return array
