"""One training by several processes, as ``torchrun`` starts them: who is who, and what they do together."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.console import fall_silent
from transforms.io.input_error import InputError


def process_rank() -> int:
    """Give the number of this process, from 0; 0 when there is only one."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Give how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_device(device: str | torch.device = "auto") -> torch.device:
    """Give the device of this process: its own GPU of the machine, or the CPU.

    Args:
        device: ``cpu`` or, for the GPU of this process's number, ``auto`` or ``cuda``; ``auto`` is the CPU where there
            is no GPU.

    Raises:
        InputError: when the machine has fewer GPUs than processes.
    """
    wanted = str(device)
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise InputError("--nproc_per_node", f"process {number} has no GPU of its own; this machine has {there}")
    return torch.device("cuda", number)


def join_processes(device: torch.device) -> None:
    """Meet the other processes (over NCCL on GPUs, Gloo on CPUs); all but the first print nothing from now on."""
    if process_rank() > 0:
        fall_silent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if process_count() > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def wait_for_all() -> None:
    """Return when every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()


def leave_processes() -> None:
    """Part from the other processes once all are done; what follows the first one does alone."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def share_gradients(network: nn.Module, device: torch.device, find_unused: bool = False) -> nn.Module:
    """Wrap ``network`` so that every backward pass averages the gradients over the processes.

    On GPUs its batch norms are made to take their statistics from the whole batch, not from one process's share.

    Args:
        network: on ``device``; changed in place.
        device: of this process.
        find_unused: whether some parameters may have no part in the loss (as the level-set head of a training of the
            mask alone).

    Returns:
        The wrapped network, or ``network`` itself when there is but one process.
    """
    if not distributed.is_initialized():
        return network
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    # Channels-last gradients are copied into torch's buckets, which is as it should be.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    devices = [device.index] if device.type == "cuda" else None
    # Running statistics have no part in training, and to send them around between two passes would break its backward
    # pass; the first process's are the ones that are kept.
    return DistributedDataParallel(
        network, device_ids=devices, find_unused_parameters=find_unused, forward_sync_buffers=False
    )


def mean_over_processes(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Average the tensors among ``terms``, which are scalars, over the processes; other values are the same in all."""
    if not distributed.is_initialized():
        return dict(terms)
    names = [name for name, value in terms.items() if isinstance(value, torch.Tensor)]
    together = torch.stack([terms[name].detach().float() for name in names])
    distributed.all_reduce(together)
    together /= distributed.get_world_size()
    return {**terms, **dict(zip(names, together, strict=True))}
