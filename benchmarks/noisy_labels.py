"""Learning from noisy labels, in the four experiments of DeepSTAPLE (Weihsbach et al., WBIR 2022), on any data set.

    python -m benchmarks.noisy_labels disturbed  --data DIR --output DIR --bundle tumour_deep_staple_2d
    python -m benchmarks.noisy_labels registered --data DIR --output DIR [--bundle ...]
    python -m benchmarks.noisy_labels consensus  --data DIR --output DIR --parameters RUN --bundle left_atrium_dtc

``disturbed`` (I) spoils a share of the labels and asks whether their data parameters tell. ``registered`` (II in 2D,
III with many atlases per target) compares ways to learn the parameters of labels that ``register_atlases`` leaves.
``consensus`` (IV) compares the consensus of each method with the experts' labels, trains a network on each, on the
experts' labels and on the first rater's, and scores these networks on the test cases. Experts' labels of training
cases are compared with and, but for the row that says so, never trained on. A training that is finished in
``--output`` is not repeated. Test cases are for the tables alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.trainings import add_training_arguments, metric_cell
from pipelines.console import run_command, say
from pipelines.data.dataset import read_dataset
from pipelines.data.raters import rater_labels
from pipelines.runs.trainings import Training, read_scores, run_all, settings_words
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError

METHODS = ("majority", "staple", "data-parameters", "hybrid")
QUALITY_FILE = "data_parameter_quality.csv"


def last_quality(run: Path) -> dict[str, float]:
    """Give how well the parameters told the labels' quality at the end of a training; what is unknown is left out."""
    with (run / QUALITY_FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(value) for name, value in rows[-1].items() if value}


def quality_cells(runs: Iterable[Path], names: Sequence[str]) -> str:
    """Mean and standard deviation over the seeds."""
    found = [last_quality(run) for run in runs]
    cells = []
    for name in names:
        values = [one[name] for one in found if name in one]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "–")
    return " | ".join(cells)


def dice_cells(runs: Sequence[Path]) -> str:
    """Dice per class on the test cases, in percent."""
    scores = [read_scores(run) for run in runs]
    return ", ".join(f"{name} {metric_cell([one[name] for one in scores], 'dice')}" for name in scores[0])


def compare_trainings(args: argparse.Namespace, title: str, variants: dict[str, list[str]]) -> int:
    """Train each variant with each seed and print one row for each."""
    common = ["--data", str(args.data), "--bundle", args.bundle, *settings_words(args)]
    folders = {name: [args.output / f"{name}_{seed}" for seed in args.seeds] for name in variants}
    planned = [
        Training("pipelines.train_staple", [*common, *words, "--seed", str(seed)], folders[name][place])
        for place, seed in enumerate(args.seeds)
        for name, words in variants.items()
    ]
    run_all(planned, args.jobs)
    columns = ("spearman", "pearson", "auc")
    say(f"| {title} | Spearman | Pearson | AUC | Dice % of the test cases |")
    say("|---|---|---|---|---|")
    for name, runs in folders.items():
        say(f"| {name} | {quality_cells(runs, columns)} | {dice_cells(runs)} |")
    return 0


def disturbed(args: argparse.Namespace) -> int:
    words = ["--kind", args.kind, "--strength", str(args.strength), "--mode", args.mode]
    variants = {f"disturbed_{share:g}": [*words, "--disturb", str(share)] for share in args.shares}
    return compare_trainings(args, "share", variants)


def registered(args: argparse.Namespace) -> int:
    return compare_trainings(args, "mode", {mode: ["--mode", mode] for mode in args.modes})


def relabelled(source: Path, target: Path, *, first_rater: bool) -> Path:
    """Write a description beside the data's own whose training labels are the experts' or the first raters'.

    Args:
        source: the data set with raters.
        target: a folder for it; images and labels are linked from ``source``.
        first_rater: take the first rater's label, else the expert's.

    Returns:
        ``target``.

    Raises:
        InputError: when a training case has no expert's label.
    """
    dataset = read_dataset(source)
    content = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    entries = []
    for entry, case in zip(content["training"], dataset.training, strict=True):
        label = rater_labels(case)[0] if first_rater else case.label
        if label is None:
            raise InputError(source, f"training case {case.case_id} has no expert's label to train on")
        name = label.relative_to(dataset.root.resolve() if label.is_absolute() else dataset.root).as_posix()
        entries.append({"image": entry["image"], "label": name})
    target.mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        for file in folder.rglob("*"):
            copy = target / file.relative_to(source)
            if file.is_file() and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.hardlink_to(file)
    write_json_atomic(target / "dataset.json", {**content, "training": entries})
    return target


