"""The data set that a registration of atlases gives: targets with the warped labels, and the table of its quality."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.data.dataset import DESCRIPTION, Case, DataSet
from pipelines.registration.pair_job import PairJob
from transforms.io.atomic import atomic_path, write_json_atomic
from transforms.io.volume import SUFFIXES

TABLE = "registration_quality.csv"
COLUMNS = (
    *("atlas", "target", "engine", "similarity_start", "similarity_affine", "similarity_final"),
    *("dice_start", "dice_affine", "dice_final"),
    *("jacobian_lowest", "jacobian_highest", "jacobian_folded_share", "jacobian_log_deviation"),
    *("seconds", "fallback"),
)


def write_table(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write one row a pair; an empty cell is unknown."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for record in records:
            cells = (record.get(name) for name in COLUMNS)
            table.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])


def write_atlas_dataset(
    output: Path, atlases: DataSet, targets: DataSet, chosen: Sequence[Case], jobs: Sequence[PairJob]
) -> None:
    """Copy the targets, and the validation and test cases of their data set; write ``dataset.json`` last.

    Args:
        output: the folder; it holds the warped labels already.
        atlases: says what the labels mean.
        targets: says what the channels are.
        chosen: the targets.
        jobs: all pairs that were registered.
    """
    training = []
    for case in chosen:
        mine = [job for job in jobs if job.target.case_id == case.case_id]
        if mine:
            entry = _copied(output, case)
            entry["raters"] = [job.label_file.relative_to(output).as_posix() for job in mine]
            entry["atlas"] = [job.atlas.case_id for job in mine]
            training.append(entry)
    kept = {split: [_copied(output, case) for case in getattr(targets, split)] for split in ("validation", "test")}
    description = {
        "name": f"{targets.name} with labels of {atlases.name}",
        "description": f"Labels of {atlases.name}, registered to {targets.name}. Research use only, not for diagnosis.",
        "tensorImageSize": targets.extras.get("tensorImageSize", "3D"),
        "modality": {str(number): name for number, name in enumerate(targets.modality)},
        "labels": {str(value): name for value, name in atlases.labels.items()},
        "numTraining": len(training),
        "numTest": len(kept["test"]),
        "training": training,
        **{split: entries for split, entries in kept.items() if entries or split == "test"},
    }
    write_json_atomic(output / DESCRIPTION, description)


def _copied(output: Path, case: Case) -> dict[str, Any]:
    """Copy a case's files; give its entry."""
    many = len(case.images) > 1
    folders = [f"images/channel_{number}" if many else "images" for number in range(len(case.images))]
    files = [_copy(output, folder, case.case_id, path) for folder, path in zip(folders, case.images, strict=True)]
    entry: dict[str, Any] = {"image": files if many else files[0]}
    if case.label is not None:
        entry["label"] = _copy(output, "labels", case.case_id, case.label)
    if case.patient is not None:
        entry["patient"] = case.patient
    return entry


def _copy(output: Path, folder: str, case_id: str, source: Path) -> str:
    """Copy a file, or a DICOM folder, as ``folder/case_id``; give the path relative to ``output``."""
    suffix = next((suffix for suffix in SUFFIXES if source.name.lower().endswith(suffix)), "")
    final = output / folder / (case_id + ("" if source.is_dir() else suffix))
    if source.is_dir():
        shutil.copytree(source, final, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        with atomic_path(final) as temporary:
            shutil.copyfile(source, temporary)
    return final.relative_to(output).as_posix()
