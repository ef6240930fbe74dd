"""Train vessel masks and distance maps together from one network, and compare ways to weigh the two, in 2D.

``uncertainty`` learns the noise of each task (Kendall et al., CVPR 2018); ``alpha`` weighs the distance by the ratio of
the two mean losses of the epoch before; ``fixed`` keeps one weight; ``single`` learns the mask alone, and ``dropout``
the same with dropout. Several methods or seeds are trained into folders of their own, ``OUTPUT/METHOD_SEED``, and
compared on the test cases: mean and standard deviation over the seeds, and a paired test between the methods.

This command merges the files of a bundle and runs them, so that ``python -m monai.bundle run`` with the same files does
the same work.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import claim_output, command_parser, run_command, say
from pipelines.data.cohort import checked_dataset
from pipelines.data.dataset import DataSet, read_dataset
from pipelines.data.splits import make_splits
from pipelines.devices import check_device_name, resolve_device
from pipelines.training_command import (
    add_training_arguments,
    check_training_arguments,
    composed,
    data_folder,
    nothing_to_resume,
    stored,
)
from pipelines.workflow import check_ids, config_files, find_bundle, parse_overrides, quiet_monai, run_stage
from transforms.io.input_error import InputError

# The overlays that make a method of the bundle's own settings.
METHODS: dict[str, tuple[str, ...]] = {
    "single": ("single",),
    "dropout": ("single", "dropout"),
    "fixed": ("fixed",),
    "alpha": ("alpha",),
    "uncertainty": (),
}
DEFAULT_METHOD = "uncertainty"
DEFAULT_BUNDLE = "octa_multitask"
SCORES = ("--scores", "pixels", "topology", "ranking")  # what a comparison measures beyond overlap and surfaces
# Of the training patients, where the data set lists no validation cases.
VALIDATION_SHARE = 0.2


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "train_multitask", "Vessel masks and distance maps from one network, and its single-task baselines, in 2D."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder (dataset.json or nnU-Net v2)")
    add_training_arguments(parser, DEFAULT_BUNDLE)
    parser.add_argument(
        "--method",
        action="append",
        choices=list(METHODS),
        help=f"how the tasks are weighed, {DEFAULT_METHOD} if none is named; give it again to compare several",
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="in place of --seed: train with each of them")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings side by side, when there are several"
    )
    parser.add_argument(
        "--validation",
        type=int,
        metavar="N",
        help="cases set aside to choose the best weights, where the data set lists none; a fifth of them by default",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    check_device_name(args.device)
    _check_usage(args)
    methods = list(dict.fromkeys(args.method or [DEFAULT_METHOD]))
    seeds = list(dict.fromkeys([args.seed] if args.seeds is None else args.seeds))
    if len(methods) * len(seeds) > 1:
        return _compare(args, methods, seeds)
    args.seed = seeds[0]
    if nothing_to_resume(args):
        return 0
    if args.smoke:
        args.overlay = ["quick", "smoke"]
    says_which = args.smoke or args.overlay or args.method or args.bundle != DEFAULT_BUNDLE
    if args.resume and not says_which:
        files, overrides = stored(args, (), _given(args))
    else:
        files, overrides = composed(args, _stages(args, methods[0]), _given(args), _smoke_data, partial(_fit, args))
    quiet_monai()
    run_stage(files, {**overrides, "device": f"$torch.device('{resolve_device(args.device)}')"}, "train")
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    check_training_arguments(args, {"iterations": 1, "validation": 0, "seed": 0, "jobs": 1})
    for seed in args.seeds or ():
        if seed < 0:
            raise InputError("--seeds", f"must be at least 0, got {seed}")
    if args.seeds and args.seed:
        raise InputError("--seed", "and --seeds contradict each other")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--nproc_per_node", "tasks are weighed by one process; start it without torchrun")


def _stages(args: argparse.Namespace, method: str) -> list[str]:
    return ["common", "train", *args.overlay, *METHODS[method]]


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {"validation_cases": args.validation, "iterations": args.iterations}
    return {name: value for name, value in values.items() if value is not None}


def _fit(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set (classes, channels) and set validation cases aside, unless the user has said how;
    refuse what is not sound.

    All faults are found here already, before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    first = next(iter(report.fingerprint["cases"].values()))
    found = {"num_classes": len(dataset.labels) - 1, "in_channels": first["channels"]}
    if args.validation is None and "validation_cases" not in settings:
        found["validation_cases"] = _validation_cases(dataset, args.seed)
    make_splits(dataset, None, args.validation or found.get("validation_cases"), args.seed)
    return {name: value for name, value in found.items() if name not in settings}


def _validation_cases(dataset: DataSet, seed: int) -> int:
    """Give about a fifth of the training cases, as many as whole patients add up to; 0 where validation is listed."""
    labeled = sum(case.label is not None for case in dataset.training)
    if dataset.validation or labeled < 2:
        return 0
    wanted = max(1, round(VALIDATION_SHARE * labeled))
    for count in sorted(range(1, labeled), key=lambda count: (abs(count - wanted), count)):
        try:
            make_splits(dataset, None, count, seed)
        except InputError:
            continue
        return count
    raise InputError("--validation", "is needed: no part of the cases can be set aside by whole patients; 0 for none")


def _compare(args: argparse.Namespace, methods: Sequence[str], seeds: Sequence[int]) -> int:
    """Train each method with each seed in a folder of its own, and compare what came of it."""
    from pipelines.runs.method_comparison import COMPARISON_FILE, compare_methods, score_runs
    from pipelines.runs.trainings import Training, run_all, settings_words

    if args.smoke:
        args.overlay = ["quick", "smoke"]
    settings = parse_overrides(args.set)
    for method in methods:
        check_ids(config_files(find_bundle(args.bundle), _stages(args, method)), settings)
    claim_output(args.output, overwrite=args.overwrite, finished_by=COMPARISON_FILE, allow=args.resume)
    data = data_folder(args, _smoke_data)
    if not any(case.label for case in read_dataset(data).test):
        raise InputError(data, "has no labelled test case, on which methods and seeds could be compared")
    for args.seed in seeds:
        _fit(args, data, settings)
    words = ["--data", str(data), "--bundle", args.bundle, "--device", args.device, *settings_words(args)]
    words += [
        word
        for option in ("iterations", "validation")
        if getattr(args, option) is not None
        for word in (f"--{option}", str(getattr(args, option)))
    ]
    # Seed by seed, so that what is there when someone stops it is a comparison.
    planned = {
        (method, seed): Training(
            "pipelines.train_multitask",
            [*words, "--method", method, "--seed", str(seed)],
            args.output / f"{method}_{seed}",
        )
        for seed in seeds
        for method in methods
    }
    run_all(list(planned.values()), args.jobs, anew=args.overwrite)
    folders = {method: [planned[method, seed].folder for seed in seeds] for method in methods}
    measured = ["--data", str(data), "--split", "test", "--device", args.device, *SCORES]
    score_runs([training.folder for training in planned.values()], measured)
    for line in compare_methods(folders, seeds, args.output):
        say(line)
    return 0


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    config = config_files(find_bundle(args.bundle), ["common"])[0]
    channels = yaml.safe_load(config.read_text(encoding="utf-8"))["in_channels"]
    kind = "fundus" if channels == 3 else "vessels2d"
    make_cohort(kind, folder, 8, labeled=5, validation=1, unlabeled=0, test=2, shape=(64, 56), seed=args.seed)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