def consensus(args: argparse.Namespace) -> int:
    built = args.output / "consensus"
    command = [sys.executable, "-m", "pipelines.build_consensus", "--data", str(args.data), "--output", str(built)]
    command += ["--parameters", str(args.parameters), *(word for method in METHODS for word in ("--method", method))]
    if not (built / "summary.json").is_file():
        done = subprocess.run([*command, "--jobs", str(args.jobs)], check=False)
        if done.returncode:
            raise InputError(built, f"build_consensus ended with status {done.returncode}")
    summary = json.loads((built / "summary.json").read_text(encoding="utf-8"))
    sources = {method: built / method for method in METHODS}
    sources["first rater"] = relabelled(args.data, args.output / "data_first_rater", first_rater=True)
    sources["expert"] = relabelled(args.data, args.output / "data_expert", first_rater=False)
    folders = {name: [args.output / f"{name.replace(' ', '_')}_{seed}" for seed in args.seeds] for name in sources}
    common = ["--bundle", args.bundle, "--method", "supervised", *settings_words(args)]
    planned = [
        Training("pipelines.train_dtc", ["--data", str(data), *common, "--seed", str(seed)], folders[name][place])
        for place, seed in enumerate(args.seeds)
        for name, data in sources.items()
    ]
    if not args.no_training:
        run_all(planned, args.jobs)
    say("| labels to train on | Dice % against the experts' | Dice % of a network trained on them, test cases |")
    say("|---|---|---|")
    for name, runs in folders.items():
        own = summary["methods"].get(name, {}).get("mean_dice")
        told = f"{100 * own['mean']:.2f} ± {100 * own['sd']:.2f}" if own else "–"
        say(f"| {name} | {told} | {'–' if args.no_training else dice_cells(runs)} |")
    for line in consensus_gains(summary):
        say(line)
    return 0


def consensus_gains(summary: dict[str, object]) -> list[str]:
    """What the hybrid gains over each other method, case by case."""
    from scipy.stats import wilcoxon

    cases: list[dict[str, dict[str, float]]] = summary["cases"]  # type: ignore[assignment]
    lines = []
    for method in METHODS[:-1]:
        pairs = [(case["dice"]["hybrid"], case["dice"][method]) for case in cases if case["dice"][method] is not None]
        gains = np.array([100 * (one - other) for one, other in pairs])
        p = float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0
        better = int((gains > 0).sum())
        lines.append(
            f"hybrid over {method}: Dice {gains.mean():+.2f} points (better in {better} of {len(gains)} cases, "
            f"Wilcoxon p = {p:.3g})"
        )
    return lines


def run(args: argparse.Namespace) -> int:
    done: int = args.experiment(args)
    return done


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    experiments = parser.add_subparsers(required=True)
    one = experiments.add_parser("disturbed", help="I: labels spoilt on purpose")
    one.set_defaults(experiment=disturbed)
    one.add_argument("--shares", nargs="+", type=float, default=[0.3, 0.6])
    one.add_argument("--kind", default="mixed")
    one.add_argument("--strength", type=float, default=1.0)
    one.add_argument("--mode", default="out-of-line")
    two = experiments.add_parser("registered", help="II and III: labels of registered atlases")
    two.set_defaults(experiment=registered)
    two.add_argument("--modes", nargs="+", default=["out-of-line", "in-line"])
    for each in (one, two):
        each.add_argument("--bundle", default="tumour_deep_staple")
    four = experiments.add_parser("consensus", help="IV: consensus against consensus, and what is learnt from each")
    four.set_defaults(experiment=consensus)
    four.add_argument("--parameters", type=Path, required=True, help="a run of train_staple on the same data")
    four.add_argument("--bundle", default="left_atrium_dtc")
    four.add_argument("--no-training", action="store_true", help="compare the consensus alone")
    for each in (one, two, four):
        add_training_arguments(each)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
