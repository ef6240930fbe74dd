"""Peak memory of segmenting volumes of more and more slices: all probabilities at once, and slab by slab.

    python -m benchmarks.slice_memory [--slices N ...] [--height N] [--width N] [--members N] [--json FILE]

Several networks of slices and their neighbours segment volumes of noise of 512 x 1024 pixels. They are 1x1 convolutions
with weights drawn at random: what a real network needs for ``slices_at_once`` slices comes on top, always as much.
``whole`` is one slab of all slices, whose class probabilities are all kept; ``slabs`` is what is done. Each measurement
is a process of its own; its largest resident memory is counted from just before the volume is read, so that the
libraries have no part in it. What still grows with slabs: the volume as the file stores it, and the label map, here a
byte per voxel each.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pipelines.console import run_command, say
from transforms.io.atomic import write_json_atomic

CLASSES = 4
MIB = 2**20


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(image: Path, way: str, members: int, seed: int) -> dict[str, float]:
    """Segment one volume in this process."""
    import torch
    from monai.inferers import SimpleInferer
    from monai.transforms import AsDiscreted, Compose, Invertd, LoadImaged, NormalizeIntensityd

    from networks.nets import SlicePredictor
    from pipelines.prediction.ensemble import Ensemble
    from pipelines.prediction.predictor import Predictor
    from pipelines.prediction.slabs import SLAB_SLICES
    from transforms.io.volume_reader import VolumeReader

    torch.manual_seed(seed)
    predictors = []
    for _ in range(members):
        preprocessing = Compose(
            [
                LoadImaged("image", reader=VolumeReader, ensure_channel_first=True),
                NormalizeIntensityd("image", subtrahend=100.0, divisor=50.0),
            ]
        )
        undoing = Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)
        predictors.append(
            Predictor(
                SlicePredictor(_pixelwise(), slices_at_once=8),
                preprocessing,
                SimpleInferer(),
                Compose([undoing, AsDiscreted("pred", argmax=True)]),
                torch.device("cpu"),
                slab_slices=SLAB_SLICES if way == "slabs" else sys.maxsize,
            )
        )
    before, started = peak_mib(), time.monotonic()
    found = Ensemble(predictors).predict({"image": str(image)})
    return {
        "peak_mib": peak_mib() - before,
        "seconds": time.monotonic() - started,
        "label_sum": int(found.labels.sum(dtype=np.int64)),
    }


def _pixelwise() -> Any:
    """A network that takes next to no memory of its own: a 1x1 convolution to the logits of all heads."""
    import torch
    from torch import nn

    class Pixelwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_channels, self.names = 3, ["mask", "presence"]
            self.out_channels = {"mask": CLASSES, "presence": CLASSES - 1}
            self.logits = nn.Conv2d(3, CLASSES, 1)

        def forward(self, x: torch.Tensor, heads: list[str]) -> dict[str, torch.Tensor]:
            logits = self.logits(x)
            return {"mask": logits, "presence": logits[:, 1:].amax((2, 3))}

    return Pixelwise()


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.slice_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, nargs="+", default=[32, 64, 128], help="sizes of the volumes")
    parser.add_argument("--height", type=int, default=512, help="of a slice, pixels")
    parser.add_argument("--width", type=int, default=1024, help="of a slice, pixels")
    parser.add_argument("--members", type=int, default=2, help="networks of the ensemble")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "IMAGE"), help=argparse.SUPPRESS)
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure each size both ways and print a table."""
    if args.one:
        sys.stdout.write(json.dumps(measure(Path(args.one[1]), args.one[0], args.members, args.seed)) + "\n")
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in args.slices:
            image = Path(folder) / f"{count}.nii"
            values = np.random.default_rng(args.seed).integers(0, 255, (args.height, args.width, count), np.uint8)
            nib.save(nib.Nifti1Image(values, np.eye(4)), image)
            for way in ("whole", "slabs"):
                found = _in_own_process(way, image, args)
                rows.append({"slices": count, "way": way, "volume_mib": values.nbytes / MIB, **found})
                sys.stderr.write(f"{count} slices, {way}: {found['peak_mib']:.0f} MiB, {found['seconds']:.1f} s\n")
            image.unlink()
    _tell(rows)
    if args.json:
        write_json_atomic(args.json, {"members": args.members, "rows": rows})
    return 0


def _in_own_process(way: str, image: Path, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.slice_memory", "--one", way, str(image)]
    command += ["--members", str(args.members), "--seed", str(args.seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way} of {image.name} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _tell(rows: Sequence[dict[str, float]]) -> None:
    say(f"{'slices':>7}{'volume':>9}{'whole':>12}{'slabs':>12}{'ratio':>8}{'whole':>9}{'slabs':>9}{'same':>6}")
    say(f"{'':>7}{'MiB':>9}{'peak MiB':>12}{'peak MiB':>12}{'':>8}{'s':>9}{'s':>9}")
    for whole, slabs in zip(rows[::2], rows[1::2], strict=True):
        say(
            f"{whole['slices']:>7}{whole['volume_mib']:>9.0f}{whole['peak_mib']:>12.0f}{slabs['peak_mib']:>12.0f}"
            f"{whole['peak_mib'] / slabs['peak_mib']:>8.1f}{whole['seconds']:>9.1f}{slabs['seconds']:>9.1f}"
            f"{'yes' if whole['label_sum'] == slabs['label_sum'] else 'NO':>6}"
        )
    if len(rows) > 2:
        grown = [rows[-2 + way]["peak_mib"] / rows[way]["peak_mib"] for way in (0, 1)]
        times = rows[-1]["slices"] / rows[0]["slices"]
        say(f"{times:g} times as many slices take {grown[0]:.1f} (whole) and {grown[1]:.1f} (slabs) times the memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
