"""Train on many noisy labels while one parameter per label learns how far to trust it (DeepSTAPLE).

The labels of several raters, or of several atlases registered to each image, are all trained on; which of them are good
is not told. The network takes a step on a batch as if all were, and then each label's data parameter takes one by how
well the network, frozen, fits that label: labels that agree with what most others teach rise, the rest fall. The result
is a network and ``data_parameters.csv``, which builds a consensus (``build_consensus --parameters``) or filters a
further training (``--parameters`` with ``--keep-quantile`` or ``--keep-above``).

Reference: Weihsbach et al., *DeepSTAPLE*, WBIR 2022.

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

from pipelines.console import command_parser, run_command, say
from pipelines.data.cohort import checked_dataset
from pipelines.data.data_parameters_table import TABLE_FILE
from pipelines.data.rater_cohort import filter_instances
from pipelines.data.raters import expand_raters
from pipelines.data.splits import make_rater_splits
from pipelines.devices import check_device_name, resolve_device
from pipelines.training_command import (
    add_training_arguments,
    check_training_arguments,
    composed,
    data_folder,
    nothing_to_resume,
    stored,
)
from pipelines.workflow import config_files, find_bundle, quiet_monai, run_stage
from transforms.io.input_error import InputError

MODES = ("out-of-line", "in-line", "temperature", "none")
DISTURBANCES = ("roll", "affine", "morphology", "drop", "mixed")
DEFAULT_BUNDLE = "tumour_deep_staple"
# What an option sets, by the option's name.
IDS = {
    "mode": "mode",
    "disturb": "disturbed_share",
    "strength": "disturbance_strength",
    "kind": "disturbance",
    "keep_quantile": "keep_quantile",
    "keep_above": "keep_above",
    "validation": "validation_cases",
    "iterations": "iterations",
}


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "train_staple", "Learn from noisy labels, and how far to trust each (data parameters, DeepSTAPLE), in 2D or 3D."
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help='data set folder whose training cases list "raters"; else their labels'
    )
    add_training_arguments(parser, DEFAULT_BUNDLE)
    parser.add_argument("--mode", choices=MODES, help="how data parameters are learnt; the bundle's by default")
    parser.add_argument("--disturb", type=float, metavar="SHARE", help="spoil this share of the labels, 0 to 1")
    parser.add_argument("--strength", type=float, metavar="S", help="how much, see transforms.RandLabelNoise")
    parser.add_argument("--kind", choices=DISTURBANCES, help="how")
    parser.add_argument(
        "--parameters", type=Path, metavar="FILE", help=f"{TABLE_FILE} of an earlier run, or that run's folder"
    )
    parser.add_argument(
        "--keep-quantile", type=float, metavar="Q", help="train on the labels at or above this quantile of parameters"
    )
    parser.add_argument("--keep-above", type=float, metavar="V", help="train on the labels of a parameter above this")
    parser.add_argument("--dry-run", action="store_true", help="tell which labels would be kept, and train nothing")
    parser.add_argument(
        "--validation", type=int, metavar="N", help="cases with an expert's label set aside to choose the best weights"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    check_device_name(args.device)
    _check_usage(args)
    if args.dry_run:
        return _tell_kept(args)
    if nothing_to_resume(args):
        return 0
    if args.smoke:
        args.overlay = ["quick", "smoke"]
    says_which = args.smoke or args.overlay or args.bundle != DEFAULT_BUNDLE
    if args.resume and not says_which:
        files, overrides = stored(args, (), _given(args))
    else:
        stages = ["common", "train", *args.overlay]
        files, overrides = composed(args, stages, _given(args), _smoke_data, partial(_from_data, args))
    quiet_monai()
    run_stage(files, {**overrides, "device": f"$torch.device('{resolve_device(args.device)}')"}, "train")
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    check_training_arguments(args, {"iterations": 1, "validation": 0, "seed": 0, "strength": 0})
    for option in ("disturb", "keep_quantile"):
        value = getattr(args, option)
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{option.replace('_', '-')}", f"must lie between 0 and 1, got {value}")
    if args.disturb is None and not args.resume and (args.strength is not None or args.kind is not None):
        raise InputError("--disturb", "is needed to say which share of the labels to spoil")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--nproc_per_node", "data parameters are learnt by one process; start it without torchrun")


def _given(args: argparse.Namespace) -> dict[str, Any]:
    values = {name: getattr(args, option) for option, name in IDS.items()}
    table = _table(args)
    values["parameters"] = None if table is None else str(table)
    return {name: value for name, value in values.items() if value is not None}


def _table(args: argparse.Namespace) -> Path | None:
    """Give the file of ``--parameters``, which may be the folder of the run that wrote it."""
    given: Path | None = args.parameters
    return given / TABLE_FILE if given is not None and given.is_dir() else given


def _from_data(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set (classes, channels), unless the user has set them; refuse what is not sound.

    All faults are found here already, before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    splits = make_rater_splits(dataset, args.validation, args.seed)
    filter_instances(expand_raters(splits.labeled, dataset.root), _table(args), args.keep_quantile, args.keep_above)
    first = next(iter(report.fingerprint["cases"].values()))
    found = {"num_classes": len(dataset.labels) - 1, "in_channels": first["channels"]}
    return {name: value for name, value in found.items() if name not in settings}


def _tell_kept(args: argparse.Namespace) -> int:
    """Print which labels a training with these options would be left with."""
    dataset, _ = checked_dataset(data_folder(args, _smoke_data))
    splits = make_rater_splits(dataset, args.validation, args.seed)
    instances = expand_raters(splits.labeled, dataset.root)
    kept = {each.index for each in filter_instances(instances, _table(args), args.keep_quantile, args.keep_above)}
    for each in instances:
        say(f"{'keep' if each.index in kept else 'drop'}  {each.case.case_id}  {each.rater}")
    cases = {each.case.case_id for each in instances if each.index in kept}
    every = {each.case.case_id for each in instances}
    say(f"would keep {len(kept)} of {len(instances)} labels, of {len(cases)} of {len(every)} images; nothing trained")
    return 0


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    config = config_files(find_bundle(args.bundle), ["common"])[0]
    dims = yaml.safe_load(config.read_text(encoding="utf-8"))["spatial_dims"]
    kind, shape = ("raters", (40, 36, 32)) if dims == 3 else ("raters2d", (64, 56))
    make_cohort(kind, folder, 5, labeled=4, unlabeled=0, test=1, shape=shape, seed=args.seed)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
