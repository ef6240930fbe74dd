"""Time of the metrics beside what others take for the same set, and of the largest component.

Run from the root of the repository: ``python -m benchmarks.metrics [--repeats 7] [--data DIR]``. The repeats are
interleaved, so that a busy machine slows all rows alike; each row is a median. Times are told apart as wall and CPU
time: where the rows use one thread, trust the ratio of CPU times. Packages that are not installed are left out with a
reason.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import time_in_turn
from pipelines.console import run_command, say
from pipelines.metrics.overlap import count_overlap
from pipelines.metrics.surface_distances import compute_surface_distances

Mask = NDArray[np.bool_]
Spacing = tuple[float, ...]
Row = Callable[[], Any]

_TOLERANCE_MM = 2.0


def phantom_pairs(seed: int) -> dict[str, tuple[Mask, Mask, Spacing]]:
    """Seeded shapes with a prediction that is a little off: solid, thin and spongy, isotropic and not."""
    from scipy import ndimage

    generator = np.random.default_rng(seed)
    grid = np.indices((160, 160, 96), dtype=np.float32)
    centre = np.array([80, 80, 48], np.float32).reshape(3, 1, 1, 1)
    ball = ((grid - centre) ** 2).sum(axis=0) <= 40**2
    field = ndimage.gaussian_filter(generator.normal(size=(128, 128, 64)).astype(np.float32), 3)
    flat = ndimage.gaussian_filter(generator.normal(size=(768, 768)).astype(np.float32), 6)
    vessels = np.abs(flat) < 0.004
    return {
        "ball 160x160x96, 1 mm": (np.roll(ball, 2, axis=0), ball, (1.0, 1.0, 1.0)),
        "ball 160x160x96, 0.8x0.8x2.5 mm": (np.roll(ball, 2, axis=2), ball, (0.8, 0.8, 2.5)),
        "sponge 128x128x64, 1 mm": (np.roll(field, 1, axis=0) > 0, field > 0, (1.0, 1.0, 1.0)),
        "vessels 768x768, 1 mm": (np.roll(vessels, 1, axis=1), vessels, (1.0, 1.0)),
    }


def atrium_pair(folder: Path) -> tuple[Mask, Mask, Spacing]:
    """The first left atrium label of a data set; the prediction is the label moved by two voxels and smoothed."""
    import nibabel as nib
    from scipy import ndimage

    image: Any = nib.load(sorted((folder / "labels").glob("*.nii.gz"))[0])
    label = np.ascontiguousarray(np.asarray(image.dataobj) > 0)
    pred = ndimage.gaussian_filter(np.roll(label, 2, axis=0).astype(np.float32), 1) > 0.5
    return pred, label, tuple(float(size) for size in image.header.get_zooms()[:3])


def metric_rows(pred: Mask, reference: Mask, spacing: Spacing) -> tuple[dict[str, Row], list[str]]:
    """Name -> what to time, and why some rows are missing."""
    rows = {
        "Concord, Dice HD95 ASD, 1 thread": lambda: _concord(pred, reference, spacing, 1),
        "Concord, Dice HD95 ASD, all cores": lambda: _concord(pred, reference, spacing, None),
        "Concord, + ASSD HD NSD, 1 thread": lambda: _concord_more(pred, reference, spacing),
        "MONAI, Dice HD95 ASD": _monai(pred, reference, spacing),
    }
    missing = []
    for package, name, build in [
        ("surface_distance", "surface-distance, Dice HD95 ASD", _deepmind),
        ("SimpleITK", "SimpleITK, Dice HD (no 95) mean HD", _simpleitk),
        ("medpy", "MedPy, Dice Jaccard HD95 ASD", _medpy),
    ]:
        if find_spec(package) is None:
            missing.append(f"{name}: left out, package {package} is not installed")
        else:
            rows[name] = build(pred, reference, spacing)
    return rows, missing


def _concord(pred: Mask, reference: Mask, spacing: Spacing, threads: int | None) -> tuple[float, ...]:
    distances = compute_surface_distances(pred, reference, spacing, threads)
    return count_overlap(pred, reference).dice, distances.hd95, distances.asd_medpy


def _concord_more(pred: Mask, reference: Mask, spacing: Spacing) -> tuple[float, ...]:
    overlap, distances = count_overlap(pred, reference), compute_surface_distances(pred, reference, spacing, 1)
    return (
        *(overlap.dice, distances.hd95, distances.asd_medpy, overlap.jaccard),
        *(distances.assd, distances.hd, distances.nsd(_TOLERANCE_MM)),
    )


def _monai(pred: Mask, reference: Mask, spacing: Spacing) -> Row:
    import torch
    from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance

    p, r = (torch.from_numpy(mask)[None, None] for mask in (pred, reference))  # (1, 1, H, W[, D])
    options: dict[str, Any] = {"include_background": True, "spacing": spacing}
    return lambda: (
        compute_dice(p, r).item(),
        compute_hausdorff_distance(p, r, percentile=95, **options).item(),
        compute_average_surface_distance(p, r, **options).item(),
    )


def _deepmind(pred: Mask, reference: Mask, spacing: Spacing) -> Row:
    import surface_distance

    def measure() -> tuple[float, ...]:
        distances = surface_distance.compute_surface_distances(reference, pred, spacing)
        return (
            surface_distance.compute_dice_coefficient(reference, pred),
            surface_distance.compute_robust_hausdorff(distances, 95),
            surface_distance.compute_average_surface_distance(distances)[1],
        )

    return measure


def _simpleitk(pred: Mask, reference: Mask, spacing: Spacing) -> Row:
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (pred, reference)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    overlap, hausdorff = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()

    def measure() -> tuple[float, ...]:
        overlap.Execute(*images)
        hausdorff.Execute(*images)
        return overlap.GetDiceCoefficient(), hausdorff.GetHausdorffDistance(), hausdorff.GetAverageHausdorffDistance()

    return measure


def _medpy(pred: Mask, reference: Mask, spacing: Spacing) -> Row:
    from medpy.metric import binary

    return lambda: (
        binary.dc(pred, reference),
        binary.hd95(pred, reference, spacing),
        binary.asd(pred, reference, spacing),
        binary.jc(pred, reference),
    )


def component_rows(mask: Mask, seed: int) -> dict[str, Row]:
    """The largest piece of ``mask`` strewn with specks: ours and MONAI's."""
    from monai.transforms import KeepLargestConnectedComponent

    from transforms.keep_largest import KeepLargestComponent

    img = (mask | (np.random.default_rng(seed).random(mask.shape) < 0.002)).astype(np.uint8)[None]  # (1, H, W, D)
    ours, theirs = KeepLargestComponent(labels=[1]), KeepLargestConnectedComponent(applied_labels=[1])
    return {"Concord": lambda: (int(ours(img).sum()),), "MONAI": lambda: (int(theirs(img).sum()),)}


