"""Ways through the slices of some evaluated cases: the image, the truth, and what each network found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.console import progress
from pipelines.keys import Keys
from pipelines.prediction.ensemble import Ensemble
from pipelines.prediction.evaluation import first_image
from pipelines.prediction.segmenter import Segmenter
from transforms.io.volume import read_volume

if TYPE_CHECKING:
    from pipelines.figures.slice_animation import Animation

FUSED, PREDICTION = "fused", "prediction"


def case_animations(
    segmenter: Segmenter,
    entries: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    names: Sequence[str] = (),
    count: int | None = None,
) -> list[Animation]:
    """Draw cases slice by slice: the best, the median and the worst, then others from the best on.

    Args:
        segmenter: segments the cases once more, each network of an ensemble by itself too.
        entries: the evaluated case entries.
        summary: content of ``summary.json``.
        names: of the networks of an ensemble.
        count: how many cases; None for the three where slices are what the network looks at, else for none.

    Returns:
        The animations, together no larger than one may be; none of images without slices.
    """
    from pipelines.figures.report import describe_case
    from pipelines.figures.slice_animation import MAX_BYTES, animate_slices

    axis = getattr(segmenter, "slice_axis", None)
    if count == 0 or (count is None and axis is None) or not summary["cases"]:
        return []
    picked = _picked(summary, 3 if count is None else count)
    by_id = {str(entry[Keys.CASE_ID.value]): entry for entry in entries}
    class_names = list(next(iter(summary["cases"]))["classes"])
    animations = []
    for title, case_id in progress(picked.items(), "drawing slices", total=len(picked)):
        entry = by_id[case_id]
        label = read_volume(entry[Keys.LABEL.value]).array
        if label.ndim != 3:
            continue
        found, presence = _found(segmenter, entry, names)
        animations.append(
            animate_slices(
                read_volume(first_image(entry)).array,
                truth=label,
                predictions=found,
                class_names=class_names,
                slice_axis=-1 if axis is None else axis,
                presence=presence,
                title=f"{title}: {case_id}",
                caption=describe_case(dict(summary), case_id),
                max_bytes=MAX_BYTES // len(picked),
            )
        )
    return animations


def _picked(summary: Mapping[str, Any], count: int) -> dict[str, str]:
    """Choose cases by their Dice, each once, under what they are."""
    from pipelines.figures.report import pick_cases
    from pipelines.figures.report_tables import case_score

    picked: dict[str, str] = {}
    for role, case_id in pick_cases(dict(summary)).items():
        if case_id not in picked.values():
            picked[role] = case_id
    scored = [(case_score(case), str(case["case_id"])) for case in summary["cases"]]
    ranked = [case_id for score, case_id in sorted((pair for pair in scored if pair[0] is not None), reverse=True)]
    others = [case_id for case_id in ranked if case_id not in picked.values()]
    picked |= {f"number {ranked.index(case_id) + 1}": case_id for case_id in others}
    return dict(list(picked.items())[:count])


def _found(
    segmenter: Segmenter, entry: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Give the label map of each network that makes one and, of several, that of their mean; and its presence."""
    whole = segmenter.predict(entry)
    if not isinstance(segmenter, Ensemble):
        return {PREDICTION: whole.labels}, whole.presence
    found = {}
    for number, (predictor, name) in enumerate(zip(segmenter.predictors, names, strict=True), start=1):
        if predictor.gives_mask:
            found[name if name not in found else f"{name} ({number})"] = predictor.predict(entry).labels
    return {**found, FUSED: whole.labels}, whole.presence
