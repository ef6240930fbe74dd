"""A multi-task training of a few seconds, in this process, by either door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pipelines.tiny_training import TinyTraining

SETTINGS = {
    "image_size": "null",
    "patch_size": "[24, 24]",
    "filters": "2",
    "depth": "2",
    "iterations": "6",
    "epoch_length": "2",
    "batch_size": "2",
    "log_every": "1",
    "recalibration_batches": "2",
    "validation_every": "3",
    "workers": "0",
    "overlap": "0.0",
}
BUNDLE = "octa_multitask"
# What each bundle for several tasks is tried on.
COHORTS = {"octa_multitask": "vessels2d", "fundus_multitask": "fundus"}


def make_tiny_vessels(folder: Path, kind: str = "vessels2d", **changes: Any) -> Path:
    """Write 4 labelled, 1 validation and 2 test cases of 48 x 40 pixels, unless told otherwise."""
    from pipelines.data.phantoms import make_cohort

    plan: dict[str, Any] = {"cases": 7, "labeled": 4, "validation": 1, "unlabeled": 0, "test": 2}
    plan |= {"shape": (48, 40), "seed": 5} | changes
    make_cohort(kind, folder, plan.pop("cases"), **plan)
    return folder


TRAINING = TinyTraining("pipelines.train_multitask", SETTINGS)
command_line, train, refusal = TRAINING.command_line, TRAINING.train, TRAINING.refusal
