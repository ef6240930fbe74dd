"""A training on slices of a few seconds, in this process, by either door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.pipelines.tiny_training import TinyTraining

SETTINGS = {
    "slice_size": "null",
    "filters": "2",
    "depth": "2",
    "iterations": "6",
    "epoch_length": "2",
    "batch_size": "2",
    "log_every": "1",
    "recalibration_batches": "2",
    "validation_every": "3",
    "workers": "0",
}
BUNDLE = "retinal_oedema"
SHAPE = (24, 32, 8)


def make_tiny_oct(folder: Path, **changes: Any) -> Path:
    """Write 3 labelled, 1 validation and 2 test volumes of 24 x 32 x 8 voxels, unless told otherwise."""
    from pipelines.data.phantoms import make_cohort

    plan: dict[str, Any] = {"cases": 6, "labeled": 3, "validation": 1, "unlabeled": 0, "test": 2}
    plan |= {"shape": SHAPE, "seed": 5} | changes
    make_cohort("oct", folder, plan.pop("cases"), **plan)
    return folder


def make_tiny_slices(folder: Path, subjects: int = 5, test: int = 1) -> Path:
    """Write two PNG slices of each subject, with a fluid mask; the last ``test`` subjects are for testing."""
    from PIL import Image

    from pipelines.data.phantoms import make_case

    content: dict[str, Any] = {
        "name": "slices",
        "modality": {"0": "OCT"},
        "labels": {"0": "background", "1": "fluid"},
        "training": [],
        "test": [],
    }
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for subject in range(subjects):
        phantom = make_case("oct", subject, seed=3, shape=SHAPE)
        for index in (2, 4):
            name = f"s{subject}_{index}.png"
            label = (phantom.label[..., index] > 0).astype(np.uint8)
            Image.fromarray(np.asarray(phantom.image[..., index], dtype=np.uint8)).save(folder / "images" / name)
            Image.fromarray(label).save(folder / "labels" / name)
            entry = {"image": f"images/{name}", "label": f"labels/{name}", "subject": f"s{subject}"}
            content["test" if subject >= subjects - test else "training"].append(entry)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


TRAINING = TinyTraining("pipelines.train_edema", SETTINGS)
command_line, train, refusal = TRAINING.command_line, TRAINING.train, TRAINING.refusal
