"""Fuse many label maps per image to one: STAPLE, data parameters, their hybrid, majority, or soft average.

concord build_consensus --method staple --raters a.nii.gz b.nii.gz c.nii.gz --output fused.nii.gz
concord build_consensus --compare --data DIR --parameters RUN --output DIR
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.consensus.methods import METHODS, PARAMETER_METHODS, ConsensusOptions
from pipelines.console import claim_output, command_parser, progress, run_command, say
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pipelines.consensus.case_consensus import CaseTask
SUMMARY, SCORES, RATERS = "summary.json", "scores.csv", "raters.csv"
DESCRIPTION = """
Fuse the label maps of many raters, or of many registered atlases, to one per image. Of one image (--raters): the
consensus as --output, and beside it its uncertainty (NAME_uncertainty.nii.gz, entropy in bits), a table of the raters
(NAME_raters.csv) and a summary (NAME_summary.json). Of a data set (--data): a data set whose training labels are the
consensus, with the uncertainty maps, raters.csv, and where cases have an expert's label, which is only compared with,
the Dice of every case in scores.csv and summary.json; stopped work is taken up again. Several methods get a folder each
in --output. Of labels that are equally probable, or have equally many votes, the smallest wins.
"""


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("build_consensus", DESCRIPTION)
    unset = argparse.SUPPRESS
    parser.add_argument(
        "--method", action="append", choices=METHODS, default=unset, help="how to fuse; may be given several times"
    )
    parser.add_argument(
        "--compare", action="store_true", help="all methods (those by data parameters only with --parameters)"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--raters", type=Path, nargs="+", metavar="FILE", default=unset, help="label maps of one image, on one grid"
    )
    source.add_argument("--data", type=Path, metavar="DIR", default=unset, help='data set whose cases have "raters"')
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        default=unset,
        help="file of the consensus; with --data or several methods a folder",
    )
    parser.add_argument(
        "--parameters",
        nargs="+",
        metavar="P",
        default=unset,
        help="data parameters: a training run, its data_parameters.csv, or with --raters a number for each",
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FILE", default=unset, help="expert's label to compare with (with --raters)"
    )
    parser.add_argument(
        "--labels",
        type=int,
        nargs="+",
        metavar="N",
        default=unset,
        help="labels that --raters may hold; any if not given",
    )
    parser.add_argument(
        "--restricted",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="estimate raters from the voxels alone about which they disagree; by default hybrid does, staple does not",
    )
    parser.add_argument(
        "--prior",
        type=float,
        nargs="+",
        metavar="F",
        default=unset,
        help="probability of each label 0, 1, ...; by default the raters' mean shares, and for hybrid what makes the "
        "consensus as large as trusted raters are",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=ConsensusOptions.strength,
        help="of data parameters in the hybrid; with 0 they say no more than how large the consensus is",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=ConsensusOptions.max_iterations,
        metavar="N",
        help="at most so many of staple and hybrid",
    )
    parser.add_argument("--probabilities", action="store_true", help="write soft results too; average always does")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at a time (with --data)")
    parser.add_argument("--overwrite", action="store_true", help="replace finished results in --output")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Check the options, fuse and write.

    Raises:
        InputError: for bad options, raters that do not fit each other, missing parameters and finished output.
    """
    methods = _methods(args)
    options = _options(args)
    return _fuse_data_set(args, methods, options) if "data" in args else _fuse_files(args, methods, options)


def _methods(args: argparse.Namespace) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(getattr(args, "method", ())))
    if bool(named) == args.compare:
        raise InputError("--method", "name a method, or pass --compare for all of them; one of the two")
    if args.compare:
        return tuple(method for method in METHODS if "parameters" in args or method not in PARAMETER_METHODS)
    if "parameters" not in args and set(named) & set(PARAMETER_METHODS):
        method = next(method for method in named if method in PARAMETER_METHODS)
        raise InputError("--parameters", f"must be given for method {method}: a run, its table, or a number per rater")
    return named


def _options(args: argparse.Namespace) -> ConsensusOptions:
    """Refuse what can be refused before anything is read."""
    for option in ("reference", "labels") if "data" in args else ():
        if option in args:
            raise InputError(f"--{option}", "applies to --raters; a data set says itself what it holds")
    if not (math.isfinite(args.strength) and args.strength >= 0):
        raise InputError("--strength", f"must be 0 or more, got {args.strength}")
    if args.iterations < 1:
        raise InputError("--iterations", f"must be 1 or more, got {args.iterations}")
    if args.jobs < 1:
        raise InputError("--jobs", f"must be 1 or more, got {args.jobs}")
    prior = tuple(getattr(args, "prior", ())) or None
    if prior and not (all(math.isfinite(value) and value >= 0 for value in prior) and sum(prior) > 0):
        raise InputError("--prior", f"must be one number of 0 or more for each label, got {' '.join(map(str, prior))}")
    return ConsensusOptions(args.restricted, prior, args.strength, args.iterations)


