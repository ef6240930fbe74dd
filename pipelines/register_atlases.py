"""Register atlases to target scans and transfer their labels: many noisy labels for each target.

    concord register_atlases --atlases DIR --targets DIR --output DIR

Every labelled training case of the one data set is carried to every training and unlabelled case of the other: affine
and then deformable registration, the label in one resampling. ``--output`` becomes a data set whose training cases
hold ``raters`` (the warped labels) and ``atlas`` (whose they are), with ``registration_quality.csv`` beside. A case is
never registered to itself. Started again after an interruption, the command goes on with the pairs that are missing.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from pipelines.data.dataset import DESCRIPTION, Case, DataSet, read_dataset
from pipelines.devices import check_device_name
from pipelines.registration.atlas_plan import (
    AtlasChoice,
    choose_atlases,
    choose_targets,
    mask_of,
    plan_pairs,
    require_same_labels,
)
from pipelines.registration.pair_job import PairJob
from pipelines.registration.settings import AFFINES, ENGINES, STARTS, PairSettings
from transforms.io.input_error import InputError, InputErrors


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("register_atlases", "Register labelled atlases to target scans and transfer their labels.")
    folder: dict[str, Any] = {"type": Path, "required": True, "metavar": "DIR", "default": argparse.SUPPRESS}
    parser.add_argument("--atlases", **folder, help="data set whose labelled training cases are the atlases")
    parser.add_argument("--targets", **folder, help="data set whose training and unlabelled cases are the targets")
    add_run_arguments(parser, output="folder of the data set with the transferred labels")
    parser.add_argument("--engine", default="convexadam", help=f"how to register: {' or '.join(ENGINES)}")
    parser.add_argument("--atlas-ids", nargs="+", metavar="ID", default=[], help="these cases are the atlases")
    parser.add_argument("--atlas-count", type=int, metavar="N", help="draw N atlases (all when not given)")
    parser.add_argument("--target-count", type=int, metavar="N", help="draw N targets (all when not given)")
    parser.add_argument("--disjoint", action="store_true", help="no atlas is a target too")
    parser.add_argument(
        "--start",
        default="auto",
        help="initial alignment: header (world coordinates), centre (of the fields of view) or auto (the more alike)",
    )
    parser.add_argument(
        "--affine",
        default="affine",
        help="before the deformation: affine, rigid, or none (scans of one person that share a frame)",
    )
    parser.add_argument("--channel", type=int, default=0, metavar="N", help="channel that is registered, from 0")
    parser.add_argument("--spacing", type=float, metavar="MM", help="step of the working grid (the target's mean step)")
    parser.add_argument("--jobs", type=int, metavar="N", help="pairs at a time (one per core; 1 on a GPU)")
    parser.add_argument("--save-fields", action="store_true", help="write the displacement fields too (mm, LPS)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Check both data sets, register the pairs that are missing, then write the data set."""
    _check_options(args)
    atlases, targets = read_dataset(args.atlases), read_dataset(args.targets)
    require_same_labels(atlases, targets)
    choice = AtlasChoice(tuple(args.atlas_ids), args.atlas_count, args.target_count, args.disjoint, args.seed)
    moving = choose_atlases(atlases, choice)
    fixed = choose_targets(targets, moving, choice)
    pairs = plan_pairs(moving, fixed)
    for folder in (atlases.root, targets.root):
        if args.output.resolve() == folder.resolve():
            raise InputError(args.output, "is an input, which is not written to")
    _check_scans(moving, fixed, args.channel)
    claim_output(args.output, overwrite=args.overwrite, finished_by=DESCRIPTION)
    (args.output / DESCRIPTION).unlink(missing_ok=True)
    jobs = _jobs(args, atlases, targets, pairs)
    records = _register(jobs, _processes(args, jobs[0].device))
    from pipelines.registration.atlas_dataset import TABLE, write_atlas_dataset, write_table

    write_table(args.output / TABLE, records)
    write_atlas_dataset(args.output, atlases, targets, fixed, jobs)
    for line in _summary(records):
        say(line)
    say(f"{args.output}: {len(fixed)} targets with labels of {len(moving)} atlases")
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is read."""
    check_device_name(args.device)
    for option, given, allowed in (
        ("--engine", args.engine, ENGINES),
        ("--start", args.start, STARTS),
        ("--affine", args.affine, AFFINES),
    ):
        if given not in allowed:
            raise InputError(option, f"must be {' or '.join(allowed)}, got {given}")
    for option, value in (("--jobs", args.jobs), ("--atlas-count", args.atlas_count)):
        if value is not None and value < 1:
            raise InputError(option, f"must be at least 1, got {value}")
    if args.channel < 0:
        raise InputError("--channel", f"must be 0 or more, got {args.channel}")
    if args.spacing is not None and not 0 < args.spacing < math.inf:
        raise InputError("--spacing", f"must be a positive number of mm, got {args.spacing}")


def _check_scans(atlases: Sequence[Case], targets: Sequence[Case], channel: int) -> None:
    """Read every image and every atlas' label once.

    Raises:
        InputErrors: for all that cannot be read, and for labels that hold nothing.
    """
    from pipelines.registration.pair_job import read_label, read_scan

    faults = []
    wanted = {case.images: case for case in targets} | {case.images: case for case in atlases}
    names = {case.images for case in atlases}
    for case in progress(list(wanted.values()), "checking scans"):
        try:
            if channel >= len(case.images):
                raise InputError(case.images[0], f"has {len(case.images)} channels, there is no channel {channel}")
            grid = read_scan(case.images[channel]).grid
            if case.label is not None and not read_label(case.label, grid).any() and case.images in names:
                raise InputError(case.label, "holds no structure, so its case cannot be an atlas")
        except InputError as fault:
            faults.append(fault)
    if faults:
        raise InputErrors(faults)


def _jobs(
    args: argparse.Namespace, atlases: DataSet, targets: DataSet, pairs: Sequence[tuple[Case, Case]]
) -> list[PairJob]:
    from pipelines.devices import resolve_device

    settings = PairSettings(args.engine, args.start, args.affine, args.spacing, args.seed)
    device = "cpu" if args.engine == "simpleitk" else str(resolve_device(args.device))
    return [
        PairJob(
            output=args.output,
            atlas=atlas,
            target=target,
            settings=settings,
            channel=args.channel,
            device=device,
            save_field=args.save_fields,
            atlas_mask=mask_of(atlases, atlas),
            target_mask=mask_of(targets, target),
        )
        for atlas, target in pairs
    ]


def _processes(args: argparse.Namespace, device: str) -> int:
    if args.jobs is not None:
        return int(args.jobs)
    from transforms.euclidean_distance import available_threads

    return 1 if device.startswith("cuda") else available_threads()


def _register(jobs: Sequence[PairJob], processes: int) -> list[Mapping[str, Any]]:
    """Give the records of all pairs, in order; those that are there from before are not registered again."""
    from pipelines.registration.job_runner import run_jobs

    done = {job.record_file: job.finished() for job in jobs}
    missing = [job for job in jobs if done[job.record_file] is None]
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} pairs were registered before")
    found = {(record["atlas"], record["target"]): record for record in done.values() if record is not None}
    for record in progress(run_jobs(missing, processes), "registering", total=len(missing)):
        found[record["atlas"], record["target"]] = record
    return [found[job.atlas.case_id, job.target.case_id] for job in jobs]


def _summary(records: Sequence[Mapping[str, Any]]) -> list[str]:
    from pipelines.registration.atlas_dataset import TABLE

    def mean(name: str) -> float | None:
        values = [record[name] for record in records if record[name] is not None]
        return sum(values) / len(values) if values else None

    names = (("similarity", "similarity"), ("Dice", "dice"))
    lines = []
    for told, name in names:
        stages = [mean(f"{name}_{stage}") for stage in ("start", "affine", "final")]
        if None not in stages:
            before, affine, after = stages
            lines.append(f"mean {told}: {before:.3f} at the start, {affine:.3f} affine, {after:.3f} deformable")
    known = [record for record in records if None not in (record["similarity_start"], record["similarity_final"])]
    worse = sum(record["similarity_final"] < record["similarity_start"] for record in known)
    if worse:
        lines.append(f"{worse} of {len(records)} pairs are less alike than at the start: see {TABLE}")
    kept = sum(bool(record["fallback"]) for record in records)
    lines.append(f"{len(records)} pairs, {mean('seconds'):.1f} s each" + (f"; {kept} fell back" if kept else ""))
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
