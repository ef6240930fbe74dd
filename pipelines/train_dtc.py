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
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import add_run_arguments, command_parser, run_command, say
from pipelines.data.cohort import checked_dataset
from pipelines.data.splits import make_splits
from pipelines.devices import check_device_name, resolve_device
from pipelines.runs.record import CONFIG_FILE, is_finished, refuse_taken
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides, quiet_monai, run_stage
from transforms.io.input_error import InputError

METHODS = {"dtc": (), "mean_teacher": ("mean_teacher",), "supervised": ("supervised",)}
DEFAULT_BUNDLE = "left_atrium_dtc"
DISTRIBUTED = "multi_gpu_train"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("train_dtc", "Semi-supervised dual-task consistency, and its baselines, in 3D or 2D.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder (dataset.json or nnU-Net v2)")
    add_run_arguments(parser, output="the run folder: checkpoints, scores, report, bundle")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help="name or folder of the bundle to train")
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
    _check_usage(args)
    if args.resume and is_finished(args.output):
        say(f"{args.output} holds a finished run: nothing to do")
        return 0
    if args.resume and not (args.output / CONFIG_FILE).is_file():
        raise InputError(args.output, f"holds no run to resume ({CONFIG_FILE} is missing)")
    if args.smoke:
        args.overlay = ["quick", "smoke"]
    says_which = args.smoke or args.overlay or args.method != "dtc" or args.bundle != DEFAULT_BUNDLE
    files, overrides = _stored(args) if args.resume and not says_which else _composed(args)
    overrides |= _device_overrides(args.device)
    quiet_monai()
    run_stage(files, overrides, "train")
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    for option, least in (("labeled", 1), ("iterations", 1), ("validation", 0), ("seed", 0)):
        value = getattr(args, option)
        if value is not None and value < least:
            raise InputError(f"--{option}", f"must be at least {least}, got {value}")
    if args.resume and args.overwrite:
        raise InputError("--resume", "and --overwrite contradict each other")


def _composed(args: argparse.Namespace) -> tuple[list[Path], dict[str, Any]]:
    """Give the files and overrides that the command line asks for, once the data set is found to be sound."""
    stages = ["common", "train", *args.overlay, *METHODS[args.method]]
    files = config_files(find_bundle(args.bundle), stages + [DISTRIBUTED] * (_processes() > 1))
    settings = parse_overrides(args.set)
    check_ids(files, settings)
    if os.environ.get("RANK", "0") == "0":
        refuse_taken(args.output, overwrite=args.overwrite, resume=args.resume)
    data = _data_folder(args)
    overrides = {
        "dataset_dir": str(data),
        "output_dir": str(args.output),
        "seed": args.seed,
        "resume": args.resume,
        "overwrite": args.overwrite,
        **_given(args),
    }
    return files, {**overrides, **_from_data(data, args, settings), **settings}


def _stored(args: argparse.Namespace) -> tuple[list[Path], dict[str, Any]]:
    """Give the configuration that the run in ``--output`` was started with, and what the command line says anew."""
    files = [args.output / CONFIG_FILE]
    if _processes() > 1:
        files += config_files(find_bundle(args.bundle), [DISTRIBUTED])
    settings = parse_overrides(args.set)
    check_ids(files, settings)
    overrides = {"output_dir": str(args.output), "resume": True, "overwrite": False, **_given(args)}
    if args.seed:
        overrides["seed"] = args.seed
    if args.data is not None:
        overrides["dataset_dir"] = str(args.data)
    return files, {**overrides, **settings}


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {"labeled": args.labeled, "validation_cases": args.validation, "iterations": args.iterations}
    return {name: value for name, value in values.items() if value is not None}


def _data_folder(args: argparse.Namespace) -> Path:
    if args.smoke:
        return _smoke_data(args)
    if args.data is not None:
        return Path(args.data)
    if args.resume:
        return Path(yaml.safe_load((args.output / CONFIG_FILE).read_text(encoding="utf-8"))["dataset_dir"])
    raise InputError("--data", "is needed (or --smoke, to try without data)")


def _from_data(data: Path, args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
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