def _fuse_files(args: argparse.Namespace, methods: Sequence[str], options: ConsensusOptions) -> int:
    """Fuse the raters of one image."""
    from pipelines.consensus.one_image import fuse_image

    labels = tuple(sorted(set(getattr(args, "labels", ())) | {0})) if "labels" in args else None
    return fuse_image(
        raters=tuple(args.raters),
        output=args.output,
        methods=tuple(methods),
        options=options,
        parameters=tuple(getattr(args, "parameters", ())) or None,
        reference=getattr(args, "reference", None),
        labels=labels,
        probabilities=args.probabilities,
        overwrite=args.overwrite,
    )


def _fuse_data_set(args: argparse.Namespace, methods: Sequence[str], options: ConsensusOptions) -> int:
    """Fuse every training case with raters of a data set."""
    if args.output.resolve() == args.data.resolve():
        raise InputError(args.output, "is the data set itself; --output must be another folder")
    from pipelines.consensus.data_set import case_tasks, cases_with_raters, write_data_set
    from pipelines.data.dataset import read_dataset

    dataset = read_dataset(args.data)
    cases = cases_with_raters(dataset)
    parameters, source = None, None
    if "parameters" in args:
        parameters, source = _parameter_table(args.parameters)
    if options.prior and len(options.prior) != len(dataset.labels):
        raise InputError("--prior", f"must be {len(dataset.labels)} numbers, one for each label of the data set")
    folders = {method: args.output / method if len(methods) > 1 else args.output for method in methods}
    tasks = case_tasks(dataset, folders, parameters, source, args.probabilities)
    _refuse_bad_raters(tasks)
    claim_output(args.output, overwrite=args.overwrite, finished_by=SUMMARY)
    for name in (SUMMARY, SCORES, RATERS):
        (args.output / name).unlink(missing_ok=True)
    for files in [files for task in tasks for files in task.files.values()] if args.overwrite else []:
        files.record.unlink(missing_ok=True)
    without = len(dataset.training) - len(cases)
    if without:
        say(f"warning: {without} training cases have no raters and are left out")
    records = _build_all(tasks, options, args.jobs)
    for method, folder in folders.items():
        write_data_set(dataset, folder, method)
    from pipelines.consensus.summary import summarise_records, write_tables

    summary = summarise_records(records, methods)
    write_tables(args.output, records, summary)
    _tell(summary, args.output)
    return 0


def _parameter_table(given: Sequence[str]) -> tuple[Mapping[tuple[str, str], float], Path]:
    from pipelines.consensus.parameter_source import parameter_file
    from pipelines.data.data_parameters_table import read_data_parameters

    if len(given) != 1:
        raise InputError("--parameters", f"must be one run or table with --data, got {len(given)} values")
    path = parameter_file(Path(given[0]))
    return read_data_parameters(path), path


def _refuse_bad_raters(tasks: Sequence[CaseTask]) -> None:
    """Look at all headers before any work, and tell every fault."""
    from pipelines.consensus.rater_files import check_grids
    from transforms.io.input_error import InputErrors

    faults: list[InputError] = []
    for task in progress(tasks, "checking raters"):
        try:
            check_grids(task.raters, task.reference)
        except InputErrors as found:
            faults += found.faults
    if faults:
        raise InputErrors(faults)


def _build_all(
    tasks: Sequence[CaseTask], options: ConsensusOptions, jobs: int
) -> list[Mapping[str, Mapping[str, Any]]]:
    """The records of all cases by method, in the order of the tasks."""
    from pipelines.consensus.case_consensus import build_case

    if jobs == 1 or len(tasks) == 1:
        return [build_case(task, options) for task in progress(tasks, "fusing raters")]
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    # Fresh processes: forked ones would inherit the threads' locks of the libraries that are loaded by now.
    # Ctrl-C reaches all processes of the terminal; it is this one that stops the others, between two cases.
    with ProcessPoolExecutor(
        min(jobs, len(tasks)),
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        waiting = {pool.submit(build_case, task, options): number for number, task in enumerate(tasks)}
        try:
            records = {
                waiting[future]: future.result()
                for future in progress(as_completed(waiting), "fusing raters", total=len(tasks))
            }
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [records[number] for number in range(len(tasks))]


def _tell(summary: Mapping[str, Any], output: Path) -> None:
    for method, told in summary["methods"].items():
        dice = told["mean_dice"]
        line = f"{method}: {_counted(told['cases'])}"
        if dice["mean"] is not None:
            line += f", Dice {dice['mean']:.4f} against the expert ({_counted(dice['cases'])})"
        say(line)
    raters = summary["raters"]["mean_dice"]
    if raters["mean"] is not None:
        say(f"single raters: Dice {raters['mean']:.4f}; best of each case {summary['raters']['best_dice']['mean']:.4f}")
    say(f"written to {output}")


def _counted(cases: int) -> str:
    return f"{cases} case{'' if cases == 1 else 's'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
