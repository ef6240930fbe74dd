"""Train dual-task consistency (DTC) from few labelled and many unlabelled scans, in 3D or 2D.

One network predicts a mask and a signed distance map; on labelled scans both are supervised, on all scans the two must
agree: ``Dice(mask) + beta MSE(distance) + lambda(t) mean((sigmoid(-k z) - p)^2)`` (Luo et al., AAAI 2021). This command
merges the files of a bundle and runs them, so that ``python -m monai.bundle run`` with the same files does the same
work.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.console import command_parser, run_command
from pipelines.data.cohort import checked_dataset
from pipelines.data.splits import make_splits
from pipelines.devices import check_device_name, resolve_device
from pipelines.training_command import (
    add_training_arguments,
    check_training_arguments,
    composed,
    nothing_to_resume,
    stored,
)
from pipelines.workflow import quiet_monai, run_stage

METHODS = {"dtc": (), "mean_teacher": ("mean_teacher",), "supervised": ("supervised",)}
DEFAULT_BUNDLE = "left_atrium_dtc"
DISTRIBUTED = "multi_gpu_train"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("train_dtc", "Semi-supervised dual-task consistency, and its baselines, in 3D or 2D.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder (dataset.json or nnU-Net v2)")
    add_training_arguments(parser, DEFAULT_BUNDLE)
    parser.add_argument("--method", choices=sorted(METHODS), default="dtc", help="what unlabelled scans are used for")
    parser.add_argument(
        "--labeled", type=int, metavar="N", help="keep the labels of the first N training cases; all by default"
    )
    parser.add_argument(
        "--validation", type=int, metavar="N", help="labelled cases set aside to choose the best weights"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    check_device_name(args.device)
    check_training_arguments(args, {"labeled": 1, "iterations": 1, "validation": 0, "seed": 0})
    if nothing_to_resume(args):
        return 0
    if args.smoke:
        args.overlay = ["quick", "smoke"]
    says_which = args.smoke or args.overlay or args.method != "dtc" or args.bundle != DEFAULT_BUNDLE
    distributed = [DISTRIBUTED] * (_processes() > 1)
    if args.resume and not says_which:
        files, overrides = stored(args, distributed, _given(args))
    else:
        stages = ["common", "train", *args.overlay, *METHODS[args.method], *distributed]
        files, overrides = composed(args, stages, _given(args), _smoke_data, partial(_from_data, args))
    overrides |= _device_overrides(args.device)
    quiet_monai()
    run_stage(files, overrides, "train")
    return 0


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {"labeled": args.labeled, "validation_cases": args.validation, "iterations": args.iterations}
    return {name: value for name, value in values.items() if value is not None}


def _from_data(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set (classes, channels), unless the user has set them; refuse what is not sound.

    All faults are found here already, before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    make_splits(dataset, args.labeled, args.validation, args.seed)
    first = next(iter(report.fingerprint["cases"].values()))
    found = {"num_classes": len(dataset.labels) - 1, "in_channels": first["channels"]}
    return {name: value for name, value in found.items() if name not in settings}


def _processes() -> int:
    """How many processes train together, as ``torchrun`` says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _device_overrides(name: str) -> dict[str, Any]:
    if _processes() == 1:
        return {"device": f"$torch.device('{resolve_device(name)}')", "world_size": 1}
    device = {"_target_": "pipelines.engines.distributed.process_device", "device": name.partition(":")[0]}
    return {"device": device, "world_size": _processes()}


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    make_cohort("atrium", folder, 8, shape=(40, 36, 32), seed=args.seed)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
