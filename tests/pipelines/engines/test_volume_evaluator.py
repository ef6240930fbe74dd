from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from networks.nets import SlicePredictor
from pipelines.engines import VolumeEvaluator

KINDS = 2


class Painted(nn.Module):
    """Finds class k where the middle slice of the image is k, and says that there is what it finds."""

    def __init__(self, names: tuple[str, ...] = ("mask", "presence")) -> None:
        super().__init__()
        channels = {"mask": KINDS + 1, "presence": KINDS}
        self.names, self.in_channels = list(names), 3
        self.out_channels = {name: channels[name] for name in names}

    def forward(self, x: torch.Tensor, heads: list[str] | None = None) -> dict[str, torch.Tensor]:
        classes = torch.arange(KINDS + 1, device=x.device).view(1, -1, 1, 1)
        logits = -20 * (x[:, 1:2] - classes).abs()
        there = torch.stack([(x[:, 1] == kind).flatten(1).sum(1) - 0.5 for kind in range(1, KINDS + 1)], dim=1)
        return {"mask": logits, "presence": there} if heads is None else {
            name: {"mask": logits, "presence": there}[name] for name in heads
        }  # fmt: skip


def volume(*, spoilt: bool = False) -> dict[str, torch.Tensor]:
    """8 x 8 x 6: class 1 in two slices, class 2 in one; ``spoilt`` shows nothing in the first slice of class 1."""
    label = torch.zeros(1, 1, 8, 8, 6)
    label[..., :4, :4, 1:3] = 1
    label[..., 6:, 6:, 4] = 2
    image = label.clone()
    if spoilt:
        image[..., 1] = 0
    return {"image": image, "label": label}


def scores(batches: list[dict[str, torch.Tensor]], network: nn.Module, **more: Any) -> dict[str, float]:
    evaluator = VolumeEvaluator(torch.device("cpu"), batches, SlicePredictor(network, slices_at_once=4), KINDS, **more)
    evaluator.run()
    return dict(evaluator.state.metrics)


def test_the_mean_volume_dice_and_the_area_over_all_slices() -> None:
    found = scores([volume(), volume(spoilt=True)], Painted())
    # class 1: (1 + 2 * 16 / (16 + 32)) / 2; class 2: 1
    assert found["val_dice"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    # class 1: of 4 slices that hold it one is like the 8 that do not, and counts half; class 2: 1
    assert found["val_auc"] == pytest.approx((3.5 / 4 + 1) / 2)
    assert scores([volume()], Painted())["val_auc"] == 1.0


def test_a_class_that_a_volume_does_not_hold_is_left_out() -> None:
    empty = {"image": volume()["image"], "label": volume()["label"] * (volume()["label"] != 2)}
    assert scores([volume(), empty], Painted())["val_dice"] == 1.0


def test_a_network_of_one_task_has_one_score() -> None:
    assert scores([volume()], Painted(("mask",))) == {"val_dice": 1.0}
    assert scores([volume()], Painted(("presence",))) == {"val_auc": 1.0}


def test_single_slices_are_scored_alike() -> None:
    batch = {name: value[..., 1] for name, value in volume().items()}
    predictor = SlicePredictor(Painted(), spatial_dims=2)
    evaluator = VolumeEvaluator(torch.device("cpu"), [batch, batch], predictor, KINDS)
    evaluator.run()
    assert evaluator.state.metrics["val_dice"] == 1.0
    assert -1 <= evaluator.state.metrics["val_auc"] <= 1  # every picture holds the first class, none the second


def test_the_network_is_put_into_evaluation_mode_and_keeps_no_gradient() -> None:
    network = Painted()
    network.train()
    seen: list[tuple[bool, bool]] = []
    network.register_forward_hook(
        lambda module, inputs, output: seen.append((module.training, inputs[0].requires_grad))
    )
    scores([volume()], network)
    assert set(seen) == {(False, False)}
