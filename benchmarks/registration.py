"""Registration of hippocampi: ours, the published package and SimpleITK's B-spline on the same pairs.

    python -m benchmarks.registration [--pairs N] [--package-python PYTHON]

Pairs of labelled cases (10 phantoms where the hippocampus data set is not at hand) are registered on one core. Printed
are the mean Dice of the transferred label at the start, after the affine stage and at the end, the share of folded
voxels and the CPU seconds of a pair. ``--package-python`` names the interpreter of another environment in which
``convexAdam`` is installed: the package is given our affine alignment, so that the deformable parts are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from pipelines.data.dataset import Case, read_dataset
from pipelines.data.phantoms import make_cohort
from pipelines.registration.grids import inverse
from pipelines.registration.pair import Registration, Scan, register_pair
from pipelines.registration.pair_job import mean_dice, read_label, read_scan
from pipelines.registration.settings import AffineSettings, ConvexAdamSettings, PairSettings
from pipelines.registration.transformation import Transformation, jacobian_statistics, warp_image, warp_label
from transforms.io.atomic import write_json_atomic

Pair = tuple[Scan, np.ndarray, Scan, np.ndarray]
_PACKAGE = """
import sys, time, numpy as np, torch
torch.set_num_threads(1)
from convexAdam.convex_adam_MIND import convex_adam_pt
with np.load(sys.argv[1]) as pair:
    begun = time.process_time()
    field = convex_adam_pt(pair["fixed"], pair["moving"], grid_sp=int(sys.argv[3]), device=torch.device("cpu"),
                           dtype=torch.float32)
np.savez(sys.argv[2], field=field, seconds=time.process_time() - begun)
"""


def data_folder() -> Path | None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CONCORD_DATA", beside)) / "hippocampus"
    return folder if folder.is_dir() else None


def load(case: Case) -> tuple[Scan, np.ndarray]:
    scan = read_scan(case.images[0])
    if case.label is None:
        raise ValueError(f"{case.case_id} has no label")
    return scan, read_label(case.label, scan.grid)


def pairs_of(count: int, seed: int) -> list[Pair]:
    folder = data_folder()
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            make_cohort("two_class", scratch, 10, labeled=10, unlabeled=0, test=0, seed=seed)
        cases = [case for case in read_dataset(folder or scratch).training if case.label is not None]
        drawn = np.random.default_rng(seed).permutation(len(cases))[: 2 * count]
        loaded = [load(cases[number]) for number in drawn]
    return [(*atlas, *target) for atlas, target in zip(loaded[::2], loaded[1::2], strict=False)]


def by_package(python: Path, pair: Pair, cell: int) -> tuple[Registration, float]:
    """Our affine, then the package's field; the seconds are of both."""
    atlas, _, target, _ = pair
    begun = time.process_time()
    quick = ConvexAdamSettings(affine=AffineSettings(), adam_steps=0)
    found = register_pair(target, atlas, PairSettings(convex_adam=quick))
    seconds = time.process_time() - begun
    aligned = warp_image(atlas.array, atlas.grid, found.affine, target.grid)
    with tempfile.TemporaryDirectory() as scratch:
        given, taken = Path(scratch) / "pair.npz", Path(scratch) / "field.npz"
        np.savez(given, fixed=target.array, moving=aligned)
        command = [str(python), "-c", _PACKAGE, str(given), str(taken), str(cell)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
        with np.load(taken) as result:
            field = torch.from_numpy(np.moveaxis(result["field"], -1, 0).astype(np.float32).copy())
            seconds += float(result["seconds"])
    after = found.affine.after @ inverse(found.affine.grid.matrix) @ target.grid.matrix
    final = Transformation(target.grid, after, field)
    return Registration(found.start, found.affine, final, found.similarity), seconds


def by_us(settings: PairSettings, pair: Pair) -> tuple[Registration, float]:
    begun = time.process_time()
    found = register_pair(pair[2], pair[0], settings)
    return found, time.process_time() - begun


def measure(name: str, run: Callable[[Pair], tuple[Registration, float]], pairs: Sequence[Pair]) -> dict[str, object]:
    rows = []
    for pair in pairs:
        atlas, atlas_label, target, target_label = pair
        found, seconds = run(pair)
        stages = (found.start, found.affine, found.final)
        dices = [mean_dice(warp_label(atlas_label, atlas.grid, stage, target.grid), target_label) for stage in stages]
        jacobian = jacobian_statistics(found.final, target.grid)
        rows.append((*dices, 100 * jacobian.folded_share, jacobian.log_deviation, seconds))
    means = np.mean(rows, axis=0)
    print(f"{name:36}" + "".join(f"{value:10.3f}" for value in means), flush=True)
    keys = ("dice_start", "dice_affine", "dice_final", "folded_percent", "jacobian_log_deviation", "cpu_seconds")
    return {"name": name, "pairs": len(pairs), **dict(zip(keys, means.tolist(), strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10, help="how many pairs (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of the pairs")
    parser.add_argument("--package-python", type=Path, metavar="PYTHON", help="interpreter that has convexAdam")
    parser.add_argument("--skip-simpleitk", action="store_true", help="SimpleITK takes ten times as long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = pairs_of(args.pairs, args.seed)
    print(f"{len(pairs)} pairs of {'hippocampi' if data_folder() else 'phantoms'}, one core")
    print(f"{'':36}{'start':>10}{'affine':>10}{'Dice':>10}{'folded %':>10}{'sd log J':>10}{'CPU s':>10}")
    rows = [measure("ours, ConvexAdam", lambda pair: by_us(PairSettings(), pair), pairs)]
    if args.package_python is None:
        print("convexAdam package: skipped, --package-python names no environment that has it")
    else:
        for cell in (3, 6):
            name = f"our affine + convexAdam, grid_sp {cell}"
            rows.append(measure(name, lambda pair, cell=cell: by_package(args.package_python, pair, cell), pairs))
    if not args.skip_simpleitk:
        settings = PairSettings(engine="simpleitk")
        rows.append(measure("SimpleITK, affine + B-spline", lambda pair: by_us(settings, pair), pairs))
    if args.json:
        write_json_atomic(args.json, rows)


if __name__ == "__main__":
    main()
