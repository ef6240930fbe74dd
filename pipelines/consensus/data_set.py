"""A data set with raters, and the data set in whose training cases their consensus is the label."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.consensus.case_consensus import CaseFiles, CaseTask
from pipelines.data.dataset import DESCRIPTION, SPLITS, Case, DataSet
from pipelines.data.raters import rater_labels
from transforms.io.atomic import write_json_atomic
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import format_of, stem_of

LABELS, UNCERTAINTY, PROBABILITIES, RECORDS = "consensus_labels", "uncertainty", "probabilities", "records"


def cases_with_raters(dataset: DataSet) -> tuple[Case, ...]:
    """Give the training cases that have raters.

    Raises:
        InputError: when there is none.
    """
    cases = tuple(case for case in dataset.training if case.raters)
    if not cases:
        raise InputError(dataset.root / DESCRIPTION, 'lists no training case with "raters", the labels to fuse')
    return cases


def case_tasks(
    dataset: DataSet,
    folders: Mapping[str, Path],
    parameters: Mapping[tuple[str, str], float] | None,
    source: Path | None,
    probabilities: bool,
) -> list[CaseTask]:
    """Give what is to be done for each training case with raters.

    Args:
        dataset: where the raters are.
        folders: of each method's data set.
        parameters: by case and rater, None when no method needs them.
        source: where the parameters are from, to be blamed for those that are missing.
        probabilities: write soft results of all methods; that of ``average`` is always written.

    Raises:
        InputErrors: naming the raters without a parameter.
    """
    faults, tasks = [], []
    for case in cases_with_raters(dataset):
        raters = rater_labels(case)
        names = tuple(path.relative_to(dataset.root).as_posix() for path in raters)
        known = None
        if parameters is not None:
            missing = [name for name in names if (case.case_id, name) not in parameters]
            subject = dataset.root if source is None else source
            faults += [
                InputError(subject, f"has no parameter for rater {name} of case {case.case_id}") for name in missing
            ]
            known = tuple(parameters.get((case.case_id, name), 0.0) for name in names)
        files = {
            method: case_files(folder, case, probabilities or method == "average") for method, folder in folders.items()
        }
        tasks.append(CaseTask(case.case_id, raters, names, known, case.label, tuple(dataset.labels), files))
    if faults:
        raise InputErrors(faults)
    return tasks


def case_files(folder: Path, case: Case, probabilities: bool) -> CaseFiles:
    """Give where the results of a case go in the folder of one method."""
    return CaseFiles(
        label=folder / LABELS / (case.case_id + mask_suffix(case.raters[0])),
        uncertainty=folder / UNCERTAINTY / f"{case.case_id}.nii.gz",
        probability=folder / PROBABILITIES / f"{case.case_id}.nii.gz" if probabilities else None,
        record=folder / RECORDS / f"{case.case_id}.json",
    )


def mask_suffix(rater: Path) -> str:
    """Give the suffix of the consensus: that of the raters where masks are written so, else the nearest format's."""
    suffix = rater.name[len(stem_of(rater)) :].lower()
    nearest = {"nifti": ".nii.gz", "itk": ".mha", "raster": ".png"}[format_of(rater) or "nifti"]
    return suffix if suffix in (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff") else nearest


def write_data_set(dataset: DataSet, folder: Path, method: str) -> None:
    """Make ``folder`` a whole data set: images (and what other cases have) linked or copied, and its description.

    Training cases have the consensus as their label and no raters; training cases without raters are left out.
    Validation, test and unlabelled cases stay as they are.

    Args:
        dataset: the source.
        folder: where the consensus labels are already.
        method: whose they are.
    """
    content: dict[str, Any] = {
        "name": f"{dataset.name} ({method} consensus)",
        "modality": {str(number): name for number, name in enumerate(dataset.modality)},
        "labels": {str(value): name for value, name in dataset.labels.items()},
        **{key: value for key, value in dataset.extras.items() if key not in ("channel_names", "file_ending")},
        "consensus": {"method": method, "source": dataset.name},
    }
    content |= {split: [] for split in SPLITS}
    for case in cases_with_raters(dataset):
        entry = _entry(dataset.root, folder, case, [*case.images], ("raters", "atlas"))
        entry["label"] = case_files(folder, case, False).label.relative_to(folder).as_posix()
        content["training"].append(entry)
    for split in SPLITS[1:]:
        for case in getattr(dataset, split):
            entry = _entry(dataset.root, folder, case, case.files, ())
            if case.label is not None:
                entry["label"] = case.label.relative_to(dataset.root).as_posix()
            content[split].append(entry)
    content["numTraining"], content["numTest"] = len(content["training"]), len(content["test"])
    write_json_atomic(folder / DESCRIPTION, content)


def _entry(root: Path, folder: Path, case: Case, files: Sequence[Path], left_out: Sequence[str]) -> dict[str, Any]:
    """Bring the files of a case and give its entry, without its label."""
    extras = {key: value for key, value in case.extras.items() if key not in left_out}
    also = [Path(os.path.normpath(root / value)) for value in extras.values() if isinstance(value, str) and value]
    for path in (*files, *(path for path in also if root in path.parents and path.is_file())):
        bring(path, folder / path.relative_to(root))
    images = [path.relative_to(root).as_posix() for path in case.images]
    entry: dict[str, Any] = {"image": images[0] if len(images) == 1 else images, **extras}
    if case.patient is not None:
        entry["patient"] = case.patient
    return entry


def bring(source: Path, target: Path) -> None:
    """Link ``source`` (a file, or a folder with a series) under ``target``, or copy it where links cannot be made.

    Raises:
        InputError: when it cannot be copied either.
    """
    try:
        if source.is_dir():
            for path in sorted(source.iterdir()):
                bring(path, target / path.name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if target.samefile(source):
                return
            target.unlink()
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copy2(source, target)
    except OSError as fault:
        raise InputError(target, f"cannot be written: {fault.strerror}") from fault
