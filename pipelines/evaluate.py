"""Measure a network, or finished masks, against the labels of a data set: scores per case, and a report.

    concord evaluate --bundle RUN --data DIR --split test --output DIR

Writes ``summary.json``, ``cases.csv``, ``report.html`` and pictures of the best, median and worst case. Several sources
are an ensemble, weighted by ``--weights``. Networks that tell what is present are measured in that too and give
``detections.json`` and ``detections.csv``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import add_run_arguments, claim_output, command_parser, run_command, say
from pipelines.keys import Keys
from pipelines.prediction.options import (
    add_inference_arguments,
    check_inference_arguments,
    inference_settings,
    trusted_hashes,
)
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pipelines.data.dataset import Case, DataSet
    from pipelines.metrics.case_scores import CaseScores
    from pipelines.prediction.detections import DetectionRecord
    from pipelines.prediction.ensemble import Ensemble
    from pipelines.prediction.loading import ModelFacts
    from pipelines.prediction.predictor import Predictor
    from pipelines.prediction.segmenter import Segmenter

SPLITS = ("test", "validation", "training")
WRITTEN = ("summary.json", "cases.csv", "report.html", "detections.json", "detections.csv")


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("evaluate", "Per-case, per-class metrics of a network or of finished masks.")
    unset = argparse.SUPPRESS
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--bundle",
        type=Path,
        nargs="+",
        metavar="DIR",
        default=unset,
        help="run folder or exported bundle (folder or zip); several, checkpoints (.pt) among them, make an ensemble",
    )
    source.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        metavar="FILE",
        default=unset,
        help="checkpoint in a run folder; several make an ensemble",
    )
    source.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        default=unset,
        help="masks made already, named after their cases (CASE or CASE_seg, of any format that is read)",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", default=unset, help="data set with the labels"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="which of its cases")
    parser.add_argument("--save-masks", action="store_true", help="write the label maps into OUTPUT/masks")
    parser.add_argument(
        "--animate",
        type=int,
        metavar="N",
        default=unset,
        help="how many cases the report goes through slice by slice, beginning with the best, median and worst "
        "(default: those, of networks that look at slices; else none)",
    )
    _add_score_arguments(parser)
    add_run_arguments(parser, output="folder of the scores and the report", seed=False)
    add_inference_arguments(parser)
    return parser


def _add_score_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores", "overlap and surface distances are always measured")
    group.add_argument(
        "--scores",
        nargs="+",
        metavar="GROUP",
        default=[],
        help="what else to measure: pixels (precision, recall, kappa and their kin), distances (Hausdorff, symmetric "
        "mean), topology (clDice, Betti-0 error), and from a network's probabilities ranking (areas under the ROC "
        "and precision-recall curves) and calibration (ECE, Brier score, confidence)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        metavar="PX",
        default=0.0,
        help="of the group pixels: how far a pixel may be off, in pixels, to count as right (default: 0)",
    )
    group.add_argument(
        "--field-of-view",
        choices=("auto", "none"),
        default="auto",
        help="auto: measure within the field of view of the cases that have one; none: in the whole image",
    )


def _case_scores(args: argparse.Namespace) -> CaseScores:
    """Give what the options ask for.

    Raises:
        InputError: when they make no sense, or ask for the probabilities of finished masks.
    """
    from pipelines.metrics.case_scores import CaseScores

    scores = CaseScores(args.scores, args.tolerance, args.field_of_view == "auto")
    if "predictions" in vars(args) and scores.from_probabilities:
        told = " and ".join(scores.from_probabilities)
        raise InputError("--scores", f"{told} need the probabilities of a network, and --predictions gives masks")
    return scores


def run(args: argparse.Namespace) -> int:
    """Check the cases, segment, measure and report."""
    check_inference_arguments(args)
    if vars(args).get("animate", 0) < 0:
        raise InputError("--animate", f"must not be negative, got {args.animate}")
    scores = _case_scores(args)
    _claim(args)
    from pipelines.data.dataset import read_dataset
    from pipelines.prediction.detections import sources_of

    dataset = read_dataset(args.data)
    started = time.monotonic()
    network, facts = _networks(args)
    masks = network is None or network.gives_mask
    if not masks and (args.save_masks or scores.groups):
        option = "--save-masks" if args.save_masks else "--scores"
        raise InputError(option, "is for masks, and the network tells what is present and gives none")
    cases = _cases(dataset, args.split, facts, masks)
    fingerprint = _check(dataset, args.split, cases)
    class_names = {label: name for label, name in dataset.labels.items() if label > 0}
    notes = [] if facts is None else _notes(facts, dataset, class_names, fingerprint)
    for note in notes:
        say(f"warning: {note}")
    entries = [case.entry() for case in cases]
    segmenter: Segmenter
    if network is None:
        from pipelines.prediction.stored_masks import StoredMasks

        segmenter = StoredMasks(args.predictions, entries, class_names)
    else:
        segmenter = network
    settings = {"predictions": str(args.predictions)} if facts is None else {"model": facts.name, **facts.settings}
    record = {
        "command": sys.argv,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": "" if facts is None else sources_of(facts)[0].get("device", ""),
        "data": fingerprint,
    }
    settings |= {"notes": notes, **_told(scores, entries)}
    _measure(args, segmenter, facts, entries, class_names, settings, scores, record, started)
    return 0


def _told(scores: CaseScores, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the settings say of the scores; nothing where they are as ever."""
    told: dict[str, Any] = {"scores": list(scores.groups)} if scores.groups else {}
    if scores.tolerance_px:
        told["tolerance_px"] = scores.tolerance_px
    if any("fov" in entry for entry in entries):
        told["field_of_view"] = "auto" if scores.field_of_view else "none"
    return told


