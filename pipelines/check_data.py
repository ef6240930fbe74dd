"""Command ``check_data``: read a data set as a training would, and report every problem before any training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.console import EXIT_DONE, EXIT_REFUSED, command_parser, run_command, say
from pipelines.data.dataset import scan_dataset
from pipelines.data.integrity import Report, check_dataset
from pipelines.data.integrity_cache import default_cache
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

MAX_TOLD = 20


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "check_data",
        "Read every file of a data set and report all its faults: damaged files, images and labels that do not lie on "
        "each other, undeclared labels, NaN, cases in two splits. Exit status 2 when there is any.",
    )
    parser.add_argument(
        "data", type=Path, metavar="DIR", help="folder with a dataset.json (Decathlon or nnU-Net v2 form)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write faults, warnings and fingerprint there as JSON"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="read every file again, even those seen unchanged before"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Check the data set, tell what was found, and give the exit status."""
    dataset, entry_faults = scan_dataset(args.data)
    cache = None if args.no_cache else default_cache(dataset.root)
    report = check_dataset(dataset, cache, entry_faults)
    if args.json is not None:
        _write_json(args.json, report)
    for line in _summary_lines(report.fingerprint):
        say(line)
    for warning in report.warnings:
        say(f"warning: {warning}")
    if not report.faults:
        say(f"no faults found; fingerprint {report.fingerprint['hash'][:16]}")
        return EXIT_DONE
    say(f"faults found: {len(report.faults)}")
    for fault in report.faults[:MAX_TOLD]:
        sys.stderr.write(f"error: {fault}\n")
    if len(report.faults) > MAX_TOLD:
        sys.stderr.write(f"and {len(report.faults) - MAX_TOLD} more faults (see --json)\n")
    return EXIT_REFUSED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status."""
    return run_command(build_parser(), run, argv)


def _write_json(path: Path, report: Report) -> None:
    faults = [{"subject": fault.subject, "reason": fault.reason} for fault in report.faults]
    content = {"faults": faults, "warnings": list(report.warnings), "fingerprint": report.fingerprint}
    try:
        write_json_atomic(path, content)
    except OSError as fault:
        raise InputError(path, f"cannot be written: {fault.strerror}") from fault


def _summary_lines(fingerprint: Mapping[str, Any]) -> list[str]:
    summary = fingerprint["summary"]
    lines = [f"{fingerprint['name']}: {', '.join(fingerprint['modality']) or 'no modality given'}"]
    for split, count in summary["cases"].items():
        lines.append(f"  {split:<12}{count:>5} cases, {summary['labelled'].get(split, 0)} with a readable label")
    if "raters" in summary:
        rated = sum("raters" in case for case in fingerprint["cases"].values())
        lines.append(f"  {'raters':<12}{summary['raters']:>5} noisy labels of {rated} cases")
    if "fields_of_view" in summary:
        lines.append(f"  {'fov':<12}{summary['fields_of_view']:>5} cases with a field of view")
    for name, unit in (("shape", "voxels"), ("spacing", "mm (pixels for pictures)")):
        if summary[name]:
            marks = ", ".join(f"{mark} {_times(values)}" for mark, values in summary[name].items())
            lines.append(f"  {name:<12}{marks} {unit}")
    orientations = ", ".join(f"{count} {code}" for code, count in summary["orientation"].items() if len(code) == 3)
    channels = ", ".join(f"{count} with {number}" for number, count in summary["channels"].items())
    lines += [f"  {'orientation':<12}{orientations or '-'}", f"  {'channels':<12}{channels or '-'}"]
    for value, name in fingerprint["labels"].items():
        found = summary["label_fractions"].get(name)
        marks = ", ".join(f"{mark} {100 * value:.3g} %" for mark, value in found.items()) if found else "not seen"
        lines.append(f"  label {value:<6}{name}: {marks}{' of the voxels' if found else ''}")
    return lines


def _times(values: Sequence[float]) -> str:
    return "x".join(f"{value:.4g}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
