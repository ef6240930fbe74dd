"""CT to MR and PET to CT after a known deformation: how much of it registration finds.

    python -m benchmarks.cross_modality [--cases N] [--spacing MM] [--engine ENGINE] [--affine STAGE] [--rest]

Scans of one person lie in one physical frame (data set sts_ct_mr_pet). The moving scan is warped by a smooth random
deformation that is known, and registered back to the fixed scan of the other modality. Printed are the mean distance
in mm of the places found from the true ones within the tumour and in all of the fixed scan's body that the moving scan
covers, before (nothing found) and after, and the Dice of the transferred tumour. The frame is shared by the headers;
CT and MR were not taken on one table, so that skin and bone lie some millimetres apart and no engine reaches 0:
``--rest`` registers the undeformed scan too and prints how far that moves it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from pipelines.data.dataset import Case, read_dataset
from pipelines.registration.grids import apply, inverse
from pipelines.registration.pair import Scan, register_pair
from pipelines.registration.pair_job import mean_dice, read_label, read_scan
from pipelines.registration.settings import PairSettings
from pipelines.registration.transformation import Transformation, warp_label
from transforms.io.atomic import write_json_atomic

KEYS = {"CT": ("", ""), "MR": ("mr_t1", "mr_t1_label"), "PET": ("pet", "pet_label")}
WAYS = (("CT", "MR"), ("PET", "CT"))
KNOT_MM = 40.0


def load(root: Path, case: Case, modality: str) -> tuple[Scan, np.ndarray]:
    image, label = KEYS[modality]
    if not image:
        scan = read_scan(case.images[0])
        return scan, read_label(case.label or root, scan.grid)
    scan = read_scan(root / case.extras[image])
    return scan, read_label(root / case.extras[label], scan.grid)


def random_field(scan: Scan, amplitude_mm: float, seed: int) -> np.ndarray:
    """Smooth displacements ``(3, *shape)`` in mm; in the middle their root mean square length is ``amplitude_mm``."""
    rng = np.random.default_rng(seed)
    sigma = KNOT_MM / 2 / scan.grid.spacing_mm
    field = np.stack([gaussian_filter(rng.standard_normal(scan.grid.shape), sigma, mode="reflect") for _ in range(3)])
    middle = tuple(slice(size // 4, size - size // 4) for size in scan.grid.shape)
    return np.asarray(field * amplitude_mm / np.sqrt((field[(slice(None), *middle)] ** 2).sum(0).mean()))


def deform(scan: Scan, label: np.ndarray, field_mm: np.ndarray) -> tuple[Scan, np.ndarray]:
    """The scan whose voxel x shows the undeformed scan at x + field(x)."""
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in scan.grid.shape), indexing="ij"))
    steps = np.einsum("ij,j...->i...", inverse(scan.grid.matrix)[:3, :3], field_mm)
    image = map_coordinates(scan.array, indices + steps, order=1, mode="nearest")
    moved = map_coordinates((label > 0).astype(float), indices + steps, order=1, mode="nearest") > 0.5
    return replace(scan, array=image.astype(np.float32)), moved.astype(np.uint8)


def error_mm(found: Transformation, fixed: Scan, moving: Scan, field_mm: np.ndarray, where: np.ndarray) -> float:
    """Mean distance after both ways: from a fixed place into the deformed scan, and on by the known deformation."""
    places = found.atlas_points(fixed.grid).numpy()[where]
    indices = apply(inverse(moving.grid.matrix), places).T
    steps = np.stack([map_coordinates(part, indices, order=1, mode="nearest") for part in field_mm], axis=-1)
    true = apply(fixed.grid.matrix, np.argwhere(where).astype(float))
    return float(np.linalg.norm(places + steps - true, axis=-1).mean())


def covered(fixed: Scan, moving: Scan) -> np.ndarray:
    """Which voxels of the fixed scan show more than air and lie well within the moving field of view."""
    low, high = np.percentile(fixed.array, (1, 99))
    body = fixed.array > low + 0.1 * (high - low)
    indices = np.moveaxis(np.indices(fixed.grid.shape), 0, -1).astype(float)
    places = apply(inverse(moving.grid.matrix) @ fixed.grid.matrix, indices)
    margin = 15 / moving.grid.spacing_mm
    return np.asarray(body & ((places > margin) & (places < np.array(moving.grid.shape) - 1 - margin)).all(-1))


def told(name: str, row: Mapping[str, Any]) -> str:
    parts = [f"{row[f'{key}_before']:10.2f} ->{row[f'{key}_after']:8.2f}" for key in ("tumour_mm", "overall_mm")]
    dice = f"{row['dice_before']:8.3f} ->{row['dice_after']:6.3f}"
    rest = f"{row['rest_mm']:10.2f}" if "rest_mm" in row else ""
    return f"{name:28}{parts[0]:>24}{parts[1]:>24}{dice:>18}{row['cpu_seconds']:8.1f}{rest}"


def print_means(rows: Sequence[Mapping[str, Any]]) -> None:
    for way in (f"{source} to {goal}" for source, goal in WAYS):
        ours = [row for row in rows if row["way"] == way]
        numbers = [name for name, value in ours[0].items() if isinstance(value, float)]
        print(told(f"mean, {way}", {name: np.mean([row[name] for row in ours]) for name in numbers}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=3, help="how many people (default: 3)")
    parser.add_argument("--spacing", type=float, default=2.5, help="working grid in mm (default: 2.5)")
    parser.add_argument("--amplitude", type=float, default=8.0, help="of the deformation in mm (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the deformation of the first person (default: 0)")
    parser.add_argument("--engine", default="convexadam", help="convexadam or simpleitk")
    parser.add_argument("--affine", default="none", help="before the deformation: none (default), rigid or affine")
    parser.add_argument("--rest", action="store_true", help="register the undeformed scans too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("CONCORD_DATA", beside)) / "sts_ct_mr_pet"
    if not root.is_dir():
        print("skipped: the sts_ct_mr_pet data set is not at hand (CONCORD_DATA)")
        return 0
    settings = PairSettings(args.engine, "header", args.affine, args.spacing)
    columns = f"{'error in tumour, mm':>24}{'error overall, mm':>24}{'Dice':>18}{'CPU s':>8}"
    print(" " * 28 + columns + (f"{'rest, mm':>10}" if args.rest else ""))
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(read_dataset(root).training[: args.cases]):
        for source, goal in WAYS:
            (moving, moving_label), (fixed, fixed_label) = load(root, case, source), load(root, case, goal)
            field = random_field(moving, args.amplitude, args.seed + number)
            deformed, deformed_label = deform(moving, moving_label, field)
            begun = time.process_time()
            found = register_pair(fixed, deformed, settings)
            seconds = time.process_time() - begun
            inside = covered(fixed, moving)
            row: dict[str, Any] = {"case": case.case_id, "way": f"{source} to {goal}", "cpu_seconds": seconds}
            for stage, done in (("before", found.start), ("after", found.final)):
                row[f"tumour_mm_{stage}"] = error_mm(done, fixed, moving, field, fixed_label > 0)
                row[f"overall_mm_{stage}"] = error_mm(done, fixed, moving, field, inside)
                carried = warp_label(deformed_label, deformed.grid, done, fixed.grid)
                row[f"dice_{stage}"] = mean_dice(carried, (fixed_label > 0).astype(np.uint8))
            if args.rest:
                still = register_pair(fixed, moving, settings).final
                row["rest_mm"] = error_mm(still, fixed, moving, np.zeros_like(field), inside)
            row |= {f"similarity_{stage}": value for stage, value in found.similarity.items()}
            rows.append(row)
            print(told(f"{case.case_id} {source} to {goal}", row), flush=True)
    print_means(rows)
    if args.json:
        write_json_atomic(args.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
