"""Which consensus comes closest to the expert: Dice of every method on raters of known quality.

    python -m benchmarks.consensus [--cases 25] [--raters DIR] [--json FILE]

The labels of ``hippocampus`` (in ``CONCORD_DATA`` or ``../shared/data``), deformed and shifted at random (from a seed),
are ten raters of each image, as registered atlases would be, in five mixtures of good and bad ones. Their data
parameters are drawn too: 4 (Dice - mean Dice of the image) plus normal noise, so that they rank the raters well but not
perfectly, as those of a training do. With ``--raters``, a data set as ``concord register_atlases`` writes it, whose
targets have an expert's label too, the raters are its registered atlases and the parameters alone are drawn, from well
to badly correlated. It is a test of the methods, not of a training: for that one ``concord build_consensus --compare``
takes the parameters that it has learnt.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.consensus.methods import ConsensusOptions, make_consensus
from pipelines.consensus.scores import dice_per_label, mean_dice
from pipelines.console import progress, run_command, say
from pipelines.data.dataset import read_dataset
from pipelines.data.raters import rater_labels
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume
from transforms.rater_patterns import collect_patterns

DATA = Path(os.environ.get("CONCORD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
RATERS = 10
# Of the parameters of real raters.
NOISES = (0.1, 0.3, 1.0)
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Mixture:
    """Standard deviations in voxels of each rater's deformation and shift, and of the parameters' noise."""

    deformations: tuple[float, ...]
    shifts: tuple[float, ...]
    noise: float


MIXTURES = {
    "all good": Mixture((1.0,) * RATERS, (0.5,) * RATERS, 0.3),
    "four of ten bad": Mixture((1.0,) * 6 + (3.0,) * 4, (0.5,) * 6 + (2.5,) * 4, 0.3),
    "seven of ten bad": Mixture((1.0,) * 3 + (3.0,) * 7, (1.0,) * 3 + (2.0,) * 7, 0.3),
    "seven bad, noisy parameters": Mixture((1.0,) * 3 + (3.0,) * 7, (1.0,) * 3 + (2.0,) * 7, 1.0),
    "from good to bad": Mixture(
        tuple(0.5 + 0.35 * rater for rater in range(RATERS)), tuple(0.3 + 0.3 * rater for rater in range(RATERS)), 0.5
    ),
}


def drawn_rater(truth: Labels, rng: np.random.Generator, deformation: float, shift: float) -> Labels:
    """The truth after a smooth random deformation and a shift."""
    from scipy import ndimage

    places = np.indices(truth.shape).astype(float)
    for axis in range(truth.ndim):
        field = ndimage.gaussian_filter(rng.standard_normal(truth.shape), 4)
        places[axis] += deformation * field / field.std() + rng.normal(0, shift)
    return np.asarray(ndimage.map_coordinates(truth, places, order=0, mode="nearest"))


def drawn_raters(truth: Labels, mixture: Mixture, rng: np.random.Generator) -> list[Labels]:
    pairs = zip(mixture.deformations, mixture.shifts, strict=True)
    return [drawn_rater(truth, rng, deformation, shift) for deformation, shift in pairs]


def dice_of_methods(
    truth: Labels, raters: Sequence[Labels], noise: float, rng: np.random.Generator
) -> dict[str, float]:
    """Mean Dice over the labels of one case, by method."""
    single = [score_of(rater, truth) for rater in raters]
    parameters = tuple(4 * (np.array(single) - np.mean(single)) + rng.normal(0, noise, len(raters)))
    patterns = collect_patterns(raters)
    rows = {
        "majority": ("majority", ConsensusOptions()),
        "data parameters": ("data-parameters", ConsensusOptions()),
        "STAPLE": ("staple", ConsensusOptions()),
        "STAPLE, restricted": ("staple", ConsensusOptions(restricted=True)),
    }
    for strength in STRENGTHS:
        rows[f"hybrid, strength {strength:g}"] = ("hybrid", ConsensusOptions(strength=strength))
        whole = ConsensusOptions(strength=strength, restricted=False)
        rows[f"hybrid, not restricted, strength {strength:g}"] = ("hybrid", whole)
    found = {"mean rater": float(np.mean(single)), "best rater": max(single)}
    for name, (method, options) in rows.items():
        decided = make_consensus(method, patterns, parameters, options).decided
        found[name] = score_of(patterns.spread(decided), truth)
    return found


def score_of(labels: NDArray[Any], truth: Labels) -> float:
    return mean_dice(dice_per_label(labels, truth)) or 0.0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=25, metavar="N", help="labels to take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--raters", type=Path, metavar="DIR", help="real raters, with an expert's label to compare with"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    return parser


def drawn_cases(count: int) -> list[Labels]:
    files = sorted((DATA / "hippocampus").glob("labels*/*.nii.gz"))[:count]
    if not files:
        raise InputError(DATA / "hippocampus", "holds no labels; name the folder of the data sets in CONCORD_DATA")
    return [read_volume(file).array.astype(np.uint8) for file in files]


def registered_cases(folder: Path, count: int) -> list[tuple[Labels, list[Labels]]]:
    """The expert's label and the raters' of each training case that has both."""
    cases = [case for case in read_dataset(folder).training if case.label is not None and rater_labels(case)]
    if not cases:
        raise InputError(folder, "has no case with both raters and an expert's label")
    return [
        (
            read_volume(case.label).array.astype(np.uint8),
            [read_volume(file).array.astype(np.uint8) for file in rater_labels(case)],
        )
        for case in cases[:count]
        if case.label is not None
    ]


def run(args: argparse.Namespace) -> int:
    results = {}
    if args.raters:
        cases = registered_cases(args.raters, args.cases)
        for noise in NOISES:
            rng = np.random.default_rng(args.seed)
            name = f"registered, noise {noise:g}"
            scores = [dice_of_methods(truth, raters, noise, rng) for truth, raters in progress(cases, name)]
            results[name] = means(scores)
        return told(args, results, len(cases))
    truths = drawn_cases(args.cases)
    for name, mixture in MIXTURES.items():
        rng = np.random.default_rng(args.seed)
        scores = [
            dice_of_methods(truth, drawn_raters(truth, mixture, rng), mixture.noise, rng)
            for truth in progress(truths, name)
        ]
        results[name] = means(scores)
    return told(args, results, len(truths))


def means(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {method: float(np.mean([each[method] for each in scores])) for method in scores[0]}


def told(args: argparse.Namespace, results: dict[str, dict[str, float]], cases: int) -> int:
    say(f"mean Dice of {cases} cases\n{'':40}" + "".join(f"{name:>30}" for name in results))
    for method in next(iter(results.values())):
        say(f"{method:40}" + "".join(f"{found[method]:30.4f}" for found in results.values()))
    if args.json:
        write_json_atomic(args.json, results)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
