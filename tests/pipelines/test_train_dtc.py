"""What ``train_dtc`` refuses, quickly and in one line, and how it ends when something goes wrong on the way."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.train_dtc import build_parser
from tests.pipelines.tiny_training import command_line, make_tiny_cohort, refusal, train
from tests.test_layering import ROOT


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_cohort(tmp_path_factory.mktemp("cohort") / "data")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "learning_rat=1"], "error: --set: unknown id learning_rat; did you mean learning_rate?"),
        (["--set", "network_def::filter=4"], "error: --set: unknown id network_def::filter; did you mean"),
        (["--set", "train::trainer::colour=4"], "error: --set: unknown id train::trainer::colour"),
        (["--set", "learning_rate=.nan"], "error: --set: learning_rate must be a number, got .nan"),
        (["--set", "learning_rate"], "error: --set: 'learning_rate' is not of the form ID=VALUE"),
        (["--set", "patch_size=[1, 2"], "error: --set: the value of patch_size is no YAML"),
        (["--device", "gpu"], "error: --device: must be auto, cpu, cuda or cuda:N, got gpu"),
        (["--bundle", "left_atrium_dct"], "error: --bundle: no bundle left_atrium_dct; did you mean left_atrium_dtc?"),
        (["--overlay", "fast"], "error: left_atrium_dtc: has no configs/fast.yaml; there are common, "),
        (["--method", "magic"], "error: concord train_dtc: argument --method: invalid choice: 'magic'"),
        (["--labeled", "0"], "error: --labeled: must be at least 1, got 0"),
        (["--labeled", "4"], "error: --labeled: "),
        (["--labeled", "two"], "error: concord train_dtc: argument --labeled: invalid int value: 'two'"),
        (["--validation", "-1"], "error: --validation: must be at least 0, got -1"),
        (["--iterations", "0"], "error: --iterations: must be at least 1, got 0"),
        (["--seed", "-1"], "error: --seed: must be at least 0, got -1"),
        (["--colour", "red"], "error: concord train_dtc: unrecognized arguments: --colour red"),
        (["--data", "/no/such/folder"], "error: /no/such/folder"),
    ],
)
def test_what_is_refused_before_torch_is_loaded(data, tmp_path, capsys, more, said):
    assert refusal(capsys, [*command_line(data, tmp_path / "run"), *more]).startswith(said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_classes": "2"}, "dataset.json: declares 1 classes (left atrium cavity), but the configuration is for 2"),
        ({"in_channels": "2"}, "in_channels 1, but the configuration is for 2; pass --set in_channels=1"),
        ({"spatial_dims": "2"}, "spatial_dims 3, but the configuration is for 2"),
        ({"labeled_per_batch": "0"}, "error: batch: needs at least one labelled draw"),
        (
            {"precision": "fp8"},
            "error: pipelines.engines.DualTaskTrainer: precision must be one of float32, bf16, fp16",
        ),
        ({"ema_decay": "1.5"}, "ExponentialMovingAverage: decay must be in [0, 1), got 1.5"),
        ({"learning_rate": "-1"}, "error: torch.optim.SGD: Invalid learning rate: -1"),
    ],
)
def test_settings_that_cannot_be(data, tmp_path, capsys, settings, said):
    assert said in refusal(capsys, command_line(data, tmp_path / "run", settings=settings))
    assert not (tmp_path / "run" / "checkpoints" / "last.pt").exists()


def test_data_and_output_are_needed(tmp_path, capsys):
    assert refusal(capsys, command_line(None, tmp_path)).startswith("error: --data: is needed (or --smoke")
    assert train([]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_output_must_be_a_folder_that_can_be_written_to(data, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    said = refusal(capsys, command_line(data, tmp_path / "file"))
    assert (
        said == f"error: {tmp_path / 'file'}: cannot be a run folder: {tmp_path / 'file'} is no folder that can be "
        "written to"
    )
    assert refusal(capsys, command_line(data, tmp_path / "file" / "run")).startswith("error: ")
    assert (tmp_path / "file").read_text() == "x"


def rewrite(path: Path, change) -> None:
    import nibabel

    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj).copy()
    array, affine = change(array, image.affine.copy())
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def nan_voxel(array, affine):
    array = array.astype(np.float32)
    array[3, 4, 5] = np.nan
    return array, affine


def moved(array, affine):
    affine[0, 3] += 7
    return array, affine


def half_a_label(array, affine):
    return array.astype(np.float32) * 0.5, affine


def another_label(array, affine):
    array[0, 0, 0] = 3
    return array, affine


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flipped_bit(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(content), mtime=0))
    packed[-8] ^= 1  # the checksum
    path.write_bytes(bytes(packed))


@pytest.mark.parametrize(
    ("folder", "damage", "said"),
    [
        ("images", lambda path: rewrite(path, nan_voxel), "NaN"),
        ("images", cut_short, ""),
        ("images", flipped_bit, ""),
        ("images", lambda path: path.write_bytes(b""), ""),
        ("images", lambda path: path.write_text("no image at all"), ""),
        ("images", Path.unlink, "does not exist"),
        ("labels", lambda path: rewrite(path, moved), ""),
        ("labels", lambda path: rewrite(path, lambda array, affine: (array[:, :, 1:], affine)), ""),
        ("labels", lambda path: rewrite(path, half_a_label), ""),
        ("labels", lambda path: rewrite(path, another_label), "3"),
    ],
)
def test_bad_files_are_refused_by_name_before_anything_is_written(tmp_path, capsys, folder, damage, said):
    data = make_tiny_cohort(tmp_path / "data")
    path = data / folder / "atrium_0002.nii.gz"
    damage(path)
    told = refusal(capsys, command_line(data, tmp_path / "run"))
    assert re.match(rf"error: {path}: .*{said}", told), told
    assert not (tmp_path / "run").exists()


def test_many_faults_are_counted_and_the_first_five_told(tmp_path, capsys):
    data = make_tiny_cohort(tmp_path / "data")
    for path in (data / "images").iterdir():
        rewrite(path, nan_voxel)
    lines = refusal(capsys, command_line(data, tmp_path / "run")).splitlines()
    assert [line.startswith(f"error: {data}/images/atrium_000") for line in lines] == [True] * 5 + [False]
    assert lines[5] == f"and 2 more; see: concord check_data {data}"


def test_an_empty_data_set_is_refused(tmp_path, capsys):
    data = make_tiny_cohort(tmp_path / "data")
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(content | {"training": []}))
    assert refusal(capsys, command_line(data, tmp_path / "run")).startswith("error: ")


def test_a_training_that_diverges_is_refused_and_leaves_a_sound_checkpoint(data, tmp_path, capsys, caplog):
    settings = {
        "learning_rate": "1e18",
        "lr_scheduler::warmup_steps": "4",
        "epoch_length": "1",
        "max_gradient_norm": "null",
        "network_def::norm": "null",
        "network_def::bias": "true",
        "validation_every": "100",
    }
    said = refusal(capsys, command_line(data, tmp_path, settings=settings))
    assert re.fullmatch(r"error: [^\n]*lower the learning rate \(--set learning_rate=...\)[^\n]*", said)
    assert not [record for record in caplog.records if record.name.startswith("ignite")]
    assert_finite(tmp_path / "checkpoints" / "last.pt")


def assert_finite(checkpoint: Path) -> None:
    """Only weights that are numbers may be on disk; there is no file when not one iteration went well."""
    import torch

    if checkpoint.exists():
        parts = torch.load(checkpoint, weights_only=True)["parts"]
        values = [*parts["network"].values(), *parts["average"].values()]
        assert all(bool(torch.isfinite(value).all()) for value in values)


def test_a_full_disk_keeps_the_older_checkpoint(data, tmp_path, capsys):
    """No file may grow beyond the limit: as on a full disk, but for this process alone."""
    settings = {"epoch_length": "4", "validation_every": "100"}

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    from pipelines.engines import DualTaskTrainer

    iterate = DualTaskTrainer._iteration

    def full_from_six(trainer, engine, batch):
        if engine.state.iteration == 6:
            limit(100_000)
        return iterate(trainer, engine, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", full_from_six)
        try:
            said = refusal(capsys, command_line(data, tmp_path, settings=settings))
        finally:
            limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    checkpoint = tmp_path / "checkpoints" / "last.pt"
    assert said.startswith(f"error: {checkpoint}: the checkpoint cannot be written (is the disk full?)")
    assert len(said.splitlines()) == 1
    assert list(checkpoint.parent.iterdir()) == [checkpoint]
    assert_finite(checkpoint)
    assert train(["--output", str(tmp_path), "--device", "cpu", "--resume"]) == 0


def test_a_dead_worker_is_told_in_one_line(data, tmp_path, capfd):
    from pipelines.engines import DualTaskTrainer

    iterate = DualTaskTrainer._iteration

    def kill_a_worker(trainer, engine, batch):
        if engine.state.iteration == 4:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            os.kill(int(children[-1]), 9)
        return iterate(trainer, engine, batch)

    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", kill_a_worker)
        assert train(command_line(data, tmp_path, settings={"workers": "1", "iterations": "40"})) == 2
    assert time.monotonic() - started < 30
    errors = capfd.readouterr().err
    assert (
        "error: workers: a process that prepares batches has died (Killed), as happens when memory runs out" in errors
    )
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 6


def run_fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["--data", "/no/such/folder", "--output", "/tmp/never"], 2), (["--output", "/tmp/x"], 2)],
)
def test_help_and_refusals_come_without_loading_torch(arguments, status):
    heavy = "('torch', 'monai', 'scipy', 'SimpleITK', 'matplotlib', 'ignite')"
    code = f"""
import sys
from pipelines.train_dtc import main
status = main({arguments!r})
loaded = [name for name in {heavy} if name in sys.modules]
sys.exit(0 if status == {status} and not loaded else f'{{status}} {{loaded}}')
"""
    process = run_fresh(code)
    assert process.returncode == 0, process.stderr


def test_help_comes_at_once():
    started = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "pipelines.train_dtc", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - started < 5  # 0.5 s on an idle machine
    assert "Research use only, not for diagnosis." in process.stdout


def test_every_option_has_help():
    assert all(action.help for action in build_parser()._actions)


def test_damaged_data_are_refused_without_loading_torch(tmp_path):
    data = make_tiny_cohort(tmp_path / "data")
    cut_short(data / "images" / "atrium_0002.nii.gz")
    code = f"""
import sys
from pipelines.train_dtc import main
status = main(['--data', {str(data)!r}, '--output', {str(tmp_path / "run")!r}])
sys.exit(0 if status == 2 and 'torch' not in sys.modules else 'torch is loaded')
"""
    process = run_fresh(code)
    assert process.returncode == 0, process.stderr
    assert process.stderr.startswith(f"error: {data / 'images' / 'atrium_0002.nii.gz'}: ")
