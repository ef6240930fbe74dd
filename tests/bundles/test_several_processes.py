"""Two processes under ``torchrun`` train as one does; the first of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.workflow import BUNDLES, config_files
from tests.pipelines.tiny_training import SETTINGS, command_line, digests, make_tiny_cohort, resumption, rows, train
from tests.test_layering import ROOT

# What a share of the batch changes is left out: statistics over the batch, the pooled Dice, each process's dropout and
# noise; and norms over the few voxels of the coarsest level, which blow rounding up to percents.
COMPARABLE = {
    "network_def::norm": "null",
    "network_def::bias": "true",
    "network_def::dropout": "0.0",
    "consistency::noise": "0.0",
    "train::trainer::mask_loss::dice_weight": "0.0",
    "patch_size": "[32, 32, 16]",
    "iterations": "3",
    "epoch_length": "3",
    "log_every": "1",
}
TOLERANCE = 1e-4
# Two processes have one labelled sample each, and batch norm needs more than one voxel of it at the coarsest level.
LARGE_ENOUGH = {"patch_size": "[32, 32, 16]"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_cohort(tmp_path_factory.mktemp("cohort") / "data")


def by_two(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", *words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    parts = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["parts"]
    return {f"{part}.{name}": value for part in ("network", "average") for name, value in parts[part].items()}


def test_two_processes_train_as_one_does_and_the_second_writes_nothing(data, tmp_path):
    settings = SETTINGS | COMPARABLE
    process = by_two(
        "tests.bundles.watched_training", str(tmp_path), *command_line(data, tmp_path / "run", settings=settings)
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.count("run folder:") == process.stdout.count("iteration 3 of 3") == 1
    assert "Grad strides" not in process.stderr

    assert train(command_line(data, tmp_path / "one", settings=settings)) == 0
    together, alone = rows(tmp_path / "run"), rows(tmp_path / "one")
    assert [row["iteration"] for row in together] == [row["iteration"] for row in alone]
    for row, other in zip(together, alone, strict=True):
        for name in ("loss", "loss_mask", "loss_level_set", "loss_consistency", "gradient_norm", "val_dice"):
            assert (row[name] == "") == (other[name] == "")
            assert float(row[name] or 0) == pytest.approx(float(other[name] or 0), rel=1e-3, abs=1e-5), (row, other)
    expected = weights(tmp_path / "one")
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, expected[name], rtol=TOLERANCE, atol=TOLERANCE, msg=name)

    assert (tmp_path / "written.1").read_text() == ""
    assert str(tmp_path / "run" / "metrics.csv") in (tmp_path / "written.0").read_text()


@pytest.mark.slow
def test_two_processes_with_batch_norm_resume_and_conclude(data, tmp_path):
    """Through ``train_dtc`` itself, whose first process evaluates and reports alone; refused with another number."""
    settings = LARGE_ENOUGH | {"iterations": "6", "validation_every": "2"}
    straight = by_two("pipelines.train_dtc", *command_line(data, tmp_path / "straight", settings=settings))
    assert straight.returncode == 0, straight.stderr[-3000:]
    assert straight.stdout.count("report:") == 1
    half = by_two("pipelines.train_dtc", *command_line(data, tmp_path / "half", settings=settings))
    assert half.returncode == 0
    assert digests(tmp_path / "half/checkpoints/last.pt") == digests(tmp_path / "straight/checkpoints/last.pt")
    (tmp_path / "half" / "run.json").write_text(
        (tmp_path / "half" / "run.json").read_text().replace('"finished": "', '"finished": null, "was": "')
    )
    assert train(resumption(tmp_path / "half")) == 2
    again = by_two("pipelines.train_dtc", *resumption(tmp_path / "half"))
    assert again.returncode == 0, again.stderr[-3000:]
    assert digests(tmp_path / "half/checkpoints/last.pt") == digests(tmp_path / "straight/checkpoints/last.pt")


@pytest.mark.slow
def test_monai_runs_the_overlay_by_two(data, tmp_path):
    stages = ["common", "train", "quick", "smoke", "multi_gpu_train"]
    files = [str(file) for file in config_files(BUNDLES / "left_atrium_dtc", stages)]
    settings = [
        word for name, value in (SETTINGS | LARGE_ENOUGH | {"iterations": "4"}).items() for word in (f"--{name}", value)
    ]
    run = tmp_path / "run"
    words = ["run", "--config_file", str(files), "--dataset_dir", str(data), "--output_dir", str(run), *settings]
    process = by_two("monai.bundle", *words, cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    assert [row["iteration"] for row in rows(run)] == ["2", "2", "4", "4"]
    assert (run / "report.html").is_file()
