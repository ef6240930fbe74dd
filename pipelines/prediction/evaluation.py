"""Segmenting labelled cases and measuring the result against their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import progress, say
from pipelines.data.dataset import read_dataset
from pipelines.keys import Keys
from pipelines.metrics.case_report import CaseReport, measure_case
from pipelines.prediction.segmenter import Segmenter
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
) -> None:
    """Segment each case and add its metrics to ``report``.

    Args:
        entries: case entries with labels.
        segmenter: gives the label maps.
        report: takes the metrics.
        class_names: label to name, the background left out.
        masks: folder to write the label maps to, as ``<case_id>.nii.gz`` on the grid of the image; None for nowhere.

    Raises:
        InputError: when an image or a label cannot be read, or they do not fit each other.
    """
    for entry in progress(entries, "evaluating"):
        prediction = segmenter.predict(entry)
        if masks is not None:
            write_mask(
                masks / f"{entry[Keys.CASE_ID.value]}{mask_suffix(entry)}", prediction.labels, first_image(entry)
            )
        add_case(report, entry, prediction.labels, class_names, prediction.seconds)


def add_case(
    report: CaseReport, entry: Mapping[str, Any], labels: np.ndarray, class_names: Mapping[int, str], seconds: float
) -> None:
    """Measure one label map against the label of its case and add the metrics to ``report``.

    Raises:
        InputError: when the case has no label, or one of another shape.
    """
    if Keys.LABEL.value not in entry:
        raise InputError(str(entry[Keys.IMAGE.value]), "has no label to be measured against")
    reference = read_volume(entry[Keys.LABEL.value])
    if reference.array.shape != labels.shape:
        raise InputError(
            str(entry[Keys.LABEL.value]), f"has shape {reference.array.shape}, but the prediction has {labels.shape}"
        )
    classes = measure_case(labels, reference.array, reference.spacing, class_names, NSD_TOLERANCE_MM)
    report.add(str(entry[Keys.CASE_ID.value]), classes, round(seconds, 3))


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
