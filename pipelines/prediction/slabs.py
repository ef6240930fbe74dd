"""Volumes in slabs of slices: the probabilities of a slab are decided on and forgotten before the next is looked at,
so that memory does not grow with the number of slices.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.keys import Keys
from pipelines.prediction.decision import Decision
from pipelines.prediction.segmenter import Prediction
from pipelines.prediction.slice_steps import slab_ranges
from transforms.class_entropy import ClassEntropy
from transforms.io.input_error import InputError

SLAB_SLICES = 16


@dataclass(frozen=True)
class Slab:
    """What was found in a run of slices, or in a whole image, on the grid of the file.

    Attributes:
        probabilities: of the classes, (K + 1, H, W[, n]), background first; None where there is no mask.
        presence: probability that a slice holds a kind of lesion, (P, n), or (P,) of an image without slices; None
            where it is not told.
    """

    probabilities: torch.Tensor | None
    presence: torch.Tensor | None


class SharedImages:
    """Keeps one copy of what several networks read of the same file."""

    def __init__(self) -> None:
        self._kept: list[torch.Tensor] = []

    def keep(self, image: torch.Tensor) -> torch.Tensor:
        """Give the equal image that is here already, else keep this one."""
        for other in self._kept:
            if other.shape == image.shape and other.dtype == image.dtype and bool((other == image).all()):
                return other
        self._kept.append(image)
        return image


def cut(whole: Slab, slice_axis: int, thickness: int) -> Iterator[Slab]:
    """Cut what was found in a whole volume into the slabs that others come in.

    Args:
        whole: of all slices.
        slice_axis: spatial axis of the slices, from 0.
        thickness: slices of a slab.
    """
    probabilities, presence = whole.probabilities, whole.presence
    sizes = [*([] if probabilities is None else [probabilities.shape[slice_axis + 1]])]
    sizes += [] if presence is None else [presence.shape[-1]]
    for start, stop in slab_ranges(sizes[0], thickness):
        yield Slab(
            None if probabilities is None else probabilities.narrow(slice_axis + 1, start, stop - start),
            None if presence is None else presence[:, start:stop],
        )


class SlabSegmenter(ABC):
    """Label maps, detections and uncertainty out of slabs.

    Args:
        decision: what makes a label map of probabilities.
        slice_axis: spatial axis of the slices, from 0; None where everything comes as one slab.
        gives_mask: whether slabs have probabilities.
        tells_presence: whether slabs have presence.
        tells_uncertainty: whether predictions come with their entropy.

    Attributes:
        looks_at_slices: whether what is segmented are slices, of volumes or alone.
    """

    looks_at_slices = False

    def __init__(
        self,
        decision: Decision,
        slice_axis: int | None,
        gives_mask: bool,
        tells_presence: bool,
        tells_uncertainty: bool,
    ) -> None:
        self.decision = decision
        self.slice_axis = slice_axis
        self.gives_mask = gives_mask
        self.tells_presence = tells_presence
        self.tells_uncertainty = tells_uncertainty

    @abstractmethod
    def slabs(self, entry: Mapping[str, Any]) -> Iterator[Slab]:
        """Give what is found in one case, slab by slab in their order.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image.
        """

    @torch.inference_mode()
    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Segment one case.

        Args:
            entry: a case entry; its label, if any, is not looked at.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image. When no network gives a mask.
        """
        started = time.monotonic()
        return self._assembled(self.slabs(entry), started)

    @torch.inference_mode()
    def predict_with_probabilities(self, entry: Mapping[str, Any]) -> tuple[Prediction, torch.Tensor]:
        """Do as ``predict``, and give the class probabilities (K + 1, H, W[, D]) on the grid of the file too,
        background first: of all slices, so that memory grows with their number.

        Raises:
            InputError: as ``predict``.
        """
        started = time.monotonic()
        slabs = list(self.slabs(entry))
        return self._assembled(slabs, started), self._joined([slab.probabilities for slab in slabs])

    @torch.inference_mode()
    def predict_probabilities(self, entry: Mapping[str, Any]) -> torch.Tensor:
        """Give the class probabilities (K + 1, H, W[, D]) of one case on the grid of its file, background first.

        Raises:
            InputError: as ``predict``.
        """
        return self._joined([slab.probabilities for slab in self.slabs(entry)])

    @torch.inference_mode()
    def predict_presence(self, entry: Mapping[str, Any]) -> tuple[np.ndarray, float]:
        """Give the presence (P, D) or (P,) of one case, as in :class:`pipelines.prediction.segmenter.Prediction`, and
        the seconds it took.

        Raises:
            InputError: as ``predict``.
            ValueError: when no network tells it.
        """
        started = time.monotonic()
        presence = _presence([slab.presence for slab in self.slabs(entry)])
        if presence is None:
            raise ValueError("No network here tells what is present.")
        return presence, time.monotonic() - started

    def decide(self, probabilities: torch.Tensor) -> np.ndarray:
        """Give the label map (H, W[, D]), uint8 (uint16 beyond 255 classes), that probabilities on the grid of the
        file (K + 1, H, W[, D]) mean.
        """
        return self.decision.decide(probabilities)

    def _assembled(self, slabs: Iterable[Slab], started: float) -> Prediction:
        """Decide slab by slab, and put together what is kept of them."""
        labels: list[np.ndarray] = []
        undecided: list[torch.Tensor | None] = []
        uncertain: list[np.ndarray] = []
        presence: list[torch.Tensor | None] = []
        early = self.slice_axis is not None and self.decision.slice_by_slice
        for slab in slabs:
            presence.append(slab.presence)
            if slab.probabilities is not None and self.tells_uncertainty:
                uncertain.append(np.asarray(ClassEntropy()(slab.probabilities)[0].cpu()))
            if slab.probabilities is not None and early:
                labels.append(self.decision.decide_slices(slab.probabilities))
            else:
                undecided.append(slab.probabilities)
            del slab  # before the next is made
        axis = self.slice_axis or 0
        if early and labels:
            found = self.decision.clean(np.concatenate(labels, axis))
        else:
            found = self.decide(self._joined(undecided))
        uncertainty = np.concatenate(uncertain, axis) if uncertain else None
        return Prediction(found, time.monotonic() - started, uncertainty, _presence(presence))

    def _joined(self, parts: list[torch.Tensor | None]) -> torch.Tensor:
        whole = [part for part in parts if part is not None]
        if not whole:
            raise InputError("--bundle", "the network tells what is present and gives no mask")
        return whole[0] if len(whole) == 1 else torch.cat(whole, (self.slice_axis or 0) + 1)


def _presence(parts: list[torch.Tensor | None]) -> np.ndarray | None:
    told = [part for part in parts if part is not None]
    return torch.cat(told, dim=-1).float().cpu().numpy() if told else None


def image_of(entry: Mapping[str, Any]) -> str:
    """Give what a case's image is called in messages."""
    return str(entry[Keys.IMAGE.value])
