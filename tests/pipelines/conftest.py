"""One short training, shared by every test that needs what a training leaves behind. It has learnt next to nothing,
but its masks are not empty."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmokeRun:
    """Attributes: ``data``, a phantom cohort of 4 cases, 2 of them for testing; ``run``, the finished run folder."""

    data: Path
    run: Path

    @property
    def bundle(self) -> Path:
        return self.run / "bundle"


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """Treat it as read-only: copy what you mean to change."""
    return train_smoke_run(tmp_path_factory.getbasetemp() / "smoke_run")


def train_smoke_run(folder: Path) -> SmokeRun:
    """Train in ``folder``, unless that has been done there already."""
    smoke = SmokeRun(folder / "phantoms", folder / "run")
    if (smoke.run / "summary.json").is_file():
        return smoke
    from pipelines.data.phantoms import make_cohort
    from pipelines.train_dtc import main

    make_cohort("atrium", smoke.data, 5, labeled=2, unlabeled=1, test=2, shape=(40, 36, 32), spacing_mm=[2.0], seed=3)
    settings = [
        "spacing_mm=[2.5, 2.5, 2.5]",
        "patch_size=[32, 32, 16]",
        "network_def::filters=4",
        "iterations=2",
        "epoch_length=2",
        "recalibration_batches=1",
        "workers=0",
        # The mask head alone finds everything or nothing after so few steps; what learns faster finds nothing first.
        "head=mean",
        "separate_streams=false",
        "train::trainer::level_set_loss={_target_: networks.losses.LevelSetLoss}",
    ]
    arguments = ["--data", str(smoke.data), "--output", str(smoke.run), "--device", "cpu"]
    overlays = ["--overlay", "quick", "--overlay", "smoke"]
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as environment:
        warnings.simplefilter("ignore")
        environment.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        status = main([*arguments, *overlays, *(part for setting in settings for part in ("--set", setting))])
    if status != 0:
        raise RuntimeError(f"The smoke training ended with status {status}.")
    return smoke