def time_side_by_side(rows: dict[str, Row], repeats: int, beside: str) -> None:
    """Run every row once per round, and print medians and their ratio to the row ``beside``."""
    results = {name: row() for name, row in rows.items()}  # the first round warms up and is not timed
    seconds = time_in_turn(rows, repeats)
    base_wall, base_cpu = seconds[beside]
    say(f"  {'median of ' + str(repeats):36}{'wall ms':>9}{'ratio':>7}{'CPU ms':>9}{'ratio':>7}   result")
    for name, (w, c) in seconds.items():
        found = " ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in results[name])
        say(f"  {name:36}{1e3 * w:9.1f}{base_wall / w:7.2f}{1e3 * c:9.1f}{base_cpu / c:7.2f}   {found}")


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.metrics", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds (default: 7)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the phantoms (default: 0)")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("CONCORD_DATA"),
        help="folder that holds the data set la2018 (default: $CONCORD_DATA); without it only phantoms are measured",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print every table."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    pairs = phantom_pairs(args.seed)
    atria = Path(args.data) / "la2018" if args.data else None
    if atria and (atria / "labels").is_dir():
        pairs["left atrium, moved and smoothed"] = atrium_pair(atria)
    else:
        say("left atrium: left out, --data names no folder with la2018/labels")
    say("ratio: MONAI's time over the row's, so above 1 is faster than MONAI")
    for title, (pred, reference, spacing) in pairs.items():
        say(f"{title}: surface distances")
        rows, missing = metric_rows(pred, reference, spacing)
        time_side_by_side(rows, args.repeats, beside="MONAI, Dice HD95 ASD")
        for line in missing:
            say(f"  {line}")
    title, (_, mask, _) = list(pairs.items())[-1] if len(pairs) > 4 else next(iter(pairs.items()))
    say(f"{title}, with specks: largest component")
    time_side_by_side(component_rows(mask, args.seed), args.repeats, beside="MONAI")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
