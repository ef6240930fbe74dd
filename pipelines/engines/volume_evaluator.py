"""Scoring a network of slices on whole volumes: how well it segments them, and tells what each slice holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine

from networks.nets.slice_predictor import SlicePredictor
from pipelines.keys import Keys
from pipelines.metrics.selection_score import PresenceMetric, VolumeDiceMetric

DICE, AUC = "val_dice", "val_auc"


class VolumeEvaluator(SupervisedEvaluator):
    """Score what a network finds in whole volumes, slice by slice with their neighbours.

    ``state.metrics`` has ``val_dice``, the mean volume Dice as published (a class that a volume does not hold is left
    out), where the network segments; and ``val_auc``, the mean area under the ROC curve over the slices of all volumes,
    where it tells what is present. Neither is ever NaN, see :mod:`pipelines.metrics.selection_score`.

    Args:
        device: where to compute.
        val_data_loader: gives batches with ``image`` (B, C, H, W[, D]) and ``label`` (B, 1, H, W[, D]).
        network: of whole volumes.
        num_classes: without the background.
        slice_axis: spatial axis along which slices follow each other.
        val_handlers: MONAI / Ignite handlers.
    """

    def __init__(
        self,
        device: torch.device,
        val_data_loader: Iterable[Any],
        network: SlicePredictor,
        num_classes: int,
        slice_axis: int = -1,
        val_handlers: Iterable[Any] | None = None,
    ) -> None:
        self.finds_masks, self.tells_presence = network.has_mask, network.has_presence
        metrics: dict[str, Any] = {}
        if self.finds_masks:
            metrics[DICE] = _handler(VolumeDiceMetric(num_classes), Keys.PRED)
        if self.tells_presence:
            metrics[AUC] = _handler(PresenceMetric(num_classes, slice_axis), Keys.PRESENCE)
        key = next(iter(metrics))
        super().__init__(
            device=device,
            val_data_loader=val_data_loader,
            network=network,
            key_val_metric={key: metrics.pop(key)},
            additional_metrics=metrics or None,
            val_handlers=list(val_handlers or ()),
            decollate=False,
        )

    @torch.inference_mode()
    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        image = torch.as_tensor(batchdata[Keys.IMAGE.value].to(engine.state.device))
        label = torch.as_tensor(batchdata[Keys.LABEL.value].to(engine.state.device))
        network: Any = self.network.eval()
        found: dict[str, Any] = {Keys.LABEL.value: label}
        if self.finds_masks and self.tells_presence:
            masks, found[Keys.PRESENCE.value] = network.detect(image)
        elif self.finds_masks:
            masks = network(image)
        else:
            masks, found[Keys.PRESENCE.value] = None, network.presence(image)
        if masks is not None:
            found[Keys.PRED.value] = masks.argmax(dim=1, keepdim=True)
        return found


def _handler(metric: Any, key: Keys) -> IgniteMetricHandler:
    return IgniteMetricHandler(metric_fn=metric, output_transform=from_engine([key.value, Keys.LABEL.value]))
