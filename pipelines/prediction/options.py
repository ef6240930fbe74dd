"""The options of inference that mean the same for every command that segments."""

from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING

from pipelines.devices import check_device_name, resolve_device
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pipelines.prediction.loading import InferenceSettings

FLIP_NAMES = ("lr", "ud", "slices")


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; what is not given is as the bundle says."""
    group = parser.add_argument_group("inference", "what is not given is as the bundle says")
    unset = argparse.SUPPRESS
    group.add_argument("--head", choices=("mask", "level_set", "mean"), default=unset, help="what decides")
    step = group.add_mutually_exclusive_group()
    step.add_argument(
        "--overlap",
        type=float,
        metavar="F",
        default=unset,
        help="of neighbouring windows, a fraction from 0 to below 1",
    )
    step.add_argument(
        "--stride",
        type=int,
        nargs="+",
        metavar="N",
        default=unset,
        help="from window to window along each axis, voxels of the network's grid (dual-task consistency: 18 18 4)",
    )
    group.add_argument(
        "--window-weights",
        choices=("gaussian", "constant"),
        default=unset,
        help="how much the centre of a window counts beside its rim",
    )
    group.add_argument(
        "--flips",
        type=axis,
        nargs="+",
        metavar="AXIS",
        default=unset,
        help="test-time augmentation: axes to mirror, from 0, or lr, ud and slices of networks that look at slices; n "
        "axes cost 2^n passes",
    )
    group.add_argument(
        "--weights",
        type=float,
        nargs="+",
        metavar="W",
        default=unset,
        help="how much each of several networks counts in the mean, in their order; only the ratios matter (default: "
        "all alike)",
    )
    group.add_argument(
        "--dropout-samples",
        type=int,
        metavar="N",
        default=unset,
        help="Monte-Carlo dropout: mean of N passes with dropout on, always drawn alike; runs of networks that have it",
    )
    add_trust_argument(group)


def add_trust_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--trust``, which every command has that makes what a bundle or a run folder describes."""
    parser.add_argument(
        "--trust",
        nargs="+",
        metavar="SHA256",
        default=argparse.SUPPRESS,
        help="let the bundle or run of this hash run any code as you; a refusal tells the hash. Only if you know who "
        "made it",
    )


def check_inference_arguments(args: argparse.Namespace) -> None:
    """Refuse what can be refused before torch is loaded.

    Raises:
        InputError: naming the option.
    """
    check_device_name(args.device)
    options = vars(args)
    overlap = options.get("overlap")
    if overlap is not None and not 0 <= overlap < 1:
        raise InputError("--overlap", f"must be from 0 to below 1, got {overlap:g}")
    if any(step < 1 for step in options.get("stride", ())):
        raise InputError("--stride", "must be at least 1 voxel along each axis")
    flips = options.get("flips", [])
    if any(flip not in (0, 1, 2, *FLIP_NAMES) for flip in flips) or len(set(flips)) < len(flips):
        raise InputError("--flips", f"takes each of the axes 0, 1 and 2 ({', '.join(FLIP_NAMES)}) at most once")
    weights = options.get("weights", [])
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise InputError("--weights", f"must be positive numbers, got {' '.join(f'{weight:g}' for weight in weights)}")
    if options.get("dropout_samples", 1) < 1:
        raise InputError("--dropout-samples", f"must be at least 1, got {options['dropout_samples']}")
    check_trust_argument(args)


def check_trust_argument(args: argparse.Namespace) -> None:
    """Refuse what cannot be a hash.

    Raises:
        InputError: naming the option.
    """
    for digest in vars(args).get("trust", ()):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise InputError("--trust", f"takes the SHA-256 of a bundle, 64 hexadecimal digits, got {digest}")


def trusted_hashes(args: argparse.Namespace) -> tuple[str, ...]:
    """Give the hashes of the bundles that may run any code."""
    return tuple(digest.lower() for digest in vars(args).get("trust", ()))


def inference_settings(args: argparse.Namespace) -> InferenceSettings:
    """Give the settings that the options mean.

    Raises:
        InputError: when the device is not there.
    """
    from pipelines.prediction.loading import InferenceSettings

    options = vars(args)
    stride = options.get("stride")
    return InferenceSettings(
        head=options.get("head"),
        overlap=options.get("overlap"),
        stride=None if stride is None else tuple(stride),
        window_mode=options.get("window_weights"),
        flips=tuple(options.get("flips", ())),
        dropout_samples=options.get("dropout_samples"),
        device=resolve_device(args.device),
        weights=tuple(options["weights"]) if "weights" in options else None,
    )


def axis(text: str) -> int | str:
    """Read the number of an axis, or its name."""
    return text if text in FLIP_NAMES else int(text)