def _claim(args: argparse.Namespace) -> None:
    """Make the output folder; refuse one whose files would be lost."""
    output = args.output
    if (output / "run.json").exists():
        raise InputError(output, "is a run folder, which has an evaluation of its own; choose another")
    predictions = vars(args).get("predictions")
    if predictions is not None and output.resolve() in (predictions.resolve(), *predictions.resolve().parents):
        raise InputError(output, f"is or holds {predictions}, which is read; choose another folder")
    claim_output(output, overwrite=args.overwrite, finished_by="summary.json")


def _clear(output: Path) -> None:
    """Take away what an earlier evaluation left."""
    for name in WRITTEN:
        (output / name).unlink(missing_ok=True)
    for name in ("masks", "pictures"):
        shutil.rmtree(output / name, ignore_errors=True)


def _networks(args: argparse.Namespace) -> tuple[Predictor | Ensemble | None, ModelFacts | None]:
    """Load the network or networks; nothing when there are masks already."""
    options = vars(args)
    if "predictions" in options:
        given = [
            name
            for name in ("head", "overlap", "stride", "window_weights", "flips", "weights", "dropout_samples", "trust")
            if name in options
        ]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')}", "is for networks and does nothing for finished masks")
        return None, None
    for source in options.get("bundle") or options["checkpoint"]:
        if not source.exists():
            raise InputError(source, "does not exist")
        if "checkpoint" in options and not source.is_file():
            raise InputError(source, "is a folder; --checkpoint takes a file, --bundle a folder")
        if "bundle" in options and not source.is_dir() and source.suffix.lower() not in (".zip", ".pt"):
            raise InputError(source, "is a file; --bundle takes a folder or a zip file, --checkpoint a file")
    from pipelines.prediction.ensemble import load_ensemble
    from pipelines.workflow import quiet_monai

    quiet_monai()
    return load_ensemble(options.get("bundle") or options["checkpoint"], inference_settings(args), trusted_hashes(args))


def _cases(dataset: DataSet, split: str, facts: ModelFacts | None, masks: bool) -> tuple[Case, ...]:
    """Give the labelled cases of the split; those that the run has drawn, where the data set has no validation list.

    For a network that gives no ``masks`` it is enough when a case says what is present.
    """
    cases = getattr(dataset, split)
    run = None if facts is None else next(iter(runs_of(facts)), None)
    if split == "validation" and not cases and run is not None:
        from pipelines.data.splits import read_splits
        from pipelines.runs.record import SPLITS_FILE

        cases = read_splits(run / SPLITS_FILE, dataset).validation
    cases = tuple(
        case for case in cases if case.label is not None or (not masks and Keys.PRESENCE.value in case.extras)
    )
    if not cases:
        raise InputError(dataset.root, f"has no labelled {split} case")
    return cases


def _check(dataset: DataSet, split: str, cases: tuple[Case, ...]) -> dict[str, Any]:
    """Run the whole data check on the cases, and give their fingerprint."""
    from pipelines.data.integrity import check_dataset
    from pipelines.data.integrity_cache import default_cache

    parts: dict[str, Any] = {**dict.fromkeys((*SPLITS, "unlabeled"), ()), split: cases}
    alone = replace(dataset, **parts)
    cache = default_cache(dataset.root)
    report = check_dataset(alone, cache and cache.with_name(f"{cache.stem}-{split}.json"))
    report.raise_for_faults()
    return report.fingerprint


