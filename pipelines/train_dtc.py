"""Train dual-task consistency (DTC) from few labelled and many unlabelled scans, in 3D or 2D.

One network predicts a mask and a signed distance map; on labelled scans both are supervised, on all scans the two must
agree: ``Dice(mask) + beta MSE(distance) + lambda(t) mean((sigmoid(-k z) - p)^2)`` (Luo et al., AAAI 2021). This command
merges the files of a bundle and runs them, so that ``python -m monai.bundle run`` with the same files does the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.console import add_run_arguments, claim_output, command_parser, run_command, say
from pipelines.devices import check_device_name, resolve_device
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides, quiet_monai, run_stage
from transforms.io.input_error import InputError

METHODS = {"dtc": (), "mean_teacher": ("mean_teacher",), "supervised": ("supervised",)}
CONFIG_FILE = "config.yaml"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("train_dtc", "Semi-supervised dual-task consistency, and its baselines, in 3D or 2D.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder (dataset.json or nnU-Net v2)")
    add_run_arguments(parser, output="the run folder: checkpoints, scores, report, bundle")
    parser.add_argument("--bundle", default="left_atrium_dtc", help="name or folder of the bundle to train")
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="further files of the bundle's configs, e.g. quick",
    )
    parser.add_argument("--method", choices=sorted(METHODS), default="dtc", help="what unlabelled scans are used for")
    parser.add_argument(
        "--labeled", type=int, metavar="N", help="keep the labels of the first N training cases; all by default"
    )
    parser.add_argument(
        "--validation", type=int, metavar="N", help="labelled cases set aside to choose the best weights"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="length of the training; the bundle's by default")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished run in --output")
    parser.add_argument("--smoke", action="store_true", help="a minute on phantoms, to see that everything runs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="set any id of the configuration"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    check_device_name(args.device)
    if args.resume:
        return _resume(args)
    if args.smoke:
        args.overlay = ["quick", "smoke"]
        args.data = _smoke_data(args)
    if args.data is None:
        raise InputError("--data", "is needed (or --smoke, to try without data)")
    for option in ("labeled", "iterations"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option}", f"must be at least 1, got {value}")
    files = config_files(find_bundle(args.bundle), ["common", "train", *args.overlay, *METHODS[args.method]])
    overrides = {
        "dataset_dir": str(args.data),
        "output_dir": str(args.output),
        "seed": args.seed,
        "overwrite": args.overwrite,
        **_given(labeled=args.labeled, validation_cases=args.validation, iterations=args.iterations),
    }
    settings = parse_overrides(args.set)
    overrides = {**overrides, **_from_data(args.data, settings), **settings}
    check_ids(files, overrides)
    claim_output(args.output, overwrite=args.overwrite, finished_by="summary.json")
    overrides["device"] = f"$torch.device('{resolve_device(args.device)}')"
    quiet_monai()
    run_stage(files, overrides, "train")
    return 0


def _resume(args: argparse.Namespace) -> int:
    """Go on with a run by the configuration that it was started with."""
    config = args.output / CONFIG_FILE
    if not config.is_file():
        raise InputError(args.output, "holds no run to resume (config.yaml is missing)")
    overrides: dict[str, Any] = {"resume": True, "overwrite": False, **parse_overrides(args.set)}
    if args.data is not None:
        overrides["dataset_dir"] = str(args.data)
    overrides["output_dir"] = str(args.output)
    overrides["device"] = f"$torch.device('{resolve_device(args.device)}')"
    if (args.output / "summary.json").is_file():
        say(f"{args.output} holds a finished run: nothing to do")
        return 0
    quiet_monai()
    run_stage([config], overrides, "train")
    return 0


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _from_data(data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set: classes, channels and dimensions, unless the user has set them."""
    from pipelines.data.dataset import read_dataset
    from transforms.io.volume import read_geometry

    dataset = read_dataset(data)
    found: dict[str, Any] = {"num_classes": len(dataset.labels) - 1}
    first = next(iter((*dataset.training, *dataset.unlabeled)), None)
    if first is None:
        raise InputError(data, "holds no training case")
    geometry = read_geometry(first.images[0])
    found["in_channels"] = max(geometry.channels, 1) if len(first.images) == 1 else len(first.images)
    return {name: value for name, value in found.items() if name not in settings}


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
