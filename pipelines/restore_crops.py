"""Put masks that were made on crops back on the raw volumes: unmirrored, slices stacked, in one resampling.

    concord restore_crops --crops CROPS --masks DIR --output DIR

CROPS is what ``concord prepare_crops`` wrote; the masks are what ``concord infer`` gives for its images. The result can
be measured with ``concord evaluate --predictions DIR --data RAW``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

RESTORED_FILE = "restored.json"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "restore_crops",
        "Put masks that were made on crops, or on slices of them, back on the grids of the raw volumes, as "
        "CASE.nii.gz. Voxels outside the crops are background.",
    )
    parser.add_argument(
        "--crops", type=Path, required=True, default=argparse.SUPPRESS, metavar="DIR", help="made by prepare_crops"
    )
    parser.add_argument(
        "--masks",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="masks named after the samples, perhaps with _seg or _pred behind; samples without one are passed over",
    )
    add_run_arguments(parser, output="folder of the masks and restored.json", seed=False, device=False)
    return parser


def run(args: argparse.Namespace) -> int:
    """Put all masks back, case by case."""
    from pipelines.data.crop_records import read_crops
    from pipelines.data.crop_restoring import cases_with_masks, restore_case, write_restored

    crops = read_crops(args.crops)
    if not args.masks.is_dir():
        raise InputError(args.masks, "is no folder of masks")
    if args.output.exists() and args.output.samefile(args.masks):
        raise InputError(args.output, "is --masks itself, which is not replaced")
    cases = cases_with_masks(crops["samples"], args.masks)
    if not cases:
        raise InputError(args.masks, f"holds no mask of a crop of {args.crops}")
    claim_output(args.output, overwrite=args.overwrite, finished_by=RESTORED_FILE)
    listed = []
    for case_id, records in progress(list(cases.items()), "restoring"):
        labels, grid = restore_case(records, args.masks)
        original = Path(records[0]["image"][0])
        path = args.output / f"{case_id}.nii.gz"
        try:
            write_restored(path, labels, grid, original)
        except OSError as fault:
            raise InputError(path, f"cannot be written: {fault.strerror}") from fault
        listed.append({"case_id": case_id, "mask": path.name, "samples": [record["sample_id"] for record in records]})
    write_json_atomic(args.output / RESTORED_FILE, {"crops": str(args.crops.absolute()), "cases": listed})
    without = len({record["case_id"] for record in crops["samples"]} - cases.keys())
    say(f"{args.output}: masks of {len(cases)} cases restored" + (f", {without} cases have none" if without else ""))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
