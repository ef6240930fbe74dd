"""STAPLE by patterns of decisions beside SimpleITK's, voxel by voxel: time, peak memory and agreement.

    python -m benchmarks.staple [--raters 10] [--size 128] [--repeats 5] [--json FILE]

Raters are drawn from a seed: a ball with an uneven surface, each rater's shifted, scaled and dented anew. Both get them
in memory in their own form (a numpy array, ITK images) and give a probability map in float64; every round runs each
once, so that a load on the machine meets both, and medians are shown. SimpleITK stops by its own rule; ours is timed by
its own (which goes on for longer), and compared after as many iterations as SimpleITK did. Peak memory is that of a
process of its own that reads the raters from files and fuses them, less what it had before. Where the data sets
``drishti_gs`` (votes of four experts, as nested masks "more than k votes"), ``stare`` and ``chase_db1`` (two observers)
lie in ``CONCORD_DATA`` or ``../shared/data``, all their images are fused by both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import time_in_turn
from pipelines.console import progress, run_command, say
from transforms.io.atomic import write_json_atomic
from transforms.io.volume import read_volume
from transforms.label_fusion import staple_fusion
from transforms.rater_model import RaterModel
from transforms.rater_patterns import collect_patterns

DATA = Path(os.environ.get("CONCORD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ITK_ITERATIONS = 200
Map = NDArray[np.float64]


def drawn_rater(number: int, size: int) -> NDArray[np.uint8]:
    """A ball of a tenth of the volume as one rater would draw it."""
    from scipy import ndimage

    rng = np.random.default_rng(number)
    dents = ndimage.zoom(ndimage.gaussian_filter(rng.standard_normal((size // 4,) * 3), 2), 4, order=1)
    axes = [np.arange(size, dtype=np.float32) - size / 2 - rng.normal(0, size / 64) for _ in range(3)]
    radius = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij", sparse=True)) ** 0.5
    limit = 0.29 * size * rng.uniform(0.9, 1.1)
    return np.asarray(radius + size / 64 * dents / dents.std() < limit, np.uint8)


def ours(raters: Any, **options: Any) -> tuple[Map, RaterModel]:
    patterns = collect_patterns(raters)
    model = staple_fusion(patterns, **options)
    return patterns.spread(model.posterior[:, -1]), model


def itk_images(raters: Any) -> list[Any]:
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

    return [sitk.GetImageFromArray(np.asarray(rater, np.uint8)) for rater in raters]


def itk_staple(images: Sequence[Any]) -> tuple[Map, Any]:
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

    staple = sitk.STAPLEImageFilter()
    staple.SetForegroundValue(1)
    staple.SetMaximumIterations(ITK_ITERATIONS)
    return sitk.GetArrayFromImage(staple.Execute(images)), staple


def iterations_of(staple: Any) -> int:
    """How often SimpleITK estimated; it does not count the iteration after which it stops early."""
    elapsed = int(staple.GetElapsedIterations())
    return elapsed if elapsed == ITK_ITERATIONS else elapsed + 1


def compare(raters: Any, repeats: int) -> dict[str, Any]:
    """Seconds of both, and the largest differences after equally many iterations and by each one's own rule."""
    images = itk_images(raters)
    theirs, staple = itk_staple(images)
    same, model = ours(raters, max_iterations=iterations_of(staple), tolerance=0.0)
    final, own = ours(raters)
    rows = {"ours": lambda: ours(raters), "SimpleITK": lambda: itk_staple(images)}
    times = time_in_turn(rows, repeats)
    performance = np.abs(model.sensitivity[:, -1] - staple.GetSensitivity()).max()
    return {
        "seconds": {name: wall for name, (wall, _) in times.items()},
        "cpu_seconds": {name: cpu for name, (_, cpu) in times.items()},
        "ratio": times["SimpleITK"][0] / times["ours"][0],
        "cpu_ratio": times["SimpleITK"][1] / times["ours"][1],
        "iterations": {"ours": own.iterations, "SimpleITK": iterations_of(staple)},
        "difference_same_iterations": float(np.abs(same - theirs).max()),
        "difference_own_rules": float(np.abs(final - theirs).max()),
        "difference_sensitivity": float(performance),
        "voxels_decided_otherwise": int(np.count_nonzero((final > 0.5) != (theirs > 0.5))),
    }


