"""What is told of a network at one moment: how right it is, how sure of itself, and whether it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from networks.layers.class_probabilities import foreground_probabilities, with_background
from pipelines.keys import Keys
from pipelines.metrics.calibration import ReliabilityBins, compute_brier, compute_reliability

MEASURES = (
    *("pixel_accuracy", "iou", "confidence_foreground", "confidence_background"),
    *("ece", "ace", "mce", "brier"),
)


@dataclass(frozen=True)
class Scores:
    """What a network does on a set of cases, in numbers.

    Attributes:
        values: by name, those of ``MEASURES``: the share of pixels whose class is right; the mean over cases of
            the foreground's intersection over union (classes averaged, cases without any left out); the mean
            probability of the true class over the pixels of the foreground, and over those of the background; the
            calibration errors of the predicted class's probability; the Brier score. None where it is not defined.
        bins: reliability of the predicted class's probability, over all pixels.
        foreground_bins: reliability of the probability of not being background, over all pixels.
    """

    values: Mapping[str, float | None]
    bins: ReliabilityBins
    foreground_bins: ReliabilityBins


def mask_logits(network: nn.Module, image: torch.Tensor, head: str) -> torch.Tensor:
    """Give the logits (B, K, ...) of a network's mask head; a network without named heads has only that one."""
    output: Any = network(image)
    logits: torch.Tensor = output[head] if isinstance(output, Mapping) else output
    return logits


def class_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities (B, K + 1, ...), the background's first, from logits (B, K, ...) without a background."""
    return with_background(foreground_probabilities(logits.float()))


def score_cases(
    predict: Callable[[torch.Tensor], torch.Tensor], cases: Iterable[Mapping[str, Any]], device: torch.device
) -> Scores:
    """Score whole preprocessed cases.

    Args:
        predict: logits (1, K, ...) of an image (1, C, ...); in evaluation mode.
        cases: ``image`` (C, ...) and ``label`` (1, ...), integers 0..K.
        device: where the network is.

    Raises:
        ValueError: when there is no case.
    """
    sums = ScoreSums()
    with torch.no_grad():
        for case in cases:
            image, label = case_tensors(case, device)
            sums.add(predict(image), label)
    return sums.scores()


def case_tensors(case: Mapping[str, Any], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Give image (1, C, ...) and label (1, 1, ...) of a preprocessed case as plain tensors on the device."""
    image, label = (torch.as_tensor(np.asarray(case[key.value]))[None].to(device) for key in (Keys.IMAGE, Keys.LABEL))
    return image, label


class ScoreSums:
    """Sums over the cases seen so far, of which :class:`Scores` are made."""

    def __init__(self) -> None:
        self.pixels = self.right = 0
        self.overlaps: list[float] = []
        self.confidence_sums = {"foreground": 0.0, "background": 0.0}
        self.counts = {"foreground": 0, "background": 0}
        self.brier = 0.0
        self.bins = self.foreground_bins = compute_reliability([], [])

    def add(self, logits: torch.Tensor, label: torch.Tensor) -> None:
        """Add a case: logits (1, K, ...) and label (1, 1, ...)."""
        probabilities = class_probabilities(logits)[0].cpu().numpy()
        truth = label[0, 0].cpu().numpy().astype(np.int64)
        predicted = probabilities.argmax(axis=0)
        right = predicted == truth
        self.pixels += truth.size
        self.right += int(right.sum())
        of_truth = np.take_along_axis(probabilities, truth[None], axis=0)[0].astype(float)
        for name, inside in (("foreground", truth > 0), ("background", truth == 0)):
            self.confidence_sums[name] += float(of_truth[inside].sum())
            self.counts[name] += int(inside.sum())
        overlap = intersection_over_union(predicted, truth, len(probabilities) - 1)
        if overlap is not None:
            self.overlaps.append(overlap)
        self.brier += (compute_brier(probabilities, truth) or 0.0) * truth.size
        # float32 sums of K probabilities may exceed 1 by a rounding error.
        self.bins += compute_reliability(np.clip(probabilities.max(axis=0), 0.0, 1.0), right)
        self.foreground_bins += compute_reliability(np.clip(1.0 - probabilities[0], 0.0, 1.0), truth > 0)

    def scores(self) -> Scores:
        """Make the numbers.

        Raises:
            ValueError: when no case was added.
        """
        if not self.pixels:
            raise ValueError("there is no case to score.")
        values: dict[str, float | None] = {
            "pixel_accuracy": self.right / self.pixels,
            "iou": float(np.mean(self.overlaps)) if self.overlaps else None,
            **{
                f"confidence_{name}": self.confidence_sums[name] / count if count else None
                for name, count in self.counts.items()
            },
            "ece": self.bins.expected_error,
            "ace": self.bins.average_error,
            "mce": self.bins.largest_error,
            "brier": self.brier / self.pixels,
        }
        return Scores(values, self.bins, self.foreground_bins)


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray, classes: int) -> float | None:
    """Mean over the classes 1..``classes`` that are in either label map; None when none is."""
    ratios = []
    for value in range(1, classes + 1):
        found, wanted = predicted == value, truth == value
        union = int((found | wanted).sum())
        if union:
            ratios.append(int((found & wanted).sum()) / union)
    return float(np.mean(ratios)) if ratios else None
