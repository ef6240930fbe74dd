"""Segmenting labelled cases and measuring the result against their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import progress, say
from pipelines.data.dataset import read_dataset
from pipelines.data.presence import presence_of_mask, read_presence
from pipelines.keys import Keys
from pipelines.metrics.case_report import CaseReport, measure_case
from pipelines.metrics.case_scores import CaseScores
from pipelines.metrics.volume_dice import VolumeDice
from pipelines.prediction.detections import DetectionRecord, resources
from pipelines.prediction.segmenter import Prediction, PresenceSegmenter, ProbabilitySegmenter, Segmenter
from transforms.io.input_error import InputError
from transforms.io.volume import Volume, read_volume, write_mask

NSD_TOLERANCE_MM = 2.0
MASK_FOLDER = "masks"


def evaluate_cases(
    entries: Sequence[Mapping[str, Any]],
    segmenter: Segmenter,
    report: CaseReport,
    class_names: Mapping[int, str],
    masks: Path | None = None,
    scores: CaseScores | None = None,
) -> DetectionRecord | None:
    """Segment each case and add its metrics to ``report``.

    Of networks that look at slices, the report's ``sections`` get the Dice of whole volumes as published
    (:class:`pipelines.metrics.volume_dice.VolumeDice`), the scores of what they detect, and what it took.

    Args:
        entries: case entries with labels.
        segmenter: gives the label maps.
        report: takes the metrics.
        class_names: label to name, the background left out.
        masks: folder to write the label maps to, as ``<case_id>.nii.gz`` on the grid of the image; None for nowhere.
        scores: what is measured beside that, and whether within the fields of view; None measures nothing more, within
            the fields of view.

    Returns:
        What was detected; None where nothing is.

    Raises:
        InputError: when an image, a label or a field of view cannot be read, they do not fit each other, or scores ask
            for probabilities that the segmenter does not have.
    """
    scores = scores or CaseScores()
    in_slices = isinstance(segmenter, PresenceSegmenter) and segmenter.looks_at_slices
    volume_dice = VolumeDice(class_names) if in_slices else None
    found = DetectionRecord(class_names)
    for entry in progress(entries, "evaluating"):
        prediction, probabilities = _predicted(segmenter, entry, scores)
        if masks is not None:
            write_mask(
                masks / f"{entry[Keys.CASE_ID.value]}{mask_suffix(entry)}", prediction.labels, first_image(entry)
            )
        reference = add_case(report, entry, prediction.labels, class_names, prediction.seconds, scores, probabilities)
        if volume_dice is not None:
            volume_dice.add(str(entry[Keys.CASE_ID.value]), prediction.labels, reference.array, reference.spacing)
        if prediction.presence is not None:
            axis = getattr(segmenter, "slice_axis", None)
            truth = true_presence(entry, class_names, prediction.presence, axis, reference.array)
            found.add(str(entry[Keys.CASE_ID.value]), prediction.presence, prediction.seconds, *truth)
    report.pooled = scores.pooled()
    if volume_dice is not None:
        report.sections |= {"volume_dice": volume_dice.summary(), "resources": resources(report.seconds())}
        report.more_definitions["volume_dice"] = volume_dice.definition
    if len(found):
        report.sections["detection"] = found.scores()
        report.more_definitions |= found.definitions()
    within = sum(Keys.FOV.value in entry for entry in entries) if scores.field_of_view else 0
    if within:
        report.more_definitions["field_of_view"] = (
            f"{within} of {len(entries)} cases were measured within their field of view alone, any others in the whole "
            "image. What lies beyond it counts as background in both masks."
        )
    return found if len(found) else None


def detect_cases(
    entries: Sequence[Mapping[str, Any]], segmenter: PresenceSegmenter, class_names: Mapping[int, str]
) -> DetectionRecord:
    """Do as :func:`evaluate_cases` with a network that tells what is present and gives no mask.

    Raises:
        InputError: when an image or a label cannot be read.
    """
    found = DetectionRecord(class_names)
    for entry in progress(entries, "detecting"):
        presence, seconds = segmenter.predict_presence(entry)
        truth = true_presence(entry, class_names, presence, segmenter.slice_axis)
        found.add(str(entry[Keys.CASE_ID.value]), presence, seconds, *truth)
    return found


def true_presence(
    entry: Mapping[str, Any],
    class_names: Mapping[int, str],
    like: np.ndarray,
    slice_axis: int | None,
    label: Any = None,
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Tell what a case holds, by its label and, where that leaves something open, by its data list.

    Args:
        entry: the case.
        class_names: label to name, the background left out.
        like: what was found in it, (P, D) or (P,).
        slice_axis: axis of the slices in the label.
        label: its label map, if it has been read already.

    Returns:
        Of the slices (P, D) or of the image (P,), and of the whole (P,): 1 there, 0 not there, -1 unknown. None where
        nothing is said.

    Raises:
        InputError: when the label cannot be read, or the data list tells of other classes or slices.
    """
    if label is None and Keys.LABEL.value in entry:
        label = read_volume(entry[Keys.LABEL.value]).array
    slices = like.shape[1] if like.ndim > 1 else 1
    seen = (
        None if label is None else presence_of_mask(label, len(class_names), -1 if slice_axis is None else slice_axis)
    )
    told = None
    if Keys.PRESENCE.value in entry:
        told = read_presence(entry[Keys.PRESENCE.value], class_names, slices, str(entry[Keys.IMAGE.value]))
    known = seen.completed_by(told) if seen is not None and told is not None else seen or told
    return (None, None) if known is None else (known.slices.reshape(like.shape), known.volume)


def add_case(
    report: CaseReport,
    entry: Mapping[str, Any],
    labels: np.ndarray,
    class_names: Mapping[int, str],
    seconds: float,
    scores: CaseScores | None = None,
    probabilities: np.ndarray | None = None,
) -> Volume:
    """Measure one label map against the label of its case and add the metrics to ``report``.

    Args:
        report: takes the metrics.
        entry: the case.
        labels: (H, W[, D]).
        class_names: label to name.
        seconds: how long the case took.
        scores: as for ``evaluate_cases``.
        probabilities: (K + 1, H, W[, D]); None when no score needs them.

    Returns:
        The label of the case.

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
    return volume


def _predicted(
    segmenter: Segmenter, entry: Mapping[str, Any], scores: CaseScores
) -> tuple[Prediction, np.ndarray | None]:
    """Segment one case; with its probabilities when scores need them."""
    if not scores.from_probabilities:
        return segmenter.predict(entry), None
    if not isinstance(segmenter, ProbabilitySegmenter):
        told = " and ".join(scores.from_probabilities)
        raise InputError("--scores", f"{told} need the probabilities of a network, and there are masks alone")
    prediction, probabilities = segmenter.predict_with_probabilities(entry)
    return prediction, np.asarray(probabilities.cpu())


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
        labels = read_dataset(Path(dataset_dir)).labels
        self.class_names = {label: name for label, name in labels.items() if label > 0}
        self.split = split
        self.output_dir = Path(output_dir)
        self.predictor = predictor

    def run(self) -> None:
        """Evaluate all cases, write the scores and print them."""
        report = CaseReport(self.class_names, NSD_TOLERANCE_MM, split=self.split)
        evaluate_cases(self.entries, self.predictor, report, self.class_names)
        report.write(self.output_dir)
        say(report.format_table())
