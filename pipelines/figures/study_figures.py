"""All figures of a study of losses, as PNG files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipelines.console import progress
from pipelines.figures.landscapes import draw_landscapes
from pipelines.figures.loss_maps import DIFFERENCE, KINDS, chosen_moments, common_scales, draw_maps
from pipelines.figures.png import png_bytes
from pipelines.figures.study_charts import draw_loss_curves, draw_progress, draw_reliability
from pipelines.loss_study.landscape import PLANES
from pipelines.loss_study.recording import read_cases, read_moment, recorded_iterations
from pipelines.loss_study.study import StudiedRun
from transforms.io.atomic import atomic_path

COLUMNS = 6


def write_study_figures(folder: Path, runs: Sequence[StudiedRun], study: Mapping[str, Any]) -> list[Path]:
    """Write every figure that the study has something for.

    Maps and surfaces are those of the first seed.

    Args:
        folder: gets ``progress.png``, ``loss_curves.png``, ``reliability.png``, ``landscape_PLANE.png`` and
            ``maps_KIND_CASE.png``.
        runs: all trainings.
        study: as :func:`pipelines.loss_study.study.gather_study` gives it.

    Returns:
        The files.
    """
    figures: dict[str, Figure | None] = {
        "progress": draw_progress(study),
        "loss_curves": draw_loss_curves(study),
        "reliability": draw_reliability(study),
    }
    first = [run for run in runs if run.seed == runs[0].seed]
    for plane in PLANES:
        surfaces = {run.loss: found for run in first if (found := run.surface(plane)) is not None}
        figures[f"landscape_{plane}"] = draw_landscapes(surfaces, plane)
    written = [_written(folder / f"{name}.png", figure) for name, figure in figures.items() if figure is not None]
    return written + _write_maps(folder, first)


def _write_maps(folder: Path, runs: Sequence[StudiedRun]) -> list[Path]:
    cases = read_cases(runs[0].recording)
    if any(case.label.ndim != 2 for case in cases):
        return []  # of volumes the recording itself holds the maps
    shared = set.intersection(*(set(recorded_iterations(run.recording)) for run in runs))
    steps = chosen_moments(sorted(shared), COLUMNS)
    moments = {run.loss: [read_moment(run.recording, step) for step in steps] for run in runs}
    scales = common_scales([moment for found in moments.values() for moment in found])
    written = []
    for index, case in enumerate(progress(cases, "maps")):
        for kind in (*KINDS, DIFFERENCE):
            figure = draw_maps(kind, case, index, moments, scales)
            if figure is not None:
                name = re.sub(r"\W+", "_", case.case_id)
                written.append(_written(folder / f"maps_{kind}_{name}.png", figure))
    return written


def _written(path: Path, figure: Figure) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(figure, dpi=120))
    return path
