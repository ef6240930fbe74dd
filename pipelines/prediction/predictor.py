"""From an image file to a label map on the image's own grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose, Invertd
from torch import nn

from pipelines.keys import Keys
from pipelines.prediction.segmenter import Prediction
from transforms.class_entropy import ClassEntropy
from transforms.io.input_error import InputError


class Predictor:
    """Preprocess, infer window by window, and bring the result back to the grid of the input.

    Args:
        network: gives (B, K + 1, ...) class probabilities, background first.
        preprocessing: of a case's image.
        inferer: sliding window.
        postprocessing: from probabilities to a label map on the original grid: first MONAI's ``Invertd``, which brings
            them back to that grid, then what decides and cleans.
        device: where to compute.
        level_set: gives (B, K, ...) level sets of the same images; None when the network has none to show.
        tells_uncertainty: whether predictions come with their entropy.

    Raises:
        ValueError: when ``postprocessing`` does not begin with ``Invertd``.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Compose,
        inferer: Inferer,
        postprocessing: Compose,
        device: torch.device,
        level_set: Callable[[torch.Tensor], torch.Tensor] | None = None,
        tells_uncertainty: bool = False,
    ) -> None:
        self.network = network.to(device).eval()
        self.preprocessing = preprocessing
        self.inferer = inferer
        self._restore, *deciding = postprocessing.transforms
        if not isinstance(self._restore, Invertd):
            raise ValueError(
                "postprocessing must begin with Invertd, which brings the result back to the image's grid."
            )
        self._deciding = Compose(deciding)
        self.device = device
        self.level_set = level_set
        self.tells_uncertainty = tells_uncertainty

    @torch.inference_mode()
    def predict(self, entry: Mapping[str, Any]) -> Prediction:
        """Segment one case.

        Args:
            entry: a case entry; its label, if any, is not looked at.

        Raises:
            InputError: when the image cannot be read or preprocessed; it names the image.
        """
        started = time.monotonic()
        probabilities = self.predict_probabilities(entry)
        return self.prediction(probabilities, started)

    def prediction(self, probabilities: torch.Tensor, started: float) -> Prediction:
        """Give what probabilities on the grid of the file (K + 1, H, W[, D]) mean; ``started`` is a monotonic time."""
        uncertainty = np.asarray(ClassEntropy()(probabilities)[0].cpu()) if self.tells_uncertainty else None
        return Prediction(self.decide(probabilities), time.monotonic() - started, uncertainty)

    @torch.inference_mode()
    def predict_probabilities(self, entry: Mapping[str, Any]) -> torch.Tensor:
        """Give the class probabilities (K + 1, H, W[, D]) of one case on the grid of its file, background first.

        Raises:
            InputError: as ``predict``.
        """
        data = self._prepared(entry)
        data[Keys.PRED.value] = self._infer(data, self.network)
        probabilities: torch.Tensor = self._restore(data)[Keys.PRED.value]
        return probabilities

    def decide(self, probabilities: torch.Tensor) -> np.ndarray:
        """Give the label map (H, W[, D]), uint8 (uint16 beyond 255 classes), that probabilities on the grid of the
        file (K + 1, H, W[, D]) mean.
        """
        labels = self._deciding({Keys.PRED.value: probabilities})[Keys.PRED.value][0]
        array: np.ndarray = labels.cpu().numpy().astype(np.uint8 if probabilities.shape[0] <= 256 else np.uint16)
        return array

    @torch.inference_mode()
    def predict_level_set(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """Give the level sets (K, H, W[, D]) of one case on its own grid; None when the network has none."""
        if self.level_set is None:
            return None
        data = self._prepared(entry)
        data[Keys.PRED.value] = self._infer(data, self.level_set)
        level_set: np.ndarray = self._restore(data)[Keys.PRED.value].cpu().numpy()
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
