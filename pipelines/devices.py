"""Which device the user means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import torch


def check_device_name(name: str) -> None:
    """Refuse what is no device name, without loading torch.

    Raises:
        InputError: for anything but auto, cpu, cuda and cuda:N.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InputError("--device", f"must be auto, cpu, cuda or cuda:N, got {name}")


def resolve_device(name: str) -> torch.device:
    """Give the device of that name; ``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        InputError: when the name is no device's, or this machine does not have it.
    """
    import torch

    check_device_name(name)
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError("--device", f"{name} is not there; this machine has {torch.cuda.device_count()} CUDA devices")
    return device
