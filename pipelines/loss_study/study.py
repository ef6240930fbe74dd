"""From the recordings of all trainings to the numbers of a study, and to what they say."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from networks.losses.catalogue import BETWEEN_TERMS, LOSSES, TERM, make_loss
from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.loss_study.ending import ENDING_FILE
from pipelines.loss_study.landscape import PLANES, Surface, mean_rise, read_surface
from pipelines.loss_study.loss_curves import loss_curve
from pipelines.loss_study.recording import FOLDER, Moment, read_moment, read_recording, recorded_iterations
from pipelines.loss_study.scoring import MEASURES
from transforms.io.input_error import InputError

DEFINITIONS = {
    "pixel_accuracy": "share of the validation pixels whose class is right",
    "iou": "mean over the validation cases of the foreground's intersection over union",
    "confidence_foreground": "mean probability of the true class over foreground pixels",
    "confidence_background": "mean probability of the true class over background pixels",
    "ece": "expected calibration error of the predicted class's probability, 15 bins, over all validation pixels",
    "ace": "average calibration error: the same, all bins that are not empty weighted alike",
    "mce": "the largest calibration error of a bin",
    "brier": "mean over pixels of the squared distance between probabilities and truth, summed over classes",
    "mean_rise": "how much the loss rises on the average from the solution to half the random plane's radius",
}


@dataclass(frozen=True)
class StudiedRun:
    """One training of a study.

    Attributes:
        loss: its text, as :func:`networks.losses.catalogue.make_loss` takes it.
        seed: of weights, split and batches.
        folder: the run folder.
    """

    loss: str
    seed: int
    folder: Path

    @property
    def recording(self) -> Path:
        """Where its moments are."""
        return self.folder / FOLDER

    def moments(self) -> list[Moment]:
        """Everything that was recorded, without weights."""
        return read_recording(self.recording)

    def surface(self, plane: str) -> Surface | None:
        """The surface of one of ``PLANES``; None where there is none."""
        return read_surface(self.folder / f"landscape_{plane}.npz")


def gather_study(runs: Sequence[StudiedRun], reach: float) -> dict[str, Any]:
    """Put everything that a study measured into one description.

    Args:
        runs: all trainings, at least one; those of one loss share its text.
        reach: which share of the best final IoU a loss must reach to count as having learnt.

    Returns:
        What ``study.json`` holds: ``losses`` with what is known of each and its ``runs``, ``fastest`` and
        ``best_calibrated``, settings and definitions. Nothing in it is NaN.

    Raises:
        InputError: when a recording is missing or damaged, or runs of one seed did not start alike.
    """
    _require_same_start(runs)
    texts = list(dict.fromkeys(run.loss for run in runs))
    losses = [_of_loss(text, [_of_run(run) for run in runs if run.loss == text]) for text in texts]
    best = max((loss["final"]["iou"]["mean"] or 0.0 for loss in losses), default=0.0)
    threshold = reach * best
    for loss in losses:
        reached = [_reached(run, threshold) for run in loss["runs"]]
        for run, iteration in zip(loss["runs"], reached, strict=True):
            run["reached_iteration"] = iteration
        known = [iteration for iteration in reached if iteration is not None]
        loss["reached_iteration"] = statistics.mean(known) if known and len(known) == len(reached) else None
    return {
        "intended_use": NOT_FOR_DIAGNOSIS,
        "losses": losses,
        "threshold": {"iou": threshold, "share": reach, "best_final_iou": best},
        "fastest": _lowest(losses, lambda loss: loss["reached_iteration"], "reached_iteration"),
        "best_calibrated": _lowest(losses, lambda loss: loss["final"]["ece"]["mean"], "ece"),
        "best_calibrated_all_bins_alike": _lowest(losses, lambda loss: loss["final"]["ace"]["mean"], "ace"),
        "seeds": sorted({run.seed for run in runs}),
        "definitions": DEFINITIONS,
    }


def tell_study(study: Mapping[str, Any]) -> list[str]:
    """Say in lines what a study found, with a row for each loss."""
    width = max(len(loss["text"]) for loss in study["losses"])
    lines = [f"{'loss':<{width}}  reached at   IoU     accuracy  conf. fg  conf. bg  ECE     ACE     test IoU"]
    for loss in study["losses"]:
        final = loss["final"]
        numbers = [final[name]["mean"] for name in MEASURES[1:2] + MEASURES[:1] + MEASURES[2:6]]
        test = (loss["test"].get("iou") or {}).get("mean")
        reached = loss["reached_iteration"]
        cells = "  ".join("–".ljust(8) if value is None else f"{value:<8.4f}" for value in [*numbers, test])
        lines.append(f"{loss['text']:<{width}}  {'never' if reached is None else f'{reached:g}':<10}  {cells}")
    share, iou = study["threshold"]["share"], study["threshold"]["iou"]
    return [*lines, *(f"{line}." for line in findings(study, share, iou))]


def findings(study: Mapping[str, Any], share: float, iou: float) -> list[str]:
    """Say which loss learnt fastest and which is calibrated best, a sentence each, without the full stop."""
    told = []
    if study["fastest"]:
        told.append(
            f"Fastest to an IoU of {iou:.3f} ({share:g} of the best final one): {study['fastest']['text']}, "
            f"after {study['fastest']['value']:g} iterations"
        )
    else:
        told.append(f"No loss reached an IoU of {iou:.3f} with every seed")
    for name, words in (("best_calibrated", "ECE"), ("best_calibrated_all_bins_alike", "ACE")):
        if study[name]:
            told.append(f"Best calibrated at the end by {words}: {study[name]['text']}, {study[name]['value']:.4f}")
    return told


def _of_run(run: StudiedRun) -> dict[str, Any]:
    moments = run.moments()
    path = run.folder / ENDING_FILE
    try:
        ending = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputError(path, "is missing or damaged: the training is not finished") from fault
    surfaces = {plane: found for plane in PLANES if (found := run.surface(plane)) is not None}
    return {
        "seed": run.seed,
        "folder": run.folder.name,
        "iterations": [moment.iteration for moment in moments],
        "validation_loss": [moment.loss for moment in moments],
        **{name: [moment.scores.values[name] for moment in moments] for name in MEASURES},
        "reliability": moments[-1].scores.bins.to_json(),
        "foreground_reliability": moments[-1].scores.foreground_bins.to_json(),
        "landscape": {plane: _of_surface(plane, surface) for plane, surface in surfaces.items()},
        **ending,
    }


def _of_surface(plane: str, surface: Surface) -> dict[str, Any]:
    told: dict[str, Any] = {
        "x": surface.x.tolist(),
        "y": surface.y.tolist(),
        "loss": _finite(surface.loss),
        "iou": _finite(surface.iou),
    }
    if plane == "random":
        return {**told, "mean_rise": mean_rise(surface)}
    explained = _finite(surface.explained)
    return {**told, "path": _finite(surface.path), "iterations": surface.iterations.tolist(), "explained": explained}


def _of_loss(text: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    final = {name: _spread([run[name][-1] for run in runs]) for name in MEASURES}
    tested = [run["test"] for run in runs if run["test"] is not None]
    curve = loss_curve(make_loss(text))
    rises = [run["landscape"]["random"]["mean_rise"] for run in runs if "random" in run["landscape"]]
    seconds = [run["training_seconds"] for run in runs]
    return {
        "text": text,
        **_describe(text),
        "final": final,
        "test": {name: _spread([scores[name] for scores in tested]) for name in MEASURES} if tested else {},
        "mean_rise": _spread(rises) if rises else None,
        "training_seconds": _spread(seconds),
        "curve": None if curve is None else {name: part.tolist() for name, part in vars(curve).items()},
        "runs": list(runs),
    }


def _describe(text: str) -> dict[str, str]:
    """Formula and paper of a loss, or of the terms of a sum."""
    names = [match.group(2) for part in BETWEEN_TERMS.split(text) if (match := TERM.fullmatch(part))]
    entries = [LOSSES[name] for name in names if name in LOSSES]
    return {
        "formula": "; ".join(entry.formula for entry in entries).replace("`", ""),
        "paper": "; ".join(dict.fromkeys(entry.paper for entry in entries if entry.paper)),
    }


def _reached(run: Mapping[str, Any], threshold: float) -> int | None:
    """The first recorded iteration, after the start, at which the IoU is no lower than the threshold."""
    pairs = zip(run["iterations"], run["iou"], strict=True)
    return next((step for step, iou in pairs if step > 0 and iou is not None and iou >= threshold > 0), None)


def _lowest(losses: Sequence[Mapping[str, Any]], value: Any, name: str) -> dict[str, Any] | None:
    known = [(value(loss), loss["text"]) for loss in losses if value(loss) is not None]
    if not known:
        return None
    least, text = min(known)
    return {"text": text, "measure": name, "value": least}


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
    }


def _finite(values: np.ndarray) -> list[Any]:
    """Nested lists of numbers, with None where one is not finite, which JSON has no word for."""
    filled = values.astype(object)
    filled[~np.isfinite(values)] = None
    return list(filled.tolist())


def _require_same_start(runs: Sequence[StudiedRun]) -> None:
    """Make sure that the runs of one seed had the same first weights, where weights were kept: else it is no study."""
    first: dict[int, tuple[StudiedRun, np.ndarray]] = {}
    for run in runs:
        if recorded_iterations(run.recording)[:1] != [0]:
            raise InputError(run.recording, "has no recording of the training's start")
        weights = read_moment(run.recording, 0, with_weights=True).weights
        other, theirs = first.setdefault(run.seed, (run, weights))
        if not np.array_equal(weights, theirs):
            raise InputError(run.folder, f"started with other weights than {other.folder.name}: not one study")
