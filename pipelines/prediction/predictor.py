"""From an image file to a label map on the image's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose, Invertd
from torch import nn

from pipelines.keys import Keys
from transforms.io.input_error import InputError


@dataclass(frozen=True)
class Prediction:
    """What was found in one image.

    Attributes:
        labels: integers 0..K, shape (H, W[, D]), on the grid of the image file.
        seconds: time from reading the file to the finished label map.
    """

    labels: np.ndarray
    seconds: float


class Predictor:
    """Preprocess, infer window by window, and bring the result back to the grid of the input.

    Args:
        network: gives (B, K + 1, ...) class probabilities, background first.
        preprocessing: of a case's image.
        inferer: sliding window.
        postprocessing: from probabilities to a label map on the original grid.
        device: where to compute.
        level_set: gives (B, K, ...) level sets of the same images; None when the network has none to show.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Compose,
        inferer: Inferer,
        postprocessing: Compose,
        device: torch.device,
        level_set: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.network = network.to(device).eval()
        self.preprocessing = preprocessing
        self.inferer = inferer
        self.postprocessing = postprocessing
        self.device = device
        self.level_set = level_set

    @torch.inference_mode()
    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Segment one case.

        Args:
            entry: a case entry; its label, if any, is not looked at.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image.
        """
        started = time.monotonic()
        data = self._prepared(entry)
        data[Keys.PRED.value] = self._infer(data, self.network)
        labels = self.postprocessing(data)[Keys.PRED.value][0]
        array = labels.cpu().numpy().astype(np.uint8 if labels.max() < 256 else np.uint16)
        return Prediction(array, time.monotonic() - started)

    @torch.inference_mode()
    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give the level sets (K, H, W[, D]) of one case on its own grid; None when the network has none."""
        if self.level_set is None:
            return None
        data = self._prepared(entry)
        data[Keys.PRED.value] = self._infer(data, self.level_set)
        back = Invertd(
            keys=Keys.PRED.value, transform=self.preprocessing, orig_keys=Keys.IMAGE.value, nearest_interp=False
        )
        level_set: np.ndarray = back(data)[Keys.PRED.value].cpu().numpy()
        return level_set

    def _prepared(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        image = entry[Keys.IMAGE.value]
        try:
            return dict(self.preprocessing({Keys.IMAGE.value: image}))
        except InputError:
            raise
        except (RuntimeError, ValueError, OSError, MemoryError) as fault:
            refusal = fault.__cause__ if isinstance(fault.__cause__, InputError) else None
            raise refusal or InputError(str(image), f"cannot be preprocessed: {fault.__cause__ or fault}") from fault

    def _infer(self, data: Mapping[str, Any], network: Callable[[torch.Tensor], torch.Tensor]) -> MetaTensor:
        image = data[Keys.IMAGE.value]
        output = self.inferer(image.as_tensor()[None].to(self.device), network)
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"The network must give one tensor, got {type(output).__name__}.")
        # Invertd undoes the transforms of a MetaTensor only.
        return MetaTensor(output[0].float().cpu(), meta=image.meta)
