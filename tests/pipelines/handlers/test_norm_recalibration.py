from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipelines.data.two_stream_sampler import Draw, TwoStreamBatchSampler
from pipelines.handlers.norm_recalibration import NormRecalibration


class Samples:
    """Case c is a patch of noise with mean c and standard deviation 1."""

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(draw.case)
        image = torch.randn(1, 16, 16, 16, generator=generator) + draw.case
        return {"image": image, "case_id": str(draw.case)}


def recalibrate(network: nn.Module, batches: int) -> None:
    samples: Any = Samples()
    sampler = TwoStreamBatchSampler(4, 0, 2, 0, iterations=10, seed=0)
    NormRecalibration(network, samples, sampler, batches, torch.device("cpu"), channels_last=True).recompute()


def test_statistics_become_the_mean_over_the_batches() -> None:
    norm = nn.BatchNorm3d(1)
    norm.running_mean = torch.tensor([100.0])
    recalibrate(norm, batches=2)  # two batches of two: each of the four cases once
    assert norm.running_mean.item() == pytest.approx(1.5, abs=0.05)
    assert norm.momentum == 0.1
    assert not norm.training


def test_the_result_depends_on_the_weights_alone() -> None:
    networks = [nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.Dropout(0.5)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    recalibrate(networks[1], batches=1)  # another history
    for network in networks:
        recalibrate(network, batches=3)
    first, second = (network.state_dict() for network in networks)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize(("network", "batches"), [(nn.InstanceNorm3d(1, affine=True), 3), (nn.BatchNorm3d(1), 0)])
def test_nothing_is_touched_where_there_is_nothing_to_do(network: nn.Module, batches: int) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate(network, batches)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
