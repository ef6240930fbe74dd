"""What all training commands share: their common options, and the configuration that a command line asks for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import add_run_arguments, say
from pipelines.runs.record import CONFIG_FILE, is_finished, refuse_taken
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides
from transforms.io.input_error import InputError

Values = dict[str, Any]
# Values that are fitted to a data set: of its folder and of what the user has set.
Fit = Callable[[Path, Mapping[str, Any]], Values]
SmokeData = Callable[[argparse.Namespace], Path]

# What a training has at least one of.
COUNTS = ("iterations", "epoch_length", "batch_size", "accumulation", "log_every", "validation_every")


def add_training_arguments(parser: argparse.ArgumentParser, default_bundle: str) -> None:
    """Add the options that mean the same for every training, but for ``--data``, whose form differs."""
    add_run_arguments(parser, output="the run folder: checkpoints, scores, report, bundle")
    parser.add_argument("--bundle", default=default_bundle, help="name or folder of the bundle to train")
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="further files of the bundle's configs, e.g. quick",
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="length of the training; the bundle's by default")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished run in --output")
    parser.add_argument("--smoke", action="store_true", help="a minute on phantoms, to see that everything runs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="ID=VALUE", help="set any id of the configuration"
    )


def check_training_arguments(args: argparse.Namespace, least: Mapping[str, int]) -> None:
    """Refuse numbers below the ``least`` of their option, and options that contradict each other.

    Raises:
        InputError: naming the option.
    """
    for option, smallest in least.items():
        value = getattr(args, option)
        if value is not None and not value >= smallest:
            raise InputError(f"--{option}", f"must be at least {smallest}, got {value}")
    if args.resume and args.overwrite:
        raise InputError("--resume", "and --overwrite contradict each other")


def nothing_to_resume(args: argparse.Namespace) -> bool:
    """Tell whether ``--resume`` finds a run that is finished, and say so.

    Raises:
        InputError: when it finds no run at all.
    """
    if args.resume and is_finished(args.output):
        say(f"{args.output} holds a finished run: nothing to do")
        return True
    if args.resume and not (args.output / CONFIG_FILE).is_file():
        raise InputError(args.output, f"holds no run to resume ({CONFIG_FILE} is missing)")
    return False


def composed(
    args: argparse.Namespace, stages: Sequence[str], given: Values, smoke_data: SmokeData, fit: Fit
) -> tuple[list[Path], Values]:
    """Give the files and overrides that the command line asks for, once the data set is found to be sound.

    Args:
        args: the command line.
        stages: names of the bundle's configurations, each on top of those before.
        given: ids that options of this command set.
        smoke_data: makes the phantoms of ``--smoke``, which lie below ``--output``.
        fit: gives what depends on the data, and refuses what is not sound.

    Raises:
        InputError: for what cannot be trained as asked.
    """
    files, settings = _files_and_settings(config_files(find_bundle(args.bundle), list(stages)), args)
    if os.environ.get("RANK", "0") == "0":
        refuse_taken(args.output, overwrite=args.overwrite, resume=args.resume)
    data = data_folder(args, smoke_data)  # once it is known that the folder may be written to
    overrides = {
        "dataset_dir": str(data),
        "output_dir": str(args.output),
        "seed": args.seed,
        "resume": args.resume,
        "overwrite": args.overwrite,
        **given,
    }
    return files, {**overrides, **fit(data, settings), **settings}


def stored(args: argparse.Namespace, stages: Sequence[str], given: Values) -> tuple[list[Path], Values]:
    """Give the configuration that the run in ``--output`` was started with, and what the command line says anew.

    Args:
        args: the command line.
        stages: names of the bundle's configurations that go on top.
        given: ids that options of this command set.
    """
    on_top = config_files(find_bundle(args.bundle), list(stages)) if stages else []
    files, settings = _files_and_settings([args.output / CONFIG_FILE, *on_top], args)
    overrides = {"output_dir": str(args.output), "resume": True, "overwrite": False, **given}
    if args.seed:
        overrides["seed"] = args.seed
    if args.data is not None:
        overrides["dataset_dir"] = str(args.data)
    return files, {**overrides, **settings}


def data_folder(args: argparse.Namespace, smoke_data: SmokeData) -> Path:
    """Give the data set folder: phantoms for ``--smoke``, else ``--data``, else that of the run that is resumed.

    Raises:
        InputError: when there is none.
    """
    if args.smoke:
        return smoke_data(args)
    if args.data is not None:
        return Path(args.data)
    if args.resume:
        return Path(yaml.safe_load((args.output / CONFIG_FILE).read_text(encoding="utf-8"))["dataset_dir"])
    raise InputError("--data", "is needed (or --smoke, to try without data)")


def _files_and_settings(files: list[Path], args: argparse.Namespace) -> tuple[list[Path], Values]:
    settings = parse_overrides(args.set)
    check_ids(files, settings)
    for name in COUNTS:
        if isinstance(value := settings.get(name), int | float) and value < 1:
            raise InputError("--set", f"{name} must be at least 1, got {value}")
    return files, settings
