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
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.console import command_parser, run_command
from pipelines.data.cohort import checked_dataset
from pipelines.data.splits import make_splits
from pipelines.method_training import MethodTraining, validation_cases
from pipelines.training_command import add_training_arguments
from pipelines.workflow import config_files, find_bundle

# The overlays that make a method of the bundle's own settings.
METHODS: dict[str, tuple[str, ...]] = {
    "single": ("single",),
    "dropout": ("single", "dropout"),
    "fixed": ("fixed",),
    "alpha": ("alpha",),
    "uncertainty": (),
}


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "train_multitask", "Vessel masks and distance maps from one network, and its single-task baselines, in 2D."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set folder (dataset.json or nnU-Net v2)")
    add_training_arguments(parser, TRAINING.bundle)
    TRAINING.add_arguments(parser, method="how the tasks are weighed")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train."""
    return TRAINING.run(args)


def _fit(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the network to the data set (classes, channels) and set validation cases aside, unless the user has said how;
    refuse what is not sound.

    All faults are found here already, before torch is loaded.
    """
    dataset, report = checked_dataset(data)
    first = next(iter(report.fingerprint["cases"].values()))
    found = {"num_classes": len(dataset.labels) - 1, "in_channels": first["channels"]}
    aside = validation_cases(args, dataset, settings)
    if aside is not None:
        found["validation_cases"] = aside
    make_splits(dataset, None, args.validation or aside, args.seed)
    return {name: value for name, value in found.items() if name not in settings}


def _smoke_data(args: argparse.Namespace) -> Path:
    from pipelines.data.phantoms import make_cohort

    folder: Path = args.output / "phantoms"
    config = config_files(find_bundle(args.bundle), ["common"])[0]
    channels = yaml.safe_load(config.read_text(encoding="utf-8"))["in_channels"]
    kind = "fundus" if channels == 3 else "vessels2d"
    make_cohort(kind, folder, 8, labeled=5, validation=1, unlabeled=0, test=2, shape=(64, 56), seed=args.seed)
    return folder


TRAINING = MethodTraining(
    module="pipelines.train_multitask",
    bundle="octa_multitask",
    methods=METHODS,
    default="uncertainty",
    one_process="tasks are weighed by one process",
    scores=("--scores", "pixels", "topology", "ranking"),
    smoke_data=_smoke_data,
    fit=_fit,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
