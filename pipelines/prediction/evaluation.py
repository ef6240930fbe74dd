"""Segmenting labelled cases and measuring the result against their labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import progress, say
from pipelines.data.dataset import read_dataset
from pipelines.keys import Keys
from pipelines.metrics.case_report import CaseReport, measure_case
from pipelines.metrics.case_scores import CaseScores
from pipelines.prediction.segmenter import Prediction, ProbabilitySegmenter, Segmenter
from transforms.io.input_error import InputError
from transforms.io.volume import read_volume, write_mask

NSD_TOLERANCE_MM = 2.0
MASK_FOLDER = "masks"


def evaluate_cases(
    entries: Sequence[Mapping[str, Any]],
    segmenter: Segmenter,
    report: CaseReport,
    class_names: Mapping[int, str],
    masks: Path | None = None,
    scores: CaseScores | None = None,
) -> None:
    """Segment each case and add its metrics to ``report``.

    Args:
        entries: case entries with labels.
        segmenter: gives the label maps.
        report: takes the metrics.
        class_names: label to name, the background left out.
        masks: folder to write the label maps to, as ``<case_id>.nii.gz`` on the grid of the image; None for nowhere.
        scores: what is measured beside that, and whether within the fields of view; None measures nothing more, within
            the fields of view.

    Raises:
        InputError: when an image, a label or a field of view cannot be read, they do not fit each other, or scores ask
            for probabilities that the segmenter does not have.
    """
    scores = scores or CaseScores()
    for entry in progress(entries, "evaluating"):
        prediction, probabilities = _predicted(segmenter, entry, scores)
        if masks is not None:
            write_mask(
                masks / f"{entry[Keys.CASE_ID.value]}{mask_suffix(entry)}", prediction.labels, first_image(entry)
            )
        add_case(report, entry, prediction.labels, class_names, prediction.seconds, scores, probabilities)
    report.pooled = scores.pooled()
    within = sum(Keys.FOV.value in entry for entry in entries) if scores.field_of_view else 0
    if within:
        report.more_definitions["field_of_view"] = (
            f"{within} of {len(entries)} cases were measured within their field of view alone, any others in the whole "
            "image. What lies beyond it counts as background in both masks."
        )


def add_case(
    report: CaseReport,
    entry: Mapping[str, Any],
    labels: np.ndarray,
    class_names: Mapping[int, str],
    seconds: float,
    scores: CaseScores | None = None,
    probabilities: np.ndarray | None = None,
) -> None:
    """Measure one label map against the label of its case and add the metrics to ``report``.

    Args:
        report: takes the metrics.
        entry: the case.
        labels: (H, W[, D]).
        class_names: label to name.
        seconds: how long the case took.
        scores: as for ``evaluate_cases``.
        probabilities: (K + 1, H, W[, D]); None when no score needs them.

    Raises:
        InputError: when the case has no label, or its label or field of view has another shape.
    """
    if Keys.LABEL.value not in entry:
        raise InputError(str(entry[Keys.IMAGE.value]), "has no label to be measured against")
    scores = scores or CaseScores()
    volume = read_volume(entry[Keys.LABEL.value])
    reference, inside = volume.array, _field_of_view(entry, labels) if scores.field_of_view else None
    if reference.shape != labels.shape:
        raise InputError(
            str(entry[Keys.LABEL.value]), f"has shape {reference.shape}, but the prediction has {labels.shape}"
        )
    if inside is not None:
        labels, reference = (np.where(inside, values, 0) for values in (labels, reference))
    classes = measure_case(labels, reference, volume.spacing, class_names, NSD_TOLERANCE_MM)
    more = scores.measure(labels, reference, volume.spacing, class_names, probabilities, inside)
    merged = {name: {**values, **more[name]} for name, values in classes.items()}
    report.add(str(entry[Keys.CASE_ID.value]), merged, round(seconds, 3))


def _predicted(
    segmenter: Segmenter, entry: Mapping[str, Any], scores: CaseScores
) -> tuple[Prediction, np.ndarray | None]:
    """Segment one case; with its probabilities when scores need them."""
    if not scores.from_probabilities:
        return segmenter.predict(entry), None
    if not isinstance(segmenter, ProbabilitySegmenter):
        told = " and ".join(scores.from_probabilities)
        raise InputError("--scores", f"{told} need the probabilities of a network, and there are masks alone")
    started = time.monotonic()
    probabilities = segmenter.predict_probabilities(entry)
    return segmenter.prediction(probabilities, started), np.asarray(probabilities.cpu())


def _field_of_view(entry: Mapping[str, Any], labels: np.ndarray) -> np.ndarray | None:
    """Read the mask of a case's field of view, bool, (H, W[, D]); None when it has none."""
    if Keys.FOV.value not in entry:
        return None
    inside: np.ndarray = read_volume(entry[Keys.FOV.value]).array > 0
    if inside.shape != labels.shape:
        raise InputError(str(entry[Keys.FOV.value]), f"has shape {inside.shape}, but the prediction has {labels.shape}")
    return inside


def first_image(entry: Mapping[str, Any]) -> Path:
    """Give the image file of a case; the first one when its channels are in several files."""
    image = entry[Keys.IMAGE.value]
    return Path(image if isinstance(image, str | Path) else image[0])


def mask_suffix(entry: Mapping[str, Any]) -> str:
    """Give the suffix under which a case's mask is written: ``.png`` for pictures, ``.nii.gz`` for all else."""
    return ".png" if first_image(entry).suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff") else ".nii.gz"


class Evaluation:
    """Evaluation as a configuration runs it.

    Args:
        entries: case entries with labels.
        dataset_dir: the data set, for the names of its classes.
        split: which cases these are.
        output_dir: where ``summary.json`` and ``cases.csv`` go.
        predictor: segments.
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        dataset_dir: str | Path,
        split: str,
        output_dir: str | Path,
        predictor: Segmenter,
    ) -> None:
        self.entries = entries
        self.class_names = read_dataset(Path(dataset_dir)).labels
        self.split = split
        self.output_dir = Path(output_dir)
        self.predictor = predictor

    def run(self) -> None:
        """Evaluate all cases, write the scores and print them."""
        report = CaseReport(self.class_names, NSD_TOLERANCE_MM, split=self.split)
        evaluate_cases(self.entries, self.predictor, report, self.class_names)
        report.write(self.output_dir)
        say(report.format_table())
