"""A training on noisy labels of a few seconds, in this process, by either door."""

from __future__ import annotations

from typing import Any

from tests.pipelines.tiny_training import TinyTraining

SETTINGS = {
    "spacing_mm": "[3, 3]",
    "patch_size": "[32, 32]",
    "iterations": "6",
    "epoch_length": "2",
    "batch_size": "4",
    "log_every": "1",
    "recalibration_batches": "2",
    "validation_every": "3",
    "workers": "0",
    "overlap": "0.0",
}
BUNDLE = "tumour_deep_staple_2d"
# What each bundle for noisy labels is tried on.
COHORTS: dict[str, dict[str, Any]] = {
    "tumour_deep_staple": {"kind": "raters", "shape": (24, 24, 16)},
    "tumour_deep_staple_2d": {"kind": "raters2d", "shape": (32, 28)},
}
VOLUME = {"spacing_mm": "[3, 3, 3]", "patch_size": "[16, 16, 16]"}
TRAINING = TinyTraining("pipelines.train_staple", SETTINGS, ("--bundle", BUNDLE))
command_line, train, refusal = TRAINING.command_line, TRAINING.train, TRAINING.refusal
