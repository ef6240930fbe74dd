"""Which names are devices, and which devices are there."""

from __future__ import annotations

import pytest
import torch

from pipelines.devices import check_device_name, resolve_device
from transforms.io.input_error import InputError


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:13"])
def test_names_that_are_devices(name):
    assert check_device_name(name) is None


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "mps", "cuda:0 "])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="--device: must be auto, cpu, cuda or cuda:N"):
        resolve_device(name)


@pytest.mark.parametrize(("there", "device"), [(True, "cuda:0"), (False, "cpu")])
def test_auto_takes_the_first_gpu_or_the_cpu(monkeypatch, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("auto") == torch.device(device)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:7", 2)])
def test_a_gpu_that_is_not_there(monkeypatch, name, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError, match=f"is not there; this machine has {count} CUDA devices"):
        resolve_device(name)


def test_a_gpu_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
