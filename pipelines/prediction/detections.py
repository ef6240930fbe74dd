"""What was found to be present in slices and volumes: ``detections.json``, ``detections.csv``, and scores where the
truth is known.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.metrics.detection import Detections, presence_of_volume
from pipelines.prediction.segmenter import whole_presence
from transforms.io.atomic import atomic_path, write_json_atomic

JSON_FILE, CSV_FILE = DETECTION_FILES = ("detections.json", "detections.csv")
COLUMNS = ("case_id", "slice_index", "kind", "probability", "present", "truth")
THRESHOLD = 0.5
_DIGITS = 6


@dataclass(frozen=True)
class _Case:
    """What was found in one case, (P, D) or (P,), and what is true: 1, 0 or -1 (unknown), or nothing known at all."""

    presence: np.ndarray
    truth: np.ndarray | None
    whole_truth: np.ndarray | None
    seconds: float


class DetectionRecord:
    """Collects what was found, case by case.

    Args:
        class_names: label to name of the kinds of lesion, the background left out, in the order of the channels.
        threshold: what is as probable as this, or more, is called present.
    """

    def __init__(self, class_names: Mapping[int, str], threshold: float = THRESHOLD) -> None:
        self.kinds = tuple(name for label, name in class_names.items() if label > 0)
        self.threshold = threshold
        self._scores = Detections(self.kinds, threshold)
        self._cases: dict[str, _Case] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def add(
        self,
        case_id: str,
        presence: np.ndarray,
        seconds: float,
        truth: np.ndarray | None = None,
        whole_truth: np.ndarray | None = None,
    ) -> None:
        """Take in one case.

        Args:
            case_id: unique.
            presence: probabilities (P, D) of the slices, (P,) of a single image.
            seconds: how long the case took.
            truth: of the same shape, 1 there, 0 not there, -1 unknown; None when nothing is known.
            whole_truth: (P,), where more is known of the volume than of its slices.

        Raises:
            ValueError: when there are not as many kinds as classes.
        """
        if len(presence) != len(self.kinds):
            raise ValueError(f"{len(presence)} kinds were detected, but the classes are {', '.join(self.kinds)}.")
        if truth is not None:
            self._scores.add(case_id, presence, truth, whole_truth)
            whole_truth = whole_truth if whole_truth is not None else _whole_truth(truth)
        self._cases[case_id] = _Case(presence, truth, whole_truth, seconds)

    def seconds(self) -> list[float]:
        """How long each case took, in the order added."""
        return [case.seconds for case in self._cases.values()]

    def scores(self) -> dict[str, Any] | None:
        """Give the scores of slices and volumes as :class:`pipelines.metrics.detection.Detections` does; None when no
        truth is known.
        """
        return self._scores.summary() if len(self._scores) else None

    def definitions(self) -> dict[str, str]:
        """What the scores mean."""
        return self._scores.definitions()

    def told(self) -> list[str]:
        """Give a line for each case: what it holds as a whole."""
        return [
            f"{case_id}: "
            + ", ".join(
                f"{kind} {value:.2f}" for kind, value in zip(self.kinds, whole_presence(case.presence), strict=True)
            )
            for case_id, case in self._cases.items()
        ]

    def write(self, folder: Path, sources: Sequence[Mapping[str, Any]], resources: Mapping[str, Any]) -> None:
        """Write both files, each whole or not at all.

        Args:
            folder: where to.
            sources: of each network its name, its weight, and how it inferred; JSON.
            resources: what it took; JSON.
        """
        with atomic_path(folder / CSV_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for case_id, case in self._cases.items():
                table.writerows((case_id, *row) for row in self._rows(case))
        write_json_atomic(
            folder / JSON_FILE,
            {
                "intended_use": NOT_FOR_DIAGNOSIS,
                "threshold": self.threshold,
                "kinds": list(self.kinds),
                "volume": "The largest probability of its slices.",
                "mean": "Of several sources the weighted mean of those that tell what is present.",
                "sources": [dict(source) for source in sources],
                "resources": dict(resources),
                "cases": [{"case_id": case_id, **self._told_of(case)} for case_id, case in self._cases.items()],
            },
        )

    def _rows(self, case: _Case) -> list[tuple[Any, ...]]:
        """Rows of the table: the volume's first, then those of its slices."""
        whole = zip(self.kinds, whole_presence(case.presence), _column(case.whole_truth, len(self.kinds)), strict=True)
        rows = [("", *self._cells(*cells)) for cells in whole]
        if case.presence.ndim < 2:
            return rows
        for index in range(case.presence.shape[1]):
            truth = _column(None if case.truth is None else case.truth[:, index], len(self.kinds))
            slices = zip(self.kinds, case.presence[:, index], truth, strict=True)
            rows += [(index, *self._cells(*cells)) for cells in slices]
        return rows

    def _cells(self, kind: str, value: float, truth: int | None) -> tuple[Any, ...]:
        return kind, round(float(value), _DIGITS), int(value >= self.threshold), "" if truth is None else truth

    def _told_of(self, case: _Case) -> dict[str, Any]:
        found: dict[str, Any] = {"seconds": round(case.seconds, 3), "volume": {}}
        whole = zip(self.kinds, whole_presence(case.presence), _column(case.whole_truth, len(self.kinds)), strict=True)
        for kind, value, truth in whole:
            found["volume"][kind] = {
                "probability": round(float(value), _DIGITS),
                "present": bool(value >= self.threshold),
                **({} if case.truth is None else {"truth": None if truth is None else bool(truth)}),
            }
        if case.presence.ndim > 1:
            found["slices"] = {}
            for number, kind in enumerate(self.kinds):
                values = case.presence[number]
                truths = _column(None if case.truth is None else case.truth[number], len(values))
                found["slices"][kind] = {
                    "probability": [round(float(value), _DIGITS) for value in values],
                    "present": [bool(value >= self.threshold) for value in values],
                    **({} if case.truth is None else {"truth": [None if t is None else bool(t) for t in truths]}),
                }
        return found


def _whole_truth(truth: np.ndarray) -> np.ndarray:
    return presence_of_volume(truth) if truth.ndim > 1 else truth


def _column(truth: np.ndarray | None, count: int) -> list[int | None]:
    """Truths as 1, 0 or None where it is not known."""
    if truth is None:
        return [None] * count
    return [int(value) if value >= 0 else None for value in truth]


def sources_of(facts: Any) -> list[dict[str, Any]]:
    """Give the name, weight and settings of each network.

    Args:
        facts: :class:`pipelines.prediction.loading.ModelFacts` of one source or an ensemble.
    """
    if facts.members:
        return list(facts.settings["ensemble"])
    return [{"name": facts.name, "weight": 1.0, **facts.settings}]


def resources(seconds: Sequence[float]) -> dict[str, Any]:
    """Give the mean seconds per volume and the largest memory, in MiB, that this process has had so far."""
    from pipelines.runs.record import peak_memory

    mean = round(sum(seconds) / len(seconds), 3) if seconds else None
    return {"seconds_per_volume": mean, "volumes": len(seconds), **peak_memory()}
