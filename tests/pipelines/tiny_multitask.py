"""A multi-task training of a few seconds, in this process, by either door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.tiny_training import quiet

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


def command_line(
    data: Path | None,
    run: Path,
    *more: str,
    overlays: Sequence[str] = ("quick", "smoke"),
    settings: Mapping[str, Any] | None = None,
) -> list[str]:
    """Give the arguments of ``train_multitask``; ``settings`` come on top of ``SETTINGS``."""
    arguments = [] if data is None else ["--data", str(data)]
    arguments += ["--output", str(run), "--device", "cpu", *more]
    arguments += [part for overlay in overlays for part in ("--overlay", overlay)]
    chosen = SETTINGS | dict(settings or {})
    return arguments + [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]


def train(arguments: Sequence[str], *, conclude: bool = False) -> int:
    """Run ``train_multitask`` in this process, without evaluation, report and export unless told to ``conclude``."""
    from pipelines.runs import conclusion
    from pipelines.train_multitask import main

    with quiet(), pytest.MonkeyPatch.context() as patch:
        if not conclude:
            patch.setattr(conclusion, "conclude_run", lambda *arguments: None)
        return main(list(arguments))