def _notes(
    facts: ModelFacts, dataset: DataSet, class_names: Mapping[int, str], fingerprint: Mapping[str, Any]
) -> list[str]:
    """Refuse cases that the network cannot take; give what the reader of the scores must know."""
    from pipelines.runs.leakage import cases_of_training, leakage_warning

    if len(class_names) != len(facts.class_names):
        raise InputError(
            dataset.root, f"has {len(class_names)} classes, but {facts.name} was trained for {len(facts.class_names)}"
        )
    case = next(iter(fingerprint["cases"].values()))
    for what, found, wanted in (
        ("dimensions", len(case["shape"]), facts.spatial_dims),
        ("channels", case["channels"], facts.in_channels),
    ):
        if found != wanted:
            raise InputError(dataset.root, f"holds images of {found} {what}, but {facts.name} takes {wanted}")
    notes = []
    if dict(class_names) != facts.class_names:
        told = [", ".join(names.values()) for names in (class_names, facts.class_names)]
        notes.append(f"The data set names its classes {told[0]}, the network {told[1]}; they are compared by number.")
    for member in facts.members or (facts,):
        whose = f"{member.name}: " if facts.members else ""
        said = "The bundle does not say which cases it was trained on: see to it that these are others."
        if member.run is not None:
            said = leakage_warning(cases_of_training(member.run, fingerprint), len(fingerprint["cases"]))
        notes += [whose + said] if said else []
    return notes


def runs_of(facts: ModelFacts) -> list[Path]:
    """Give the run folders that a network, or the members of an ensemble, come from, where they are at hand."""
    return [member.run for member in facts.members or (facts,) if member.run is not None]


def _measure(
    args: argparse.Namespace,
    segmenter: Segmenter,
    facts: ModelFacts | None,
    entries: Sequence[Mapping[str, Any]],
    class_names: Mapping[int, str],
    settings: Mapping[str, Any],
    scores: CaseScores,
    record: dict[str, Any],
    started: float,
) -> None:
    """Measure every case and write all results; ``summary.json``, which says that they are complete, last."""
    from pipelines.metrics.case_report import CaseReport
    from pipelines.prediction.detections import resources, sources_of
    from pipelines.prediction.evaluation import MASK_FOLDER, NSD_TOLERANCE_MM, detect_cases, evaluate_cases
    from pipelines.prediction.segmenter import PresenceSegmenter
    from pipelines.runs.record import peak_memory

    report = CaseReport(
        class_names,
        NSD_TOLERANCE_MM,
        split=args.split,
        settings=settings,
        more_metrics=scores.metrics,
        more_definitions=scores.definitions(),
    )
    masks = args.output / MASK_FOLDER if args.save_masks else None
    if args.overwrite:
        _clear(args.output)
    found: DetectionRecord | None
    if isinstance(segmenter, PresenceSegmenter) and not segmenter.gives_mask:
        found = detect_cases(entries, segmenter, class_names)
        report.sections = {"detection": found.scores(), "resources": resources(found.seconds())}
        report.more_definitions = found.definitions()
    else:
        found = evaluate_cases(entries, segmenter, report, class_names, masks, scores)
        say(report.format_table())
    record |= {"wall_seconds": round(time.monotonic() - started, 1), **peak_memory()}
    _write_report(args, segmenter, facts, entries, report.summary(), record)
    if found is not None and facts is not None:
        found.write(args.output, sources_of(facts), report.sections["resources"])
        say(f"detections: {args.output / 'detections.json'}")
    report.write(args.output)
    say(f"report: {args.output / 'report.html'}")


def _write_report(
    args: argparse.Namespace,
    segmenter: Segmenter,
    facts: ModelFacts | None,
    entries: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    import yaml

    from pipelines.figures.report import write_report
    from pipelines.prediction.case_animations import case_animations
    from pipelines.prediction.case_pictures import PICTURE_FOLDER, case_pictures

    output, names = args.output, [] if facts is None else [member.name for member in facts.members]
    name = "stored masks" if facts is None else facts.name
    write_report(
        output / "report.html",
        title=f"{record['data']['name']}: {name}",
        run=record,
        summary=summary,
        metrics_csv=facts.run / "metrics.csv" if facts is not None and facts.run is not None else None,
        config_text="" if facts is None else yaml.safe_dump(dict(facts.config), sort_keys=False, allow_unicode=True),
        pictures=case_pictures(output / PICTURE_FOLDER, segmenter, entries, summary),
        notes=summary["settings"]["notes"],
        animations=case_animations(segmenter, entries, summary, names, vars(args).get("animate")),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
