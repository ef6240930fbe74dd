"""``concord distance_map``: the signed Euclidean distance map of a label file, on the grid of that file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import command_parser, run_command, say
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import numpy as np

    from transforms.io.geometry import Volume

DESCRIPTION = """
Compute the signed distance map of a label file: negative inside, positive outside, float32, with the geometry of the
input. Mode metric: mm (pixels for pictures) to the nearest voxel centre of the other side, so that a border voxel is
one voxel step away from 0; without any foreground every voxel is the volume's diagonal (or --max-distance), and minus
that when all is foreground. Mode dtc: the target of dual-task consistency, in voxels, each side scaled by its own
maximum to [-1, 1], 0 on the inner boundary.
"""


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("distance_map", DESCRIPTION)
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help="label map, of any format that is read"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the map, .nii.gz or .nii")
    parser.add_argument("--mode", choices=("metric", "dtc"), default="metric", help="which definition")
    parser.add_argument("--label", type=int, metavar="N", help="value of the structure; all but 0 when not given")
    parser.add_argument("--max-distance", type=float, metavar="MM", help="clip distances here; only for mode metric")
    parser.add_argument("--overwrite", action="store_true", help="replace --output when it is there")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Read, compute and write.

    Raises:
        InputError: for bad options, for an input that is no label map, and for an output that is there already.
    """
    _check_options(args)
    from transforms.io.volume import read_volume

    volume = read_volume(args.input)
    inside = _foreground(args.input, volume, args.label)

    from transforms.euclidean_distance import signed_distance

    spacing = None if args.mode == "dtc" else volume.spacing
    distances = signed_distance(inside, mode=args.mode, spacing=spacing, max_distance=args.max_distance)[0]
    _write(args.output, distances, volume, args.input)
    unit = "mm" if args.mode == "metric" else "of each side's maximum"
    voxels = int(inside.sum())
    say(f"{args.output}: {voxels} voxels inside, distances {distances.min():.4g} to {distances.max():.4g} {unit}")
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is read."""
    if args.max_distance is not None:
        if args.mode == "dtc":
            raise InputError("--max-distance", "does not apply to mode dtc, which scales itself")
        if not 0 < args.max_distance < float("inf"):
            raise InputError("--max-distance", f"must be a positive number of mm, got {args.max_distance}")
    if args.label is not None and args.label < 1:
        raise InputError("--label", f"must be 1 or more, got {args.label}")
    if not args.output.name.lower().endswith((".nii.gz", ".nii")):
        raise InputError(args.output, "must end in .nii.gz or .nii")
    if args.output.is_dir():
        raise InputError(args.output, "is a folder, but --output must be a file")
    if args.output.exists() and not args.overwrite:
        raise InputError(args.output, "is there already; choose another name or pass --overwrite")
    if args.output.exists() and args.input.exists() and args.output.samefile(args.input):
        raise InputError(args.output, "is the input itself, which is not replaced")


def _foreground(path: Path, volume: Volume, label: int | None) -> np.ndarray:
    """Mask of the structure asked for; the file must hold whole numbers from 0 up."""
    import numpy as np

    values = volume.array
    if values.ndim != len(volume.spacing):
        raise InputError(path, f"must be a label map with one channel, got an array of shape {values.shape}")
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError(path, f"must hold whole numbers, found {values[values != np.rint(values)][0]:g}")
    if values.min() < 0:
        raise InputError(path, f"must hold labels from 0 up, found {values.min():g}")
    if label is None:
        return np.not_equal(values, 0)
    inside = np.equal(values, label)
    if not inside.any():
        raise InputError(path, f"holds no voxel of label {label}")
    return inside


def _write(path: Path, distances: np.ndarray, volume: Volume, source: Path) -> None:
    """Write the map; a NIfTI input hands its header over bit for bit."""
    from transforms.io.atomic import atomic_path
    from transforms.io.nifti_file import encode_nifti
    from transforms.io.volume import format_of

    header = source if format_of(source) == "nifti" and not source.is_dir() else None
    content = encode_nifti(distances, volume.affine, header, compress=path.name.lower().endswith(".gz"))
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as fault:
        raise InputError(path, f"cannot be written: {fault.strerror}") from fault


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
