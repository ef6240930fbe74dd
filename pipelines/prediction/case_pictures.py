"""Pictures of the best, median and worst of the evaluated cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import progress
from pipelines.keys import Keys
from pipelines.prediction.evaluation import first_image
from pipelines.prediction.segmenter import Segmenter
from transforms.io.atomic import atomic_path
from transforms.io.volume import format_of, read_volume

if TYPE_CHECKING:
    from pipelines.figures.report import Picture

PICTURE_FOLDER = "pictures"


def case_pictures(
    folder: Path, segmenter: Segmenter, entries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> list[Picture]:
    """Draw the cases that ``pick_cases`` chooses and write them into ``folder`` as ``<role>_<case_id>.png``.

    Args:
        folder: where the files go.
        segmenter: segments the pictured cases once more.
        entries: the evaluated case entries.
        summary: content of ``summary.json``.

    Returns:
        The pictures for the report; fewer than three when one case is, say, both best and worst, none when no case has
        a Dice.
    """
    from pipelines.figures.overlays import case_png
    from pipelines.figures.report import Picture, describe_case, pick_cases

    by_id = {str(entry[Keys.CASE_ID.value]): entry for entry in entries}
    class_names = list(next(iter(summary["cases"]))["classes"]) if summary["cases"] else []
    picked: dict[str, str] = {}
    for role, case_id in pick_cases(dict(summary)).items():
        if case_id not in picked.values():
            picked[role] = case_id
    pictures = []
    for role, case_id in progress(picked.items(), "drawing", total=len(picked)):
        entry = by_id[case_id]
        file = first_image(entry)
        image = read_volume(file)
        png = case_png(
            image.array,
            reference=read_volume(entry[Keys.LABEL.value]).array,
            prediction=segmenter.predict(entry).labels,
            level_set=segmenter.predict_level_set(entry),
            class_names=class_names,
            spacing_mm=image.spacing,
            affine=image.affine,
            is_picture=format_of(file) == "raster",
        )
        with atomic_path(folder / f"{role}_{case_id}.png") as temporary:
            temporary.write_bytes(png)
        pictures.append(Picture(png, f"{role}: {case_id}", describe_case(dict(summary), case_id)))
    return pictures
