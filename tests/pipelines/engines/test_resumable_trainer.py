"""What all trainers share, in the smallest trainer that there can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipelines.engines.resumable_trainer import ResumableTrainer, refuse_single_values
from transforms.io.input_error import InputError


class Counting(ResumableTrainer):
    """Does nothing but tell the mean of its batch."""

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        loss = self._to_device(batchdata).mean()
        self.refuse_non_finite(loss)
        return {"loss": loss}


def counting(batches: int = 6, **changed: Any) -> Counting:
    settings: dict[str, Any] = {"device": torch.device("cpu"), "max_epochs": 3, "epoch_length": 2, "iterations": 5}
    return Counting(**{**settings, "train_data_loader": [torch.ones(1, 1, 4, 4)] * batches, **changed})


def test_it_stops_at_the_last_iteration() -> None:
    trainer = counting()
    trainer.run()
    assert trainer.state.iteration == 5


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision must be one of float32, bf16, fp16, got int8"):
        counting(precision="int8")


def test_channels_last_reaches_the_tensors() -> None:
    trainer = counting(channels_last=True)
    assert trainer._to_device(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    assert trainer._to_device(torch.zeros(2, 3, 4, 4, 4)).is_contiguous(memory_format=torch.channels_last_3d)


def test_a_loss_that_is_no_number_is_told_with_its_iteration() -> None:
    with pytest.raises(InputError, match="training: the loss is inf at iteration 1"):
        counting(train_data_loader=[torch.full((1, 1, 2, 2), float("inf"))] * 6).run()


def test_only_the_complaint_of_batch_norm_is_translated() -> None:
    with pytest.raises(InputError, match="^batch_size: "), refuse_single_values():
        torch.nn.BatchNorm2d(1)(torch.zeros(1, 1, 1, 1))
    with pytest.raises(ValueError, match="^other$"), refuse_single_values():
        raise ValueError("other")
