"""Signed distance maps and foreground patches: time and differences beside what others do for the same result.

    python -m benchmarks.signed_distance [--repeats N] [--json FILE]

Every round runs each implementation once, so that a load on the machine meets all of them; medians are shown. Shapes
are drawn from a seed; a left-atrium label is added when the data set ``la2018`` lies in ``CONCORD_DATA`` or
``../shared/data``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import edt
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import RandCropByPosNegLabeld
from monai.transforms.utils import distance_transform_edt
from scipy import ndimage
from skimage.segmentation import find_boundaries

from transforms.euclidean_distance import available_threads, signed_distance
from transforms.foreground_patches import RandForegroundPatchd
from transforms.io.atomic import write_json_atomic
from transforms.io.volume import read_volume

PATCH, FULL = (112, 112, 80), (183, 140, 88)
Run = Callable[[], np.ndarray]
Row = dict[str, object]


def published_recipe(mask: np.ndarray) -> np.ndarray:
    """The target of dual-task consistency step by step: two transforms, each scaled to [0, 1], inner boundary to 0."""
    outer, inner = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    boundary = find_boundaries(mask, mode="inner").astype(np.uint8)
    outer = (outer - outer.min()) / (outer.max() - outer.min())
    inner = (inner - inner.min()) / (inner.max() - inner.min())
    distances = outer - inner
    distances[boundary == 1] = 0
    return distances[None]


def two_scipy(mask: np.ndarray) -> np.ndarray:
    return (ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask))[None]


def two_monai(mask: np.ndarray) -> np.ndarray:
    return np.asarray(distance_transform_edt(~mask[None])) - np.asarray(distance_transform_edt(mask[None]))


def edt_sdf(mask: np.ndarray, threads: int) -> np.ndarray:
    return -edt.sdf(mask, black_border=False, parallel=threads)[None]


def drawn_mask(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A body with an uneven surface that fills about a tenth of the volume."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 6)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij", sparse=True)
    radius = sum(axis**2 for axis in axes) ** 0.5
    surface = radius - 0.35 * field / np.abs(field).max()
    return np.asarray(surface < np.quantile(surface, 0.1))


def atrium_mask() -> np.ndarray | None:
    """The first label of the left-atrium set, when it is there."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CONCORD_DATA", beside)) / "la2018" / "labels"
    files = sorted(folder.glob("*.nii.gz")) if folder.is_dir() else []
    if not files:
        return None
    return np.asarray(read_volume(files[0]).array > 0)


def centre_patch(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    middle = np.round(np.argwhere(mask).mean(axis=0)).astype(int)
    starts = [min(max(c - n // 2, 0), max(size - n, 0)) for c, n, size in zip(middle, shape, mask.shape, strict=True)]
    return np.ascontiguousarray(mask[tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))])


def interleaved(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall and CPU milliseconds of each run."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return {name: tuple(np.median(np.array(rows), axis=0).tolist()) for name, rows in times.items()}


def show(title: str, runs: dict[str, Run], ours: str, reference: str, repeats: int) -> list[Row]:
    """Print one table: times, times over ours, largest difference to the reference."""
    outputs = {name: run() for name, run in runs.items()}
    times = interleaved(runs, repeats)
    print(f"\n{title}\n{'':34}{'wall ms':>9}{'CPU ms':>9}{'x wall':>8}{'x CPU':>8}{'max diff':>11}")
    rows: list[Row] = []
    for name, (wall, cpu) in times.items():
        worst = float(np.abs(np.asarray(outputs[name], np.float64) - outputs[reference]).max())
        print(f"{name:34}{wall:9.1f}{cpu:9.1f}{wall / times[ours][0]:8.2f}{cpu / times[ours][1]:8.2f}{worst:11.1e}")
        rows.append({"table": title, "name": name, "wall_ms": wall, "cpu_ms": cpu, "max_difference": worst})
    return rows


def distance_tables(name: str, mask: np.ndarray, repeats: int) -> list[Row]:
    label, cores = mask.astype(np.uint8), available_threads()
    title = f"{name}, {'x'.join(map(str, mask.shape))}, {100 * mask.mean():.1f} % foreground"
    dtc: dict[str, Run] = {"Concord dtc, 1 thread": partial(signed_distance, label, mode="dtc", threads=1)}
    metric: dict[str, Run] = {"Concord metric, 1 thread": partial(signed_distance, label, threads=1)}
    if cores > 1:
        dtc[f"Concord dtc, {cores} threads"] = partial(signed_distance, label, mode="dtc", threads=cores)
        metric[f"Concord metric, {cores} threads"] = partial(signed_distance, label, threads=cores)
    dtc["published recipe"] = partial(published_recipe, mask)
    metric["edt.sdf, 1 thread"] = partial(edt_sdf, mask, 1)
    metric["scipy, two transforms"] = partial(two_scipy, mask)
    metric["MONAI, two transforms"] = partial(two_monai, mask)
    return show(f"dtc: {title}", dtc, "Concord dtc, 1 thread", "published recipe", repeats) + show(
        f"metric: {title}", metric, "Concord metric, 1 thread", "scipy, two transforms", repeats
    )


def patch_table(mask: np.ndarray, repeats: int) -> list[Row]:
    """One 64x64x48 patch out of a cached volume; the places are random, so there is no difference to show."""
    label = MetaTensor(torch.from_numpy(mask.astype(np.float32))[None])
    data: dict[Any, Any] = {
        "image": MetaTensor(torch.rand(label.shape, generator=torch.Generator().manual_seed(0))),
        "label": label,
    }
    keys, size = ("image", "label"), (64, 64, 48)
    ours, theirs = RandForegroundPatchd(keys, "label", size), RandCropByPosNegLabeld(keys, "label", size)
    for crop in (ours, theirs):
        crop.set_random_state(0)
    runs: dict[str, Callable[[], object]] = {
        "RandForegroundPatchd": partial(ours, data),
        "MONAI RandCropByPosNegLabeld": partial(theirs, data),
    }
    times = interleaved(runs, 5 * repeats)
    title = f"one patch of {'x'.join(map(str, size))} from {'x'.join(map(str, mask.shape))}, image and label"
    print(f"\n{title}\n{'':34}{'wall ms':>9}{'CPU ms':>9}{'x wall':>8}{'x CPU':>8}")
    unit = times["RandForegroundPatchd"]
    for name, (wall, cpu) in times.items():
        print(f"{name:34}{wall:9.1f}{cpu:9.1f}{wall / unit[0]:8.2f}{cpu / unit[1]:8.2f}")
    return [{"table": title, "name": name, "wall_ms": wall, "cpu_ms": cpu} for name, (wall, cpu) in times.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=3, help="rounds after the first, which is not counted (default: 3)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    full, atrium = drawn_mask(FULL), atrium_mask()
    cases = [("drawn body, patch", centre_patch(full, PATCH)), ("drawn body, full volume", full)]
    if atrium is not None:
        cases += [("left atrium, patch", centre_patch(atrium, PATCH)), ("left atrium, full volume", atrium)]
    rows = [row for name, mask in cases for row in distance_tables(name, mask, args.repeats)]
    rows += patch_table(full, args.repeats)
    if args.json:
        write_json_atomic(args.json, rows)


if __name__ == "__main__":
    main()
