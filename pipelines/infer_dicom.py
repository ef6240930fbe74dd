"""Segment a DICOM series and hand the results to an archive: DICOM SEG, measurement report and overlay.

    concord infer_dicom --bundle DIR --input SOURCE --output TARGET

SOURCE and TARGET are folders, DICOMweb servers (https://HOST/PATH) or DICOM nodes (dicom://CALLED@HOST:PORT). From an
archive one series is taken, chosen by the rules given. What was stored is asked for again before it is called stored.
User and password come from CONCORD_PACS_USER and CONCORD_PACS_PASSWORD (or CONCORD_PACS_TOKEN), or from a file.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import claim_output, command_parser, run_command
from pipelines.prediction.options import add_inference_arguments, check_inference_arguments
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pipelines.delivery.job import Job

RECEIPT_FILE = "receipt.json"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "infer_dicom", "Segment a DICOM series: DICOM SEG, measurement report and overlay, into a folder or an archive."
    )
    unset = argparse.SUPPRESS
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="+",
        required=True,
        default=unset,
        metavar="DIR",
        help="exported bundle, run folder or checkpoint; several make an ensemble",
    )
    place = "folder, http(s)://HOST[:PORT]/PATH of a DICOMweb server, or dicom(s)://[CALLING@]CALLED@HOST:PORT"
    parser.add_argument("--input", required=True, default=unset, metavar="SOURCE", help=f"where the series is: {place}")
    parser.add_argument(
        "--output", required=True, default=unset, metavar="TARGET", help=f"who gets the results: {place}"
    )
    parser.add_argument(
        "--receipt",
        type=Path,
        default=unset,
        metavar="FILE",
        help=f"record of what was made and stored (JSON); {RECEIPT_FILE} in an output folder, needed for an archive",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the results and the receipt of an earlier job"
    )
    parser.add_argument("--form", choices=("binary", "labelmap"), default="binary", help="of the DICOM SEG")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--uid-root", default="", metavar="ROOT", help="your registered root for identifiers; 2.25 (UUIDs) without"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    add_inference_arguments(parser)
    _add_series_arguments(parser)
    _add_archive_arguments(parser)
    return parser


def _add_series_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "series", "which one is meant; one must be left, and an archive is never searched whole"
    )
    unset = argparse.SUPPRESS
    group.add_argument("--study-uid", metavar="UID", default=unset, help="Study Instance UID")
    group.add_argument("--series-uid", metavar="UID", default=unset, help="Series Instance UID")
    group.add_argument("--accession", metavar="NUMBER", default=unset, help="accession number of the study")
    group.add_argument("--modality", metavar="CODE", default=unset, help="CT, MR, PT...")
    group.add_argument("--description", metavar="REGEX", default=unset, help="found in the series description")
    group.add_argument("--body-part", metavar="CODE", default=unset, help="Body Part Examined")
    group.add_argument("--min-instances", type=int, metavar="N", default=unset, help="least number of slices")
    group.add_argument("--prefer", choices=("newest", "largest"), default=unset, help="decides between several")


def _add_archive_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("archives")
    unset = argparse.SUPPRESS
    group.add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        default=unset,
        help="lines user = ... and password = ..., or token = ...",
    )
    group.add_argument("--ca-file", type=Path, metavar="PEM", default=unset, help="authorities to believe for TLS")
    group.add_argument("--client-cert", type=Path, metavar="PEM", default=unset, help="our certificate for TLS")
    group.add_argument("--client-key", type=Path, metavar="PEM", default=unset, help="its private key")
    group.add_argument("--allow-plain", action="store_true", help="send credentials to another machine without TLS")
    group.add_argument(
        "--move-port", type=int, metavar="PORT", default=unset, help="fetch by C-MOVE to this port of ours"
    )
    group.add_argument("--connect-s", type=float, metavar="S", default=10.0, help="wait for a connection, seconds")
    group.add_argument("--answer-s", type=float, metavar="S", default=60.0, help="wait for any answer, seconds")
    group.add_argument("--total-s", type=float, metavar="S", default=1800.0, help="one whole fetch or store, seconds")


def run(args: argparse.Namespace) -> int:
    """Check what can be checked before anything is loaded, then do the job."""
    check_inference_arguments(args)
    for source in args.bundle:
        if not source.exists():
            raise InputError(source, "does not exist")
    job = _job(args)
    from pipelines.delivery.delivering import deliver
    from pipelines.workflow import quiet_monai

    quiet_monai()
    return deliver(job)


def _job(args: argparse.Namespace) -> Job:
    """Give the job that the options mean, refusing what can be refused before anything is asked for or loaded."""
    from pipelines.delivery.job import Job
    from pipelines.pacs.address import FolderAddress, parse_address
    from pipelines.pacs.archive import MoveDestination
    from pipelines.pacs.credentials import Tls, read_credentials
    from pipelines.pacs.patience import Patience
    from pipelines.pacs.series_rules import SeriesRules

    options = vars(args)
    source, target = parse_address(args.input), parse_address(args.output)
    rule_names = (
        "study_uid",
        "series_uid",
        "accession",
        "modality",
        "description",
        "body_part",
        "min_instances",
        "prefer",
    )
    rules = SeriesRules(**{name: options[name] for name in rule_names if name in options})
    receipt = options.get("receipt")
    if isinstance(target, FolderAddress):
        claim_output(target.path, overwrite=args.overwrite, finished_by=RECEIPT_FILE)
        receipt = receipt or target.path / RECEIPT_FILE
    elif receipt is None:
        raise InputError("--receipt", "must name a file when the results go to an archive")
    if not isinstance(source, FolderAddress):
        rules.query().require_narrow("--input")
    elif not source.path.is_dir():
        raise InputError("--input", "is no folder")
    if receipt.is_dir() or not (receipt.parent.is_dir() or receipt.parent == Path()):
        raise InputError("--receipt", f"cannot be written: {receipt} is a folder, or its folder does not exist")
    port = options.get("move_port")
    if port is not None and not 0 < port < 65536:
        raise InputError("--move-port", f"must be a port from 1 to 65535, got {port}")
    tls = Tls(options.get("ca_file"), options.get("client_cert"), options.get("client_key"))
    tls.context()
    for name in ("connect_s", "answer_s", "total_s"):
        if not 0 < options[name] < math.inf:
            raise InputError(
                f"--{name.replace('_', '-')}", f"must be a positive number of seconds, got {options[name]:g}"
            )
    return Job(
        bundles=tuple(args.bundle),
        source=source,
        target=target,
        rules=rules,
        receipt=receipt,
        options=args,
        form="LABELMAP" if args.form == "labelmap" else "BINARY",
        uid_root=args.uid_root,
        credentials=read_credentials(options.get("credentials")),
        tls=tls if any(vars(tls).values()) else None,
        patience=Patience(args.connect_s, args.answer_s, args.total_s),
        move=None if port is None else MoveDestination(port),
        allow_plain=args.allow_plain,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
