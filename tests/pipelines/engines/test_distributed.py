from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.engines.distributed import (
    join_processes,
    leave_processes,
    mean_over_processes,
    process_count,
    process_device,
    process_rank,
    share_gradients,
    wait_for_all,
)
from transforms.io.input_error import InputError

CPU = torch.device("cpu")


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process group of one, which takes the same ways through the code as one of many."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def test_one_process_is_the_first_and_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (process_rank(), process_count()) == (0, 1)
    join_processes(CPU)
    wait_for_all()
    leave_processes()
    assert not distributed.is_initialized()


def test_torchrun_tells_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (process_rank(), process_count()) == (3, 4)


def test_each_process_wants_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert process_device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="process 2 has no GPU of its own"):
        process_device("cuda")


def test_without_a_group_nothing_is_wrapped_or_averaged() -> None:
    network = nn.Linear(1, 1)
    assert share_gradients(network, CPU) is network
    assert mean_over_processes({"loss": torch.tensor(2.0), "weight": 0.5}) == {"loss": torch.tensor(2.0), "weight": 0.5}


def test_in_a_group_gradients_are_shared_and_scalars_averaged(group: None) -> None:
    assert isinstance(share_gradients(nn.Linear(1, 1), CPU), DistributedDataParallel)
    mean = mean_over_processes({"loss": torch.tensor(2.0), "weight": 0.5, "other": torch.tensor(4.0)})
    assert (float(mean["loss"]), mean["weight"], float(mean["other"])) == (2.0, 0.5, 4.0)
    wait_for_all()
    leave_processes()
    assert not distributed.is_initialized()
