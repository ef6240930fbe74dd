"""One case: its raters read, fused by every method asked for, and written; done cases are not done again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.consensus.methods import Consensus, ConsensusOptions, make_consensus
from pipelines.consensus.rater_files import check_grids, read_labels, stream_labels
from pipelines.consensus.scores import dice_per_label, mean_dice
from transforms.io.atomic import atomic_path, write_json_atomic
from transforms.io.input_error import InputError
from transforms.io.nifti_file import encode_nifti
from transforms.io.volume import format_of, read_geometry, write_mask
from transforms.pattern_votes import entropy_bits
from transforms.rater_patterns import RaterPatterns, collect_patterns

# Raised when the same raters would give another result or another record.
_VERSION = 1


@dataclass(frozen=True)
class CaseFiles:
    """Where one method's results of one case go.

    Args:
        label: the consensus.
        uncertainty: entropy of the shares in bits, ``.nii.gz``.
        probability: soft result, ``.nii.gz``; with several foreground labels a file for each, ``_LABEL`` in its name.
            None writes none.
        record: JSON with scores and raters, which also says that the case is done.
    """

    label: Path
    uncertainty: Path
    probability: Path | None
    record: Path

    def probabilities(self, labels: tuple[int, ...]) -> dict[int, Path]:
        """Give the file of each foreground label's probability; for raters that are all empty, of label 1."""
        if self.probability is None:
            return {}
        foreground = [label for label in labels if label] or [1]
        if len(foreground) == 1:
            return {foreground[0]: self.probability}
        stem = self.probability.name[: -len(".nii.gz")]
        return {label: self.probability.with_name(f"{stem}_{label}.nii.gz") for label in foreground}


@dataclass(frozen=True)
class CaseTask:
    """What is to be done for one case.

    Args:
        case_id: its name in tables.
        raters: label files.
        names: of the raters in tables, in the same order.
        parameters: data parameters in the same order, when there are any.
        reference: the expert's label, to be compared with alone.
        declared: labels that may occur; None for any.
        files: by method.
    """

    case_id: str
    raters: tuple[Path, ...]
    names: tuple[str, ...]
    parameters: tuple[float, ...] | None
    reference: Path | None
    declared: tuple[int, ...] | None
    files: Mapping[str, CaseFiles]


def build_case(task: CaseTask, options: ConsensusOptions) -> dict[str, dict[str, Any]]:
    """Do what is not done yet of one case.

    Returns:
        The record of each method: ``case_id``, ``method``, ``labels``, ``iterations``, ``converged``, ``dice`` (by
        label, when there is a reference), ``mean_dice`` and ``raters`` (a row per rater and foreground label).

    Raises:
        InputError: for raters or a reference that cannot be used.
    """
    marks = {method: _fingerprint(task, method, options) for method in task.files}
    records = {method: _done(files, marks[method]) for method, files in task.files.items()}
    if all(record is not None for record in records.values()):
        return {method: record for method, record in records.items() if record is not None}
    check_grids(task.raters, task.reference)
    reference = None if task.reference is None else read_labels(task.reference, task.declared)
    dice: list[Mapping[int, float]] = []
    patterns = collect_patterns(stream_labels(task.raters, task.declared, reference, dice))
    for method, files in task.files.items():
        if records[method] is None:
            try:
                consensus = make_consensus(method, patterns, task.parameters, options)
            except ValueError as fault:
                if options.prior is None:
                    raise
                raise InputError("--prior", f"case {task.case_id}: {fault}") from fault
            fused = _write_maps(files, patterns, consensus, task.raters[0])
            scores = None if reference is None else dice_per_label(fused, reference)
            record = _record(task, method, patterns, consensus, scores, dice) | {"fingerprint": marks[method]}
            write_json_atomic(files.record, record)
            records[method] = record
    return {method: record for method, record in records.items() if record is not None}


def _fingerprint(task: CaseTask, method: str, options: ConsensusOptions) -> dict[str, Any]:
    """What the result depends on; files are known by size and time of change."""
    files = [*task.raters, *(() if task.reference is None else (task.reference,))]
    states = [(str(path), path.stat()) for path in files if path.exists()]
    mark = {
        "version": _VERSION,
        "method": method,
        "options": asdict(options),
        "parameters": task.parameters if method in ("hybrid", "data-parameters") else None,
        "declared": task.declared,
        "probability": task.files[method].probability is not None,
        "files": [[path, state.st_size, state.st_mtime_ns] for path, state in states],
        "reference": task.reference is not None,
    }
    restored: dict[str, Any] = json.loads(json.dumps(mark))
    return restored


def _done(files: CaseFiles, mark: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a case that is done, by the same options from the same files."""
    try:
        record: dict[str, Any] = json.loads(files.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("fingerprint") != mark:
        return None
    written = [files.label, files.uncertainty, *files.probabilities(tuple(record["labels"])).values()]
    return record if all(path.is_file() for path in written) else None


def _write_maps(files: CaseFiles, patterns: RaterPatterns, consensus: Consensus, first: Path) -> NDArray[Any]:
    fused = patterns.spread(consensus.decided)
    write_mask(files.label, fused, first)
    _write_float(files.uncertainty, patterns.spread(entropy_bits(consensus.shares)), first)
    for label, path in files.probabilities(consensus.labels).items():
        shares = np.zeros(len(patterns.counts), np.float32)
        if label in consensus.labels:
            shares = consensus.shares[:, consensus.labels.index(label)].astype(np.float32)
        _write_float(path, patterns.spread(shares), first)
    return fused


def _write_float(path: Path, array: NDArray[np.float32], like: Path) -> None:
    header = like if format_of(like) == "nifti" and not like.is_dir() else None
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_nifti(array, read_geometry(like).affine, header, compress=path.suffix == ".gz"))


def _record(
    task: CaseTask,
    method: str,
    patterns: RaterPatterns,
    consensus: Consensus,
    scores: Mapping[int, float] | None,
    dice: list[Mapping[int, float]],
) -> dict[str, Any]:
    rows = []
    for rater, name in enumerate(task.names):
        for column, label in enumerate(consensus.labels):
            if label == 0 and len(consensus.labels) > 1:
                continue
            rows.append(
                {
                    "case_id": task.case_id,
                    "method": method,
                    "rater": name,
                    "label": label,
                    "sensitivity": _number(consensus.sensitivity[rater, column]),
                    "specificity": _number(consensus.specificity[rater, column]),
                    "weight": None if consensus.weights is None else _number(consensus.weights[rater]),
                    "parameter": None if task.parameters is None else task.parameters[rater],
                    "voxels": int(patterns.counts[patterns.decisions[:, rater] == label].sum()),
                    "true_dice": dice[rater].get(label) if dice else None,
                }
            )
    return {
        "case_id": task.case_id,
        "method": method,
        "labels": list(consensus.labels),
        "iterations": consensus.iterations,
        "converged": consensus.converged,
        "contested_voxels": int(patterns.counts[~patterns.unanimous].sum()),
        "dice": None if scores is None else {str(label): score for label, score in scores.items()},
        "mean_dice": None if scores is None else mean_dice(scores),
        "mean_dice_of_raters": [mean_dice(each) for each in dice] or None,
        "raters": rows,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
