"""All that is wrong with a MONAI bundle, in one pass: its files, metadata, configurations and weights.

:func:`check_files` reads text and bytes and makes nothing. :func:`check_weights` loads tensors and TorchScript, and
evaluates what the configuration says of the network: it is for a bundle that has been looked through, or is trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.export.bundle_consumers import deploy_faults, label_faults, load_faults
from pipelines.export.bundle_logging import logging_faults
from pipelines.export.bundle_names import (
    OURS,
    imported_names,
    name_faults,
    package_faults,
    path_faults,
    personal_path,
)
from pipelines.export.bundle_properties import property_faults
from pipelines.export.bundle_stages import SHARED, TRAINING, merge, read_stages, ways_of
from pipelines.export.bundle_weights import archive_faults, hash_faults, network_faults, weight_faults, weight_files
from pipelines.export.metadata_rules import metadata_faults
from pipelines.trust.config_files import read_config
from pipelines.trust.finding import Finding
from pipelines.trust.weights import check_weight_file
from transforms.io.input_error import InputError

ZOO_FILE_BYTES = 25 * 2**20
LARGE_FILES = ("large_files.yml", "large_files.yaml", "large_files.json")
HASHES = ("md5", "sha1", "sha256", "sha512")


@dataclass
class BundleReport:
    """What a check has found.

    Attributes:
        faults: what is missing or wrong.
        remarks: what some tool or the model zoo would rather have otherwise.
        inference: the inference configuration, merged; None when there is none that can be read.
        metadata: content of ``metadata.json``; empty when it cannot be read.
        is_source: whether it is the source of trainings (it has ``configs/common.yaml``) and not what a training gave.
    """

    faults: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    inference: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    is_source: bool = False


def check_files(folder: Path) -> BundleReport:
    """Check what can be checked by reading: no expression is evaluated, no object made, no weight loaded.

    Args:
        folder: the bundle's folder.

    Raises:
        InputError: when it is no folder.
    """
    if not folder.is_dir():
        raise InputError(folder, "is no folder")
    report = BundleReport()
    stages, unread = read_stages(folder)
    report.is_source = SHARED in stages
    report.faults += _missing_files(folder)
    report.faults += unread
    report.faults += _metadata(folder, report)
    report.faults += _configurations(folder, stages, report)
    report.faults += _logging(folder)
    report.faults += _prose(folder)
    large, remarks = _large_files(folder)
    report.faults += large
    report.remarks += [*remarks, *_preferred(folder, stages, report.is_source)]
    if not report.is_source:
        report.faults += hash_faults(folder) + archive_faults(folder)
    return report


def check_weights(folder: Path, report: BundleReport) -> None:
    """Add what is wrong with the weights and with what the network gives, to what :func:`check_files` has found.

    This loads the bundle's weights and evaluates its network definition. Files with code that is not allowed in a
    TorchScript file are told and not loaded.
    """
    if report.is_source:
        return
    refused = []
    for file in weight_files(folder):
        if file.suffix in (".pt", ".ts"):
            try:
                check_weight_file(file)
            except InputError as fault:
                refused.append(Finding(file, "", fault.reason))
    report.faults += refused
    if refused:
        return
    report.faults += weight_faults(folder)
    if report.inference is not None and "network_def" in report.inference and not metadata_faults(report.metadata):
        report.faults += network_faults(folder, report.inference, report.metadata)


def _missing_files(folder: Path) -> Iterator[Finding]:
    for name in ("LICENSE", "configs/metadata.json"):
        if not (folder / name).is_file():
            yield Finding(folder / name, "", "is missing")
        elif not (folder / name).read_bytes().strip():
            yield Finding(folder / name, "", "is empty")
    if (folder / "scripts").is_dir() and not (folder / "scripts" / "__init__.py").is_file():
        yield Finding(folder / "scripts" / "__init__.py", "", "is missing, so scripts is no package")


def _metadata(folder: Path, report: BundleReport) -> Iterator[Finding]:
    file = folder / "configs" / "metadata.json"
    if not file.is_file():
        return
    try:
        report.metadata = read_config(file)
    except InputError as fault:
        yield Finding(file, "", fault.reason)
        return
    yield from (Finding(file, "", reason) for reason in metadata_faults(report.metadata))
    yield from (Finding(file, identity, reason) for identity, reason in path_faults(report.metadata))


def _configurations(folder: Path, stages: Mapping[str, dict[str, Any]], report: BundleReport) -> Iterator[Finding]:
    if not any(name in stages for name in ("train", "inference")):
        yield Finding(folder / "configs", "", "holds neither a train nor an inference configuration")
    told: dict[str, set[tuple[str, str]]] = {}
    # What an overlay takes over from the file below it is told of that file alone.
    for stage in sorted(stages, key=lambda name: (name not in ("train", "inference"), name)):
        ways = ways_of(stage, stages)
        merged = [merge([stages[name] for name in way]) for way in ways]
        faults = [*path_faults(stages[stage])]
        imports = imported_names(merge([*merged, stages[stage]]))
        faults += name_faults(stages[stage], _allowed(folder, stage, report.is_source), imports)
        if ways:
            kinds = [
                (property_faults(config, report.metadata, _type_of(way)), way)
                for config, way in zip(merged, ways, strict=True)
            ]
            missing, way = min(kinds, key=lambda pair: len(pair[0]))
            told[stage] = set(missing)
            faults += [
                fault for fault in missing if not any(fault in told.get(name, ()) for name in way if name != stage)
            ]
        if ways and not report.is_source:
            faults += _for_users(stage, merged[0], report)
        for identity, reason in faults:
            is_metadata = identity.startswith("_meta_::")
            file = folder / "configs" / "metadata.json" if is_metadata else _file_of(folder, stage)
            yield Finding(file, identity.removeprefix("_meta_::"), reason)


def _for_users(stage: str, config: dict[str, Any], report: BundleReport) -> Iterator[tuple[str, str]]:
    """Check what those need who have nothing but the exported bundle."""
    if stage == "inference":
        report.inference = config
        yield from load_faults(config)
        yield from label_faults(config)
        yield from deploy_faults(config, report.metadata)
    if stage in ("inference", "evaluate"):
        yield from package_faults(config, report.metadata)


def _file_of(folder: Path, stage: str) -> Path:
    return sorted(path for path in (folder / "configs").glob(f"{stage}.*") if path.stem == stage)[0]


def _type_of(way: tuple[str, ...]) -> str:
    return "inference" if {"inference", "evaluate", "multi_gpu_evaluate"} & set(way) else "train"


def _allowed(folder: Path, stage: str, is_source: bool) -> tuple[str, ...]:
    """Give the packages that a stage may name beside MONAI's and torch's."""
    own = ("scripts",) if (folder / "scripts" / "__init__.py").is_file() else ()
    return (*own, *OURS) if is_source or stage in TRAINING else own


def _logging(folder: Path) -> Iterator[Finding]:
    file = folder / "configs" / "logging.conf"
    if file.is_file():
        text = file.read_text(encoding="utf-8", errors="replace")
        yield from (Finding(file, "", reason) for reason in logging_faults(text))


def _prose(folder: Path) -> Iterator[Finding]:
    for file in sorted((folder / "docs").glob("*.md")):
        personal = personal_path(file.read_text(encoding="utf-8", errors="replace"))
        if personal is not None:
            yield Finding(file, "", f"names {personal}, a place on somebody's disk")


def _large_files(folder: Path) -> tuple[list[Finding], list[Finding]]:
    """Check ``large_files.yml`` when there is one, and remark on what the zoo would not take without it."""
    faults: list[Finding] = []
    listed = {}
    for file in (folder / name for name in LARGE_FILES if (folder / name).is_file()):
        try:
            entries = read_config(file).get("large_files")
        except InputError as fault:
            faults.append(Finding(file, "", fault.reason))
            continue
        if not isinstance(entries, list):
            faults.append(Finding(file, "large_files", "is no list"))
            continue
        for index, entry in enumerate(entries):
            reasons = [*_large_file(folder, entry)]
            faults += [Finding(file, f"large_files::{index}", reason) for reason in reasons]
            if not reasons:
                listed[entry["path"]] = file
    remarks = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.stat().st_size > ZOO_FILE_BYTES and name not in listed:
            size = f"{path.stat().st_size / 2**20:.0f} MB"
            remarks.append(
                Finding(path, "", f"has {size}; the model zoo takes more than 25 MB by large_files.yml alone")
            )
    return faults, remarks


def _large_file(folder: Path, entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("path", "url")):
        yield "needs a path and a url"
        return
    path = folder / entry["path"]
    if not path.resolve().is_relative_to(folder.resolve()):
        yield f"leads out of the bundle: {entry['path']}"
        return
    kind, value = entry.get("hash_type") or "", entry.get("hash_val") or ""
    if bool(kind) != bool(value) or (kind and kind not in HASHES):
        yield f"needs hash_val together with a hash_type of {', '.join(HASHES)}"
    elif kind and path.is_file() and hashlib.new(kind, path.read_bytes()).hexdigest() != value.lower():
        yield f"tells another {kind} than {entry['path']} has"


def _preferred(folder: Path, stages: Mapping[str, Any], is_source: bool) -> Iterator[Finding]:
    if not (folder / "docs" / "README.md").is_file():
        yield Finding(folder / "docs" / "README.md", "", "is missing; it is the model card")
    if is_source:
        return
    if not (folder / "models" / "model.pt").is_file():
        yield Finding(folder / "models" / "model.pt", "", "is missing; the model zoo prefers to have it")
    for name in ("inference", "train"):
        if name in stages and not (folder / "configs" / f"{name}.json").is_file():
            yield Finding(_file_of(folder, name), "", "is no JSON, the only form that monai.bundle.load looks for")
    if "inference" not in stages:
        yield Finding(folder / "configs" / "inference.json", "", "is missing; the model zoo prefers to have it")
