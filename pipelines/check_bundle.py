"""Check MONAI bundles: all that is missing or wrong by the rules of MONAI, its model zoo and its users.

A bundle's expressions are evaluated, to run its network once, only when the bundle has been looked through and nothing
but harmless names were found in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import EXIT_DONE, EXIT_REFUSED, command_parser, run_command, say
from pipelines.trust.finding import Finding
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pipelines.export.bundle_checks import BundleReport


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "check_bundle",
        "Check MONAI bundles, exported or in source form: files, metadata, properties, names, weights, and what MONAI "
        "Label and the Deploy App SDK need. All faults are told, a line each; exit status 2 when there is any.",
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="DIR", help="a bundle: its folder or its zip file")
    parser.add_argument(
        "--no-weights", action="store_true", help="read configurations alone: load no weights, run no network"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Check each bundle, tell what was found, and give the exit status."""
    count = 0
    for bundle in args.bundles:
        try:
            count += _check(bundle, with_weights=not args.no_weights)
        except InputError as fault:
            sys.stderr.write(f"error: {fault}\n")
            count += 1
    return EXIT_REFUSED if count else EXIT_DONE


def _check(bundle: Path, *, with_weights: bool) -> int:
    """Check one bundle and give the number of its faults."""
    from pipelines.trust.archive import unpacked

    if not bundle.exists():
        raise InputError(bundle, "no such bundle")
    with unpacked(bundle) as folder:
        report = _report(folder, with_weights=with_weights)
        for remark in report.remarks:
            say(f"remark: {_told(remark, bundle, folder)}")
        for fault in report.faults:
            sys.stderr.write(f"error: {_told(fault, bundle, folder)}\n")
    kind = "source bundle" if report.is_source else "bundle"
    count = len(report.faults)
    say(f"{bundle}: {kind}, {count or 'no'} fault{'s' if count != 1 else ''}")
    return count


def _report(folder: Path, *, with_weights: bool) -> BundleReport:
    from pipelines.export.bundle_checks import check_files, check_weights
    from pipelines.trust.bundle_scan import scan_bundle
    from pipelines.workflow import quiet_monai

    quiet_monai()
    report = check_files(folder)
    if not with_weights or report.is_source:
        return report
    if not (folder / "configs" / "inference.json").is_file():
        report.remarks.append(Finding(folder / "configs" / "inference.json", "", "is missing, so no network was run"))
        return report
    not_allowed = scan_bundle(folder)
    if not_allowed:
        report.remarks += not_allowed
        report.remarks.append(Finding(folder, "", "was not allowed to run, so weights and network were not tried"))
    else:
        check_weights(folder, report)
    return report


def _told(finding: Finding, bundle: Path, folder: Path) -> InputError:
    """Give the line for a finding; what is in a zip file lies, for the user, below the zip file."""
    file = bundle / finding.file.relative_to(folder) if finding.file.is_relative_to(folder) else finding.file
    return Finding(file, finding.id, finding.reason).refusal()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