def peak_memory(which: str, folder: Path) -> float:
    """MiB that a process of its own takes to fuse the raters in ``folder``, beyond what it has before."""
    command = [sys.executable, "-m", "benchmarks.staple", "--fuse", which, "--folder", str(folder)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return float(json.loads(done.stdout)["mib"])


def most_resident_kib() -> int:
    """The most memory that this process has had; getrusage would tell that of its parent too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def fuse_files(which: str, folder: Path) -> None:
    """Fuse the raters in ``folder`` and tell how much memory that took."""
    if which == "SimpleITK":
        itk_staple(itk_images(np.eye(4, dtype=np.uint8)[None].repeat(2, axis=0)))
    else:
        ours(np.eye(4)[None].repeat(2, axis=0))
    before = most_resident_kib()
    files = sorted(folder.glob("*.npy"))
    if which == "SimpleITK":
        itk_staple(itk_images(np.load(file) for file in files))
    else:
        ours(np.load(file) for file in files)
    say(json.dumps({"mib": (most_resident_kib() - before) / 1024}))


def real_raters(name: str) -> Iterator[NDArray[np.bool_]]:
    """The raters of each image of a data set, ``(R, H, W)``."""
    folder = DATA / name
    if name == "drishti_gs":
        for structure in ("labels_votes_disc", "labels_votes_cup"):
            for file in sorted((folder / structure).glob("*.png")):
                votes = read_volume(file).array
                yield np.stack([votes > count for count in range(4)])
        return
    for file in sorted((folder / "labels").glob("*.png")):
        yield np.stack([read_volume(folder / part / file.name).array > 0 for part in ("labels", "labels_2nd")])


def real_data(name: str) -> dict[str, Any] | None:
    """Both on every image of a data set; None where it is not at hand."""
    if not (DATA / name).is_dir():
        return None
    found = [compare(raters, 1) for raters in progress(real_raters(name), name)]
    return {
        "images": len(found),
        "ratio": float(np.median([each["ratio"] for each in found])),
        "cpu_ratio": float(np.median([each["cpu_ratio"] for each in found])),
        "difference_same_iterations": max(each["difference_same_iterations"] for each in found),
        "difference_own_rules": max(each["difference_own_rules"] for each in found),
        "voxels_decided_otherwise": sum(each["voxels_decided_otherwise"] for each in found),
        "not_converged_in_200": sum(each["iterations"]["SimpleITK"] == ITK_ITERATIONS for each in found),
    }


def tell(title: str, found: dict[str, Any]) -> None:
    say(title)
    if "seconds" in found:
        for name, wall in found["seconds"].items():
            cpu, steps = found["cpu_seconds"][name], found["iterations"][name]
            say(f"  {name:<10} {1e3 * wall:9.1f} ms wall {1e3 * cpu:9.1f} ms CPU, {steps} iterations")
    say(f"  SimpleITK takes {found['ratio']:.0f} times as long (CPU: {found['cpu_ratio']:.0f} times)")
    say(f"  largest difference of probability after equally many iterations {found['difference_same_iterations']:.1e}")
    say(
        f"  by each one's own stopping rule {found['difference_own_rules']:.1e}, "
        f"{found['voxels_decided_otherwise']} voxels decided otherwise"
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=10, metavar="N", help="drawn raters")
    parser.add_argument("--size", type=int, default=128, metavar="N", help="voxels along each axis, a multiple of 4")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds of the drawn raters")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--fuse", choices=("ours", "SimpleITK"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def run(args: argparse.Namespace) -> int:
    if args.fuse:
        fuse_files(args.fuse, args.folder)
        return 0
    raters = np.stack([drawn_rater(number, args.size) for number in range(args.raters)])
    found = compare(raters, args.repeats)
    tell(f"{args.raters} drawn raters, {args.size}^3", found)
    with tempfile.TemporaryDirectory() as folder:
        for number, rater in enumerate(raters):
            np.save(Path(folder) / f"{number:03}.npy", rater)
        found["peak_mib"] = {which: peak_memory(which, Path(folder)) for which in ("ours", "SimpleITK")}
        for number, rater in enumerate(np.repeat(raters, 3, axis=0)):
            np.save(Path(folder) / f"more_{number:03}.npy", np.roll(rater, number % 3, axis=0))
        found["peak_mib"]["ours, four times the raters"] = peak_memory("ours", Path(folder))
    for which, mib in found["peak_mib"].items():
        say(f"  peak memory beyond the start, {which}: {mib:.1f} MiB")
    results: dict[str, Any] = {"drawn": found}
    for name in ("drishti_gs", "stare", "chase_db1"):
        real = real_data(name)
        if real is None:
            say(f"{name}: left out, it is not in {DATA}")
            continue
        results[name] = real
        tell(f"{name}, {real['images']} images (SimpleITK not converged in 200: {real['not_converged_in_200']})", real)
    if args.json:
        write_json_atomic(args.json, results)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
