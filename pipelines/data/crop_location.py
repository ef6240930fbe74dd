"""Centres of crops without any label: what a coarse model finds in the whole scan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.data.crop_plan import Centre
from pipelines.data.dataset import Case
from transforms.io.atomic import write_json_atomic
from transforms.io.volume import read_geometry


def locate_cases(
    cases: Sequence[Case],
    segment: Callable[[dict[str, Any]], npt.NDArray[Any]],
    memory: Path,
    identity: str,
    watch: Callable[[Sequence[Case]], Any] = iter,
) -> dict[str, list[Centre]]:
    """Give the centre of what a model segments in each case: the centroid of its largest connected piece.

    Args:
        cases: whose images are segmented; their labels are not looked at.
        segment: case entry to label map (H, W, D) on the grid of the image.
        memory: JSON file that keeps what was found, so that a stopped command does not segment again.
        identity: of the model; what another model has found is not used.
        watch: wraps the cases, to show progress.

    Returns:
        One centre per case, none where the model finds nothing.
    """
    known = _remembered(memory, identity)
    for case in watch(cases):
        key = json.dumps([[str(path), path.stat().st_mtime_ns] for path in case.images])
        if key not in known:
            place = _largest_piece(segment(case.without_label().entry()), read_geometry(case.images[0]).affine)
            known[key] = place
            write_json_atomic(memory, {"model": identity, "centres": known})
    centres = {}
    for case in cases:
        place = known[json.dumps([[str(path), path.stat().st_mtime_ns] for path in case.images])]
        centres[case.case_id] = [] if place is None else [Centre((place[0], place[1], place[2]), "model")]
    return centres


def _remembered(memory: Path, identity: str) -> dict[str, list[float] | None]:
    if not memory.is_file():
        return {}
    content = json.loads(memory.read_text(encoding="utf-8"))
    return dict(content["centres"]) if content.get("model") == identity else {}


def _largest_piece(labels: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> list[float] | None:
    from transforms.keep_largest import KeepLargestComponent

    if not labels.any():
        return None
    piece: npt.NDArray[Any] = np.asarray(KeepLargestComponent()((labels > 0).astype(np.uint8)[None]))[0]
    return [float(value) for value in (affine @ [*np.argwhere(piece).mean(axis=0), 1.0])[:3]]
