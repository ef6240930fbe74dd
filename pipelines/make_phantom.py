"""Write a seeded synthetic cohort in the data layout that every command reads.

    concord make_phantom --kind atrium --cases 24 --output phantoms

The folder can be given to ``--data`` of any command. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from pipelines.console import add_run_arguments, claim_output, command_parser, progress, run_command, say
from pipelines.data.phantoms import KINDS, choose_ending, make_case, make_cohort, share_cases


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    kinds = "; ".join(f"{name}: {kind.summary}" for name, kind in KINDS.items())
    parser = command_parser("make_phantom", "Write a seeded synthetic cohort (dataset.json, images/, labels/).")
    parser.add_argument("--kind", required=True, help=kinds)
    parser.add_argument("--cases", type=int, required=True, metavar="N", help="how many cases in all")
    add_run_arguments(parser, output="folder of the cohort", device=False)
    shares = {
        "labeled": "training cases with labels (default: a quarter)",
        "unlabeled": "cases without a label file (default: half)",
        "test": "labelled cases held out for testing (default: a quarter)",
        "validation": "labelled cases held out for choosing a model (default: 0)",
    }
    for name, text in shares.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", default=argparse.SUPPRESS, help=text)
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        metavar="N",
        default=argparse.SUPPRESS,
        help="voxels along x y [z] (default: by kind)",
    )
    parser.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        metavar="MM",
        dest="spacing_mm",
        default=argparse.SUPPRESS,
        help="millimetres per voxel, one value or one an axis (default: by kind)",
    )
    parser.add_argument(
        "--file-ending", default=argparse.SUPPRESS, help=".nii.gz, .nii or, for 2D, .png (default: by kind)"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Draw and write the cohort."""
    options = vars(args)
    counts = {name: options.get(name) for name in ("labeled", "unlabeled", "test", "validation")}
    look = {name: options.get(name) for name in ("shape", "spacing_mm")}
    parts = share_cases(args.cases, **counts)
    ending = choose_ending(args.kind, options.get("file_ending"))
    make_case(args.kind, 1, seed=args.seed, **look)  # refuses what does not fit before the folder is made
    claim_output(args.output, overwrite=args.overwrite, finished_by="dataset.json")
    listing = make_cohort(
        args.kind,
        args.output,
        args.cases,
        **counts,
        **look,
        seed=args.seed,
        file_ending=ending,
        watch=partial(_progress, args.kind),
    )
    shares = ", ".join(f"{count} {part}" for part, count in parts.items() if count)
    say(f"{listing}: {args.cases} cases of {args.kind} ({shares})")
    return 0


def _progress(kind: str, cases: Sequence[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    return progress(cases, f"drawing {kind}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see ``pipelines.console.run_command`` for the exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
