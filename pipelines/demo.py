"""Show the whole path on phantoms or on your data: train, evaluate, export, run the bundle, report.

    concord demo --output demo

Everything lands in the output folder: the phantoms in ``data``, the training in ``run``, one case's masks in ``infer``
(by Concord) and ``monai`` (by ``python -m monai.bundle run``, which must give the same mask), a phantom as a DICOM
series with its DICOM SEG, report and overlay in ``dicom``, and ``demo.json``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.concord import run_named
from pipelines.console import EXIT_DONE, EXIT_FAULT, add_run_arguments, claim_output, command_parser, run_command, say
from pipelines.data.dataset import read_dataset
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

RESULT = "demo.json"
CASES = 24
LOWEST_DICE = 0.85
# Voxels where rounding may put two forms of one network on different sides of the decision.
LARGEST_DIFFERENCE = 1e-5


class StepError(Exception):
    """A step of the demo ended with an exit status other than 0, and has told why."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"exit status {status}")


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser(
        "demo",
        "Train DTC on phantoms (or on your own data), evaluate it on held-out cases, export the bundle, run that "
        "bundle with stock MONAI on one case, and say where the report is. Minutes on 2 CPU cores.",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="your data set folder, 3D, one channel; phantoms are made by default"
    )
    add_run_arguments(parser, output="where everything goes")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the steps one after the other; the first that fails ends the demo with its exit status."""
    began = time.monotonic()
    if args.data is not None:
        read_dataset(args.data)  # refuses before anything is written
    output = _claim(args.output, overwrite=args.overwrite)
    try:
        data = args.data or _make_phantoms(output, args.seed)
        dice = _train(data, output / "run", args)
        image = _nifti_case(data)
        if image is not None:
            _compare_masks(image, output, args.device)
        if image is not None and args.data is None:
            _segment_dicom(image, output, args.device)
    except StepError as failed:
        return failed.status
    seconds = time.monotonic() - began
    write_json_atomic(output / RESULT, {"state": "done", "mean_dice": dice, "seconds": round(seconds, 1)})
    _tell(output, dice, seconds)
    if args.data is None and (dice is None or dice < LOWEST_DICE):
        sys.stderr.write(f"The demo did not learn: the mean Dice on phantoms should be {LOWEST_DICE} or better.\n")
        return EXIT_FAULT
    return EXIT_DONE


def _claim(output: Path, *, overwrite: bool) -> Path:
    """Take the output folder, emptied of what an earlier demo left there and of nothing else."""
    ours = (output / RESULT).is_file()
    if output.is_dir() and any(output.iterdir()) and not ours:
        raise InputError(output, "is not empty and no demo wrote it; choose a folder that is new or empty")
    claim_output(output, overwrite=overwrite, finished_by=RESULT)
    for name in ("data", "run", "infer", "monai", "dicom"):
        if (output / name).is_dir():
            shutil.rmtree(output / name)
    write_json_atomic(output / RESULT, {"state": "unfinished"})
    return output.resolve()


def _make_phantoms(output: Path, seed: int) -> Path:
    _command("make_phantom", "--kind", "atrium", "--cases", CASES, "--output", output / "data", "--seed", seed)
    return output / "data"


def _train(data: Path, folder: Path, args: argparse.Namespace) -> float | None:
    """Train, evaluate and export; give the mean Dice on the test cases, None when there are none."""
    overlays = ("quick", "demo") if args.data is None else ("quick",)
    options = [option for overlay in overlays for option in ("--overlay", overlay)]
    where = ("--seed", args.seed, "--device", args.device)
    _command("train_dtc", "--bundle", "left_atrium_dtc", *options, "--data", data, "--output", folder, *where)
    summary = folder / "summary.json"
    if not summary.is_file():
        return None
    dice: float | None = json.loads(summary.read_text(encoding="utf-8"))["aggregate"]["mean"]["dice"]["mean"]
    return dice


def _nifti_case(data: Path) -> Path | None:
    """Give an image that stock MONAI reads, of a test case if there is one."""
    dataset = read_dataset(data)
    for case in (*dataset.test, *dataset.unlabeled, *dataset.training):
        if len(case.images) == 1 and case.images[0].name.endswith((".nii", ".nii.gz")):
            return case.images[0]
    say("no image of one NIfTI file: stock MONAI is not run on a case")
    return None


def _compare_masks(image: Path, output: Path, device: str) -> None:
    """Segment one image by Concord and by stock MONAI; the masks must be the same."""
    bundle = output / "run" / "bundle"
    _command("infer", "--bundle", bundle, "--input", image, "--output", output / "infer", "--device", device)
    images = output / "monai" / "images"
    images.mkdir(parents=True)
    shutil.copyfile(image, images / image.name)
    _run_bundle(bundle, images, output / "monai" / "masks", device)
    differing, voxels = _count_differences(output / "infer", output / "monai" / "masks")
    say(f"the two masks differ in {differing} of {voxels} voxels")
    if differing > LARGEST_DIFFERENCE * voxels:
        raise RuntimeError(f"stock MONAI gives another mask than concord infer: {differing} of {voxels} voxels")


def _run_bundle(bundle: Path, images: Path, masks: Path, device: str) -> None:
    settings: dict[str, Any] = {"config_file": bundle / "configs" / "inference.json", "bundle_root": bundle}
    settings |= {"dataset_dir": images, "output_dir": masks}
    if device != "auto":
        settings["device"] = f"$torch.device('{device}')"
    options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    _announce("python", "-m", "monai.bundle", "run", *options)
    # From another folder, so that nothing of a checkout is found by accident.
    command = [sys.executable, "-m", "monai.bundle", "run", *options]
    done = subprocess.run(command, cwd=images.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (images.parent / "log.txt").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        sys.stderr.write(done.stdout[-2000:])
        raise StepError(EXIT_FAULT)


def _segment_dicom(image: Path, output: Path, device: str) -> None:
    """Write a phantom as a DICOM series and segment that, as one from a scanner."""
    import numpy as np

    from transforms.io.dicom_images import write_dicom_series
    from transforms.io.volume import read_volume

    volume = read_volume(image)
    series, results = output / "dicom" / "series", output / "dicom" / "results"
    write_dicom_series(series, np.round(volume.array), volume.affine, name="Concord phantom")
    bundle = output / "run" / "bundle"
    _command("infer_dicom", "--bundle", bundle, "--input", series, "--output", results, "--device", device)


def _count_differences(folder: Path, other: Path) -> tuple[int, int]:
    """Compare the one mask in each folder: voxels that differ, and voxels in all."""
    import numpy as np

    from transforms.io.volume import read_volume

    files = [sorted(place.rglob("*.nii*")) for place in (folder, other)]
    if [len(found) for found in files] != [1, 1]:
        raise RuntimeError(f"there should be one mask each in {folder} and {other}")
    mask, second = (read_volume(found[0]) for found in files)
    if mask.array.shape != second.array.shape or not np.allclose(mask.affine, second.affine, atol=1e-4):
        raise RuntimeError(f"{files[0][0]} and {files[1][0]} lie on different grids")
    return int(np.count_nonzero(mask.array != second.array)), int(mask.array.size)


def _command(name: str, *arguments: Any) -> None:
    """Run one of our commands, after telling the user how to run it by hand."""
    argv = [str(argument) for argument in arguments]
    _announce("concord", name, *argv)
    status = run_named(name, argv)
    if status:
        raise StepError(status)


def _announce(*words: str) -> None:
    say(f"\n$ {shlex.join(words)}")


def _tell(output: Path, dice: float | None, seconds: float) -> None:
    say(f"\nDone in {int(seconds) // 60} min {int(seconds) % 60} s.")
    say(f"mean Dice    {'no labelled test case' if dice is None else f'{dice:.3f} on held-out cases'}")
    for title, place in (("report", "run/report.html"), ("overlays", "run/pictures"), ("bundle", "run/bundle")):
        say(f"{title:<12} {output / place}")
    if (output / "dicom" / "results").is_dir():
        say(f"DICOM        {output / 'dicom' / 'results'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
