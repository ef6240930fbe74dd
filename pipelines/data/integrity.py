"""Every fault of a data set in one pass, and the fingerprint of one that has none."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.console import progress
from pipelines.data.dataset import Case, DataSet
from pipelines.data.integrity_cache import IntegrityCache
from pipelines.data.integrity_case import case_warnings, fov_faults, label_faults, pair_faults
from pipelines.data.integrity_presence import presence_faults
from pipelines.data.integrity_record import FileRecord
from pipelines.data.splits import patient_faults
from transforms.io.input_error import InputError, InputErrors

WIDE_SPACING_RATIO = 3.0


@dataclass(frozen=True)
class Report:
    """What a check found.

    Args:
        faults: what must be mended before anything is trained on the data set.
        warnings: what is allowed but rarely meant, one line each.
        fingerprint: a JSON-able description of the data set: ``hash`` (of all file contents and their roles, wherever
            the folder lies), ``cases`` (per case: split, SHA-256 per file, shape, spacing, intensities, label
            fractions) and ``summary``.
    """

    faults: tuple[InputError, ...]
    warnings: tuple[str, ...]
    fingerprint: dict[str, Any]

    def raise_for_faults(self) -> None:
        """Refuse the data set when there is any fault.

        Raises:
            InputErrors: holding all of them.
        """
        if self.faults:
            raise InputErrors(self.faults)


@dataclass(frozen=True)
class _CheckedCase:
    split: str
    case: Case
    images: tuple[tuple[Path, FileRecord], ...]
    """Those that could be read."""
    label: tuple[Path, FileRecord] | None
    hashes: Mapping[Path, str]
    raters: tuple[tuple[Path, FileRecord], ...] = ()
    fov: tuple[Path, FileRecord] | None = None


def check_dataset(dataset: DataSet, cache: Path | None = None, found_before: Sequence[InputError] = ()) -> Report:
    """Read every file of a data set and find everything that is wrong with it.

    Args:
        dataset: the data set; its files need not be there.
        cache: JSON file that remembers what files held (see ``IntegrityCache``); a repeated check then reads only what
            has changed.
        found_before: faults of entries that are not in ``dataset`` any more (see ``scan_dataset``).
    """
    kept = IntegrityCache(cache)
    faults = list(found_before)
    checked = [_check_case(kept, split, case, faults) for split, case in progress(dataset.cases, "checking cases")]
    kept.save()
    warnings: list[str] = []
    for item in checked:
        faults += pair_faults(item.images, item.label)
        if item.label is not None:
            faults += label_faults(*item.label, dataset.labels)
        warnings += case_warnings(item.images, item.label)
        if item.images:
            faults += presence_faults(item.case, item.images[0][1], item.label, dataset.labels)
        for rater in item.raters:
            faults += [*pair_faults(item.images[:1], rater), *label_faults(*rater, dataset.labels)]
            warnings += case_warnings((), rater)
        if item.fov is not None:
            faults += [*pair_faults(item.images[:1], item.fov), *fov_faults(*item.fov)]
    faults += _kind_faults(checked)
    faults += _repetition_faults(dataset, checked)
    warnings += _set_warnings(dataset, checked)
    unique = {(fault.subject, fault.reason): fault for fault in faults}
    return Report(tuple(unique.values()), tuple(dict.fromkeys(warnings)), _fingerprint(dataset, checked))


def _check_case(cache: IntegrityCache, split: str, case: Case, faults: list[InputError]) -> _CheckedCase:
    """Read the files of one case; those that are refused go to ``faults``."""
    hashes: dict[Path, str] = {}
    readable: list[tuple[Path, FileRecord]] = []
    for path in case.files:
        as_label = path not in case.images
        try:
            hashes[path] = cache.sha256(path)
        except InputError as fault:
            faults.append(fault)
            continue
        record = cache.record(path, hashes[path], as_label=as_label)
        if record.fault:
            faults.append(InputError(path / record.fault_in if record.fault_in else path, record.fault))
        else:
            readable.append((path, record))
    label, fov = (next((pair for pair in readable if pair[0] == path), None) for path in (case.label, case.fov))
    images, raters = (tuple(pair for pair in readable if pair[0] in paths) for paths in (case.images, set(case.raters)))
    return _CheckedCase(split, case, images, label, hashes, raters, fov)


def _kind_faults(checked: Sequence[_CheckedCase]) -> list[InputError]:
    """Find cases with another number of dimensions or channels than most have."""
    faults = []
    complete = [item for item in checked if item.images and len(item.images) == len(item.case.images)]
    dims = Counter(len(item.images[0][1].shape) for item in complete)
    channels = Counter(_channels(item) for item in complete)
    for item in complete:
        path, record = item.images[0]
        usual_dims, usual_channels = dims.most_common(1)[0][0], channels.most_common(1)[0][0]
        if len(record.shape) != usual_dims:
            faults.append(
                InputError(path, f"is {len(record.shape)}D, but most images of the data set are {usual_dims}D")
            )
        if _channels(item) != usual_channels:
            reason = f"its case has {_channels(item)} channels, but most cases of the data set have {usual_channels}"
            faults.append(InputError(path, reason))
    return faults


def _channels(item: _CheckedCase) -> int:
    return sum(record.channels or 1 for _, record in item.images)


def _repetition_faults(dataset: DataSet, checked: Sequence[_CheckedCase]) -> list[InputError]:
    """Find cases listed twice, patients in two splits, and images of the same content."""
    faults = []
    listed: dict[tuple[Path, ...], str] = {}
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for split, case in dataset.cases:
        if case.images in listed:
            where = f"twice in {split}" if listed[case.images] == split else f"in {listed[case.images]} and in {split}"
            faults.append(InputError(case.images[0], f"is listed {where}"))
            continue
        listed[case.images] = split
        parts["training" if split == "unlabeled" else split].append(case)
    faults += patient_faults({name: tuple(cases) for name, cases in parts.items()})
    seen: dict[str, tuple[Path, str]] = {}
    for item in checked:
        for path, record in item.images:
            earlier, split = seen.setdefault(record.voxels, (path, item.split))
            if earlier != path:
                faults.append(InputError(path, f"({item.split}) holds the same image as {earlier} ({split})"))
    return faults


def _set_warnings(dataset: DataSet, checked: Sequence[_CheckedCase]) -> list[str]:
    """Find oddities that only all cases together show."""
    told = []
    grids = [item.images[0][1] for item in checked if item.images]
    orientations = Counter(record.orientation for record in grids if len(record.shape) == 3)
    if len(orientations) > 1:
        listed = ", ".join(f"{count} {code}" for code, count in orientations.most_common())
        told.append(f"{dataset.root}: images are stored in different orientations ({listed})")
    for dims in (2, 3):
        spacings = np.array([record.spacing for record in grids if len(record.shape) == dims])
        if len(spacings) and (spacings.max(0) / spacings.min(0)).max() > WIDE_SPACING_RATIO:
            low, high = ("x".join(f"{value:.3g}" for value in bound) for bound in (spacings.min(0), spacings.max(0)))
            told.append(f"{dataset.root}: spacings differ widely between images, from {low} to {high} mm")
    in_training = {
        value
        for item in checked
        if item.split == "training"
        for _, record in (*item.raters, *([item.label] if item.label else []))
        for value in record.counts
    }
    for value, name in dataset.labels.items():
        if value and in_training and value not in in_training:
            told.append(f"{dataset.root}: label {value} ({name}) occurs in no training case")
    owners: dict[Path, str] = {}
    for _, case in dataset.cases:
        if case.label is not None and owners.setdefault(case.label, case.case_id) != case.case_id:
            told.append(f"{case.label}: is the label of two cases, {owners[case.label]} and {case.case_id}")
    return told


def _fingerprint(dataset: DataSet, checked: Sequence[_CheckedCase]) -> dict[str, Any]:
    cases: dict[str, Any] = {}
    for item in checked:
        shown: dict[str, Any] = {
            "split": item.split,
            "files": {_relative(dataset.root, path): digest for path, digest in item.hashes.items()},
        }
        if item.images:
            record = item.images[0][1]
            shown |= {"shape": list(record.shape), "spacing": list(record.spacing), "orientation": record.orientation}
            shown |= {"channels": _channels(item), "intensity": [dict(record.intensity) for _, record in item.images]}
        if item.label is not None:
            shown["label_fractions"] = _fractions(item.label[1], dataset.labels)
        if item.case.raters:
            shown["raters"] = len(item.case.raters)
        if item.fov is not None:
            shown["field_of_view"] = 1 - item.fov[1].counts.get(0, 0) / int(np.prod(item.fov[1].shape))
        cases[item.case.case_id] = shown
    identity = [dataset.modality, sorted(dataset.labels.items())]
    identity += [[case_id, case["split"], sorted(case["files"].items())] for case_id, case in sorted(cases.items())]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return {
        "hash": digest,
        "name": dataset.name,
        "modality": list(dataset.modality),
        "labels": {str(value): name for value, name in dataset.labels.items()},
        "summary": _summary(list(cases.values())),
        "cases": cases,
    }


def _fractions(record: FileRecord, labels: Mapping[int, str]) -> dict[str, float]:
    total = int(np.prod(record.shape))
    return {name: record.counts.get(value, 0) / total for value, name in labels.items()}


def _summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give numbers of cases, and the range over cases of shape, spacing and label fractions."""
    known = [case for case in cases if "shape" in case]
    dims = Counter(len(case["shape"]) for case in known).most_common(1)
    grids = [case for case in known if dims and len(case["shape"]) == dims[0][0]]
    fractions: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.get("label_fractions", {}).items():
            fractions.setdefault(name, []).append(value)
    return {
        "cases": dict(Counter(case["split"] for case in cases)),
        **({"raters": raters} if (raters := sum(case.get("raters", 0) for case in cases)) else {}),
        **({"fields_of_view": views} if (views := sum("field_of_view" in case for case in cases)) else {}),
        "labelled": dict(Counter(case["split"] for case in cases if "label_fractions" in case)),
        "shape": _range([case["shape"] for case in grids]),
        "spacing": _range([case["spacing"] for case in grids]),
        "orientation": dict(Counter(case["orientation"] for case in known)),
        "channels": dict(Counter(str(case["channels"]) for case in known)),
        "label_fractions": {name: _range(values) for name, values in fractions.items()},
    }


def _range(values: Iterable[Any]) -> dict[str, Any]:
    table = np.array(list(values), dtype=float)
    if not len(table):
        return {}
    marks = {"min": table.min(0), "median": np.median(table, axis=0), "max": table.max(0)}
    return {name: mark.tolist() for name, mark in marks.items()}


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if root in path.parents else path.name
