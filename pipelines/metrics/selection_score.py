"""The one number by which a validation of lesion segmentation or detection chooses the weights; higher is better."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.detection import measure_detection, presence_of_slices

__all__ = ["PresenceMetric", "VolumeDiceMetric", "selection_of_dice", "selection_of_presence"]

IGNORE_INDEX = 255
# Beside zero and one, so that a logarithm stays finite.
MARGIN = 1e-7


def selection_of_dice(dice: ArrayLike, false_positives: ArrayLike) -> float:
    """Give the mean volume Dice of a validation.

    Args:
        dice: (N, K) of N volumes and K classes, NaN where a volume's reference does not hold the class.
        false_positives: (N, K), share of the volume's voxels in which an absent class was predicted, else 0.

    Returns:
        The mean over volumes, then over classes. Without any class in any volume: minus the mean of the false
        positives, the best of which is 0.
    """
    values = np.asarray(dice, float)
    known = ~np.isnan(values)
    held = known.any(axis=0)
    if not held.any():
        return -float(np.asarray(false_positives, float).mean()) if values.size else 0.0
    means = np.where(known, values, 0.0).sum(axis=0)[held] / known.sum(axis=0)[held]
    return float(means.mean())


def selection_of_presence(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Give the mean AUC over the kinds of lesion, or what stands in for it.

    Args:
        probabilities: (N, P) of N slices and P kinds.
        truth: (N, P), 1 there, 0 not there, negative unknown.

    Returns:
        The mean over the kinds that some known slices hold and others do not. Without such a kind: ``exp(-BCE)`` of
        what is known minus 1, from -1 to 0, which ranks as the negative cross entropy does and is below every AUC; 0
        where nothing is known.
    """
    values, told = np.asarray(probabilities, float), np.asarray(truth)
    kinds = (measure_detection(values[:, kind], told[:, kind]) for kind in range(values.shape[1]))
    areas = [found["auc"] for found in kinds if found["auc"] is not None]
    if areas:
        return math.fsum(areas) / len(areas)
    known = told >= 0
    if not known.any():
        return 0.0
    clipped = np.clip(values[known], MARGIN, 1 - MARGIN)
    cross_entropy = -np.mean(np.where(told[known] > 0, np.log(clipped), np.log1p(-clipped)))
    return math.exp(-float(cross_entropy)) - 1.0


class VolumeDiceMetric(CumulativeIterationMetric):
    """Mean volume Dice of a validation, by :func:`selection_of_dice`.

    Called with the prediction and the label of one volume each: label maps (1, H, W[, D]) or one-hot
    (K + 1, H, W[, D]), or batches of such. Label voxels of 255 count for nothing.

    Args:
        num_classes: K, without the background.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        """Give (B, K, 2) of batches: Dice, and the share of false positives."""
        if y is None:
            raise ValueError("A Dice needs a label.")
        predicted, truth = self._label_map(y_pred), self._label_map(y)
        if predicted.shape != truth.shape:
            raise ValueError(f"prediction {tuple(predicted.shape)} and label {tuple(truth.shape)} differ in shape.")
        known = truth != IGNORE_INDEX
        rows = []
        for label in range(1, self.num_classes + 1):
            called, held = ((labels == label) & known for labels in (predicted, truth))
            sizes = [part.flatten(1).sum(1).double() for part in (called & held, called, held)]
            dice = torch.where(sizes[2] > 0, 2 * sizes[0] / (sizes[1] + sizes[2]), torch.nan)
            alone = torch.where(sizes[2] > 0, 0.0, sizes[1] / called[0].numel())
            rows.append(torch.stack([dice, alone], dim=1))
        return torch.stack(rows, dim=1)

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Give the number as a tensor."""
        rows = _rows(self.get_buffer(), self.num_classes)
        return torch.tensor(selection_of_dice(rows[..., 0], rows[..., 1]) if rows.size else 0.0)

    def _label_map(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, ...) or (B, K + 1, ...) to (B, ...)."""
        if x.shape[1] == 1:
            return x[:, 0].round().long()
        if x.shape[1] != self.num_classes + 1:
            raise ValueError(f"{self.num_classes} classes want {self.num_classes + 1} channels, got {x.shape[1]}.")
        return x.argmax(dim=1)


class PresenceMetric(CumulativeIterationMetric):
    """Mean AUC of the slices of a validation, by :func:`selection_of_presence`.

    Called with the presence probabilities of one volume (P, D), or of one picture (P,), and with its label map
    (1, H, W[, D]) or the presence itself, of the probabilities' shape: 1 there, 0 not there, negative unknown. Batches
    of such are taken likewise.

    Args:
        num_classes: P.
        slice_axis: of a label map without its channel.
    """

    def __init__(self, num_classes: int, slice_axis: int = -1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.slice_axis = slice_axis

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        """Give (B * D, P, 2): probability and truth."""
        if y is None:
            raise ValueError("Presence needs a truth.")
        truth = y if y.shape == y_pred.shape else self._of_labels(y, y_pred)
        if truth.shape != y_pred.shape or y_pred.shape[1] != self.num_classes:
            raise ValueError(
                f"presence {tuple(y_pred.shape)} of {self.num_classes} kinds does not fit its truth {tuple(y.shape)}."
            )
        pairs = torch.stack([y_pred.double(), truth.to(y_pred.device).double()], dim=-1)  # (B, P[, D], 2)
        return pairs if pairs.dim() == 3 else pairs.transpose(1, 2).flatten(0, 1)

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Give the number as a tensor."""
        rows = _rows(self.get_buffer(), self.num_classes)
        return torch.tensor(selection_of_presence(rows[..., 0], rows[..., 1]) if rows.size else 0.0)

    def _of_labels(self, labels: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
        axis = None if presence.dim() == 2 else self.slice_axis
        maps = np.asarray(labels[:, 0].detach().cpu())
        return torch.from_numpy(np.stack([presence_of_slices(one, self.num_classes, axis) for one in maps]))


def _rows(buffer: Any, kinds: int) -> NDArray[np.float64]:
    """Give the buffer of a metric (N, K, 2); (0, K, 2) when nothing was added."""
    if not isinstance(buffer, torch.Tensor):
        return np.zeros((0, kinds, 2))
    return np.asarray(buffer.cpu(), float)
