"""The record of a delivery: what was made by which model, and what the archive has of it. Nothing of the patient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.console import NOT_FOR_DIAGNOSIS
from transforms.io.atomic import write_json_atomic

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from transforms.io.dicom_identity import ResultIdentity
    from transforms.io.dicom_report import SegmentVolume

RECEIPT_FILE = "receipt.json"
# What became of the objects.
STORED, KEPT = "stored", "kept"


def build_receipt(
    identity: ResultIdentity,
    volumes: Sequence[SegmentVolume],
    objects: Mapping[str, Dataset],
    *,
    state: str,
    missing: Sequence[str] = (),
    fault: str | None = None,
    seconds: Mapping[str, float],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Put together what ``write_receipt`` writes.

    The series is told by a digest of its identifier alone: who has the series finds its receipt, and who has the
    receipt finds no patient.

    Args:
        identity: of model and source.
        volumes: what was found.
        objects: what was made, by kind.
        state: ``stored`` when the target has all of it and a query has shown that; ``kept`` when it is on disk here.
        missing: SOPInstanceUIDs of ``objects`` that the target does not have.
        fault: why not.
        seconds: of each stage.
        versions: of the packages.
    """
    return {
        "statement": NOT_FOR_DIAGNOSIS,
        "state": state,
        "fault": fault,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"name": identity.model_name, "version": identity.model_version, "sha256": identity.model_hash},
        "source": {"series_digest": series_digest(identity.source_series), "slices": len(identity.source_instances)},
        "findings": [
            {
                "label": segment.label,
                "name": segment.name,
                "voxels": segment.voxels,
                "volume_ml": round(segment.millilitres, 4),
                "finding": segment.voxels > 0,
            }
            for segment in volumes
        ],
        "objects": [
            {
                "kind": kind,
                "sop_class_uid": str(made.SOPClassUID),
                "sop_instance_uid": str(made.SOPInstanceUID),
                "series_instance_uid": str(made.SeriesInstanceUID),
                "verified": state == STORED and str(made.SOPInstanceUID) not in missing,
            }
            for kind, made in objects.items()
        ],
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "versions": dict(versions),
    }


def write_receipt(path: Path, receipt: Mapping[str, Any]) -> None:
    """Write a receipt, whole or not at all."""
    write_json_atomic(path, receipt)


def series_digest(series_uid: str) -> str:
    """Give what a receipt calls a series: the first half of its identifier's SHA-256."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:32]
