"""A training on noisy labels of a few seconds, in this process, by either door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.tiny_training import quiet

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


def command_line(
    data: Path | None,
    run: Path,
    *more: str,
    overlays: Sequence[str] = ("quick", "smoke"),
    settings: Mapping[str, Any] | None = None,
) -> list[str]:
    """Give the arguments of ``train_staple``; ``settings`` come on top of ``SETTINGS``."""
    arguments = [] if data is None else ["--data", str(data)]
    arguments += ["--output", str(run), "--device", "cpu", "--bundle", BUNDLE, *more]
    arguments += [part for overlay in overlays for part in ("--overlay", overlay)]
    chosen = SETTINGS | dict(settings or {})
    return arguments + [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]


def train(arguments: Sequence[str], *, conclude: bool = False) -> int:
    """Run ``train_staple`` in this process, without evaluation, report and export unless told to ``conclude``."""
    from pipelines.runs import conclusion
    from pipelines.train_staple import main

    with quiet(), pytest.MonkeyPatch.context() as patch:
        if not conclude:
            patch.setattr(conclusion, "conclude_run", lambda *arguments: None)
        return main(list(arguments))
