"""Per-case, per-class metrics of a segmentation, and their summary over cases: ``cases.csv`` and ``summary.json``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.bootstrap import bootstrap_interval
from pipelines.metrics.overlap import STATES, count_overlap
from pipelines.metrics.surface_distances import SurfaceDistances, compute_surface_distances
from transforms.io.atomic import atomic_path, write_json_atomic
from transforms.io.input_error import InputError

__all__ = ["METRICS", "CaseReport", "measure_case", "metric_definitions"]

METRICS = ("dice", "jaccard", "asd_mm", "hd95_mm", "asd_voxel", "hd95_voxel", "nsd")

_OVER_CLASSES = "mean"

ClassMetrics = dict[str, Any]


def metric_definitions(nsd_tolerance_mm: float) -> dict[str, str]:
    """What each number of a report means, in the words that go into ``summary.json``."""
    return {
        "dice": "2 |P and R| / (|P| + |R|) of prediction P and reference R, in voxels.",
        "jaccard": "|P and R| / |P or R|, in voxels.",
        "surface": "Voxels with a face neighbour outside the mask or the image; exact distances between voxel centres.",
        "asd_mm": "One-way average surface distance: mean distance from the prediction's surface to the reference's, "
        "in mm (MedPy's asd, MONAI's default). It does not see parts of the reference that were missed.",
        "hd95_mm": "95th percentile of the surface distances of both directions pooled, in mm (MedPy's hd95; "
        "MONAI takes the larger of the two directions' percentiles instead).",
        "asd_voxel": "asd_mm with a spacing of 1 in every axis, as in the tables of the dual-task consistency paper.",
        "hd95_voxel": "hd95_mm with a spacing of 1 in every axis.",
        "nsd": f"Normalised surface Dice: share of the surface voxels of both masks within {nsd_tolerance_mm:g} mm "
        "of the other surface.",
        "state": "both_present; both_empty: class in neither mask, every metric undefined; missed: in the reference "
        "only; spurious: in the prediction only. Missed and spurious: Dice, Jaccard, NSD are 0, distances undefined.",
        "undefined": "Undefined values are null, are left out of mean, sd, median and interval, and are counted.",
        "mean": "Under the class name 'mean': per case the mean over the classes with a value, then as for a class.",
        "sd": "Sample standard deviation over cases (n - 1); null for one case.",
        "ci95": "95 % percentile bootstrap interval of the mean over cases; null for fewer than two cases.",
    }


def measure_case(
    pred_labelmap: ArrayLike,
    reference_labelmap: ArrayLike,
    spacing_mm: float | Sequence[float],
    class_names: Mapping[int, str],
    nsd_tolerance_mm: float,
    threads: int | None = None,
) -> dict[str, ClassMetrics]:
    """Measure one predicted label map against its reference, class by class.

    Args:
        pred_labelmap: integer labels, 2 or 3 axes, no channel.
        reference_labelmap: the same, of the same shape.
        spacing_mm: voxel size per array axis, or one number for all.
        class_names: name per label; 0 is the background and is not measured. Labels that are not named here are
            refused.
        nsd_tolerance_mm: how far a surface may be off to count as right.
        threads: how many threads may work; all cores by default.

    Returns:
        Per class name ``dice, jaccard, asd_mm, hd95_mm, asd_voxel, hd95_voxel, nsd`` (NaN where undefined) and
        ``state``.

    Raises:
        InputError: when the shapes differ, a label is not named, or the spacing is no spacing.
    """
    pred, reference = np.asarray(pred_labelmap), np.asarray(reference_labelmap)
    if pred.shape != reference.shape:
        raise InputError("prediction", f"has shape {pred.shape}, but the reference has {reference.shape}")
    _check_labels(pred, class_names, "prediction")
    _check_labels(reference, class_names, "reference")
    return {
        name: _measure_class(pred == label, reference == label, spacing_mm, nsd_tolerance_mm, threads)
        for label, name in class_names.items()
        if label != 0
    }


def _measure_class(
    pred: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: float | Sequence[float],
    nsd_tolerance_mm: float,
    threads: int | None,
) -> ClassMetrics:
    overlap = count_overlap(pred, reference)
    in_mm = compute_surface_distances(pred, reference, spacing_mm, threads)
    return {
        "dice": overlap.dice,
        "jaccard": overlap.jaccard,
        "asd_mm": in_mm.asd_medpy,
        "hd95_mm": in_mm.hd95,
        **_voxel_distances(pred, reference, spacing_mm, in_mm, threads),
        "nsd": in_mm.nsd(nsd_tolerance_mm),
        "state": overlap.state,
    }


def _voxel_distances(
    pred: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: float | Sequence[float],
    in_mm: SurfaceDistances,
    threads: int | None,
) -> dict[str, float]:
    """The distances in voxels: those in mm over the spacing when it is the same in all axes, else measured anew."""
    sizes = np.unique(np.asarray(spacing_mm, dtype=np.float64))
    if sizes.size == 1:
        return {"asd_voxel": in_mm.asd_medpy / float(sizes[0]), "hd95_voxel": in_mm.hd95 / float(sizes[0])}
    in_voxels = compute_surface_distances(pred, reference, 1.0, threads)
    return {"asd_voxel": in_voxels.asd_medpy, "hd95_voxel": in_voxels.hd95}


def _check_labels(labelmap: NDArray[Any], class_names: Mapping[int, str], subject: str) -> None:
    """Refuse a label map with a value that is neither 0 nor a named class."""
    allowed = {0, *class_names}
    if sum(int(np.count_nonzero(labelmap == label)) for label in allowed) != labelmap.size:
        strange = [str(value) for value in np.unique(labelmap).tolist() if value not in allowed]
        raise InputError(subject, f"holds the labels {', '.join(strange[:5])}, but only {sorted(allowed)} are declared")


class CaseReport:
    """Collects what ``measure_case`` gave for each case, and summarises it.

    Args:
        class_names: name per label, as for ``measure_case``.
        nsd_tolerance_mm: the tolerance that NSD was measured with, for the definitions.
        split: which cases these are.
        settings: what the run was done with, written as it is (must be JSON).
        resamples: bootstrap draws per interval.
        seed: of the draws.
        more_metrics: names of what cases are measured with beside ``METRICS`` (see ``CaseScores``).
        more_definitions: what those mean, written with the other definitions.

    Attributes:
        pooled: per class name, scores over all cases together, for whoever has any; written as they are.
        sections: further parts of ``summary.json`` by name, such as scores of detections; JSON.

    Raises:
        InputError: when two classes share a name, or one is called ``mean``, which names the mean over classes.
    """

    def __init__(
        self,
        class_names: Mapping[int, str],
        nsd_tolerance_mm: float,
        split: str = "test",
        settings: Mapping[str, Any] | None = None,
        resamples: int = 10_000,
        seed: int = 0,
        more_metrics: Sequence[str] = (),
        more_definitions: Mapping[str, str] | None = None,
    ) -> None:
        self.classes = tuple(name for label, name in class_names.items() if label != 0)
        if len(set(self.classes)) < len(self.classes) or _OVER_CLASSES in self.classes:
            raise InputError("labels", f"class names must differ and none may be '{_OVER_CLASSES}', got {self.classes}")
        self.nsd_tolerance_mm = nsd_tolerance_mm
        self.split = split
        self.settings = dict(settings or {})
        self.resamples = resamples
        self.seed = seed
        self.metrics = (*METRICS, *more_metrics)
        self.more_definitions = dict(more_definitions or {})
        self.pooled: dict[str, dict[str, float]] = {}
        self.sections: dict[str, Any] = {}
        self._cases: dict[str, tuple[dict[str, ClassMetrics], float]] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, case_id: str, classes: Mapping[str, Mapping[str, Any]], seconds: float) -> None:
        """Take in one case.

        Args:
            case_id: unique in this report.
            classes: what ``measure_case`` returned, with all of ``more_metrics``.
            seconds: how long the case took.

        Raises:
            InputError: when the case is already in the report, or its classes are not those of the report.
        """
        if case_id in self._cases:
            raise InputError(case_id, "is in the report already; every case needs an id of its own")
        if set(classes) != set(self.classes):
            raise InputError(case_id, f"has the classes {sorted(classes)}, but the report has {sorted(self.classes)}")
        self._cases[case_id] = ({name: dict(classes[name]) for name in self.classes}, float(seconds))

    def values(self, class_name: str, metric: str) -> NDArray[np.float64]:
        """One number per case in the order added, NaN where undefined; ``mean`` is a case's mean over its classes."""
        return np.array([self._value(classes, class_name, metric) for classes, _ in self._cases.values()], dtype=float)

    def seconds(self) -> list[float]:
        """How long each case took, in the order added."""
        return [seconds for _, seconds in self._cases.values()]

    def aggregate(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Summarise each metric over cases, per class and for ``mean``.

        Returns:
            ``{class: {metric: {"mean", "sd", "median", "ci95", "n", "undefined"}}}``; None where not defined.
        """
        return {
            name: {metric: self._statistics(self.values(name, metric)) for metric in self.metrics}
            for name in (*self.classes, _OVER_CLASSES)
        }

    def states(self) -> dict[str, dict[str, int]]:
        """How many cases are in each state, per class."""
        found = {name: [classes[name]["state"] for classes, _ in self._cases.values()] for name in self.classes}
        return {name: {state: found[name].count(state) for state in STATES} for name in self.classes}

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``; None stands for undefined."""
        cases = [
            {
                "case_id": case_id,
                "classes": {name: {**self._json_ready(row), "state": row["state"]} for name, row in classes.items()},
                "seconds": seconds,
            }
            for case_id, (classes, seconds) in self._cases.items()
        ]
        return {
            "cases": cases,
            "aggregate": self.aggregate(),
            "states": self.states(),
            **({"pooled": _none_for_nan(self.pooled)} if self.pooled else {}),
            **self.sections,
            "definitions": {**metric_definitions(self.nsd_tolerance_mm), **self.more_definitions},
            "settings": self.settings,
            "split": self.split,
            "n_cases": len(self),
        }

    def write(self, folder: str | Path) -> None:
        """Write ``cases.csv`` (a row per case and class, empty where undefined) and ``summary.json``, atomically."""
        folder = Path(folder)
        with atomic_path(folder / "cases.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["case_id", "class", "state", *self.metrics, "seconds"])
            for case_id, (classes, seconds) in self._cases.items():
                for name, row in classes.items():
                    table.writerow([case_id, name, row["state"], *self._json_ready(row).values(), seconds])
        write_json_atomic(folder / "summary.json", self.summary())

    def format_table(self) -> str:
        """The aggregate as plain text for a console: a block per class, a line per metric."""
        wide = max(10, *map(len, self.metrics))
        lines = [f"{'':{wide + 2}}{'mean':>9}{'sd':>9}{'median':>9}{'95 % interval':>21}{'n':>6}{'undefined':>11}"]
        states = self.states()
        for name, metrics in self.aggregate().items():
            if name == _OVER_CLASSES and len(self.classes) == 1:
                continue
            found = [f"{count} {state.replace('_', ' ')}" for state, count in states.get(name, {}).items() if count]
            heading = "mean over classes" if name == _OVER_CLASSES else name
            lines.append(f"{heading} ({', '.join(found)})" if found else heading)
            lines += [_table_line(metric, statistics, wide) for metric, statistics in metrics.items()]
        return "\n".join(lines)

    def _json_ready(self, row: Mapping[str, Any]) -> dict[str, float | None]:
        """The metrics of one class in their fixed order, with None for NaN."""
        return {metric: None if math.isnan(row[metric]) else float(row[metric]) for metric in self.metrics}

    def _value(self, classes: Mapping[str, ClassMetrics], class_name: str, metric: str) -> float:
        if class_name != _OVER_CLASSES:
            return float(classes[class_name][metric])
        defined = [float(row[metric]) for row in classes.values() if not math.isnan(row[metric])]
        return math.fsum(defined) / len(defined) if defined else float("nan")

    def _statistics(self, values: NDArray[np.float64]) -> dict[str, Any]:
        defined = values[~np.isnan(values)]
        interval = bootstrap_interval(defined, resamples=self.resamples, seed=self.seed)
        return {
            "mean": float(defined.mean()) if defined.size else None,
            "sd": float(defined.std(ddof=1)) if defined.size > 1 else None,
            "median": float(np.median(defined)) if defined.size else None,
            "ci95": list(interval) if interval else None,
            "n": int(defined.size),
            "undefined": int(values.size - defined.size),
        }


def _none_for_nan(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {metric: None if math.isnan(value) else value for metric, value in values.items()}
        for name, values in scores.items()
    }


def _table_line(metric: str, statistics: Mapping[str, Any], wide: int) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    interval = "-" if statistics["ci95"] is None else " to ".join(map(number, statistics["ci95"]))
    spread = "".join(f"{number(statistics[key]):>9}" for key in ("mean", "sd", "median"))
    return f"  {metric:{wide}}{spread}{interval:>21}{statistics['n']:>6}{statistics['undefined']:>11}"
