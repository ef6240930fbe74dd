"""Every bundle trains, by every method and through every door, with the same result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from pipelines.workflow import BUNDLES, config_files
from tests.pipelines.tiny_multitask import COHORTS as TASK_COHORTS
from tests.pipelines.tiny_staple import COHORTS as RATER_COHORTS
from tests.pipelines.tiny_training import SETTINGS, command_line, digests, make_tiny_cohort, quiet, rows, train

NAMES = sorted(path.parent.parent.name for path in BUNDLES.glob("*/configs/common.yaml"))
COHORTS = {
    "left_atrium_dtc": {"kind": "atrium"},
    "hippocampus_dtc": {"kind": "two_class"},
    "pancreas_dtc": {"kind": "ct_organ"},
}
SHORT = {"iterations": "2", "epoch_length": "2", "log_every": "1", "validation_every": "2"}


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cohorts")
    return {name: make_tiny_cohort(folder / name, **cohort) for name, cohort in COHORTS.items()}


@pytest.fixture(scope="module")
def atrium(cohorts) -> Path:
    return cohorts["left_atrium_dtc"]


@pytest.fixture(scope="module")
def door(atrium, tmp_path_factory) -> Path:
    """The run that ``train_dtc`` makes."""
    run = tmp_path_factory.mktemp("door") / "run"
    assert train(command_line(atrium, run, settings=SHORT)) == 0
    return run


def last(run: Path) -> dict[str, str]:
    return digests(run / "checkpoints" / "last.pt")


def last_row(run: Path) -> dict[str, str]:
    return [row for row in rows(run) if row["loss"]][-1]


def test_the_bundles_are_those_that_are_tested():
    assert set(NAMES) == {*COHORTS, *RATER_COHORTS, *TASK_COHORTS, "optic_disc_losses", "retinal_oedema"}


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_every_bundle_trains(cohorts, tmp_path, name):
    assert (
        train(command_line(cohorts[name], tmp_path, "--bundle", name, overlays=["quick", "smoke"], settings=SHORT)) == 0
    )
    assert last_row(tmp_path)["iteration"] == "2"
    assert (tmp_path / "checkpoints" / "last.pt").is_file()
    assert (tmp_path / "checkpoints" / "best.pt").is_file()


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_every_bundle_has_what_monai_asks_of_a_training(name, tmp_path):
    from monai.bundle import ConfigWorkflow

    files = [str(file) for file in config_files(BUNDLES / name, ["common", "train"])]
    with quiet():
        workflow = ConfigWorkflow(files, str(BUNDLES / name / "configs/metadata.json"), False, workflow_type="train")
        workflow.parser.update({"output_dir": str(tmp_path)})
        missing = [
            identity
            for name, prop in workflow.properties.items()
            if prop["required"] and (identity := prop["id"]) not in workflow.parser and name != "version"
        ]
    assert not missing


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_overlays_for_several_processes_are_the_same_in_every_bundle(name):
    texts = {(BUNDLES / other / "configs/multi_gpu_train.yaml").read_text() for other in (name, "left_atrium_dtc")}
    assert len(texts) == 1


def run_workflow(files: list[Path], data: Path, run: Path, settings: Mapping[str, str]):
    """Run a training as ``monai.bundle run`` does, without its conclusion."""
    from monai.bundle import ConfigWorkflow

    from pipelines.workflow import parse_overrides

    overrides = parse_overrides([f"{name}={value}" for name, value in settings.items()])
    with quiet(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.runs.conclusion.conclude_run", lambda *arguments: None)
        workflow = ConfigWorkflow(
            [str(file) for file in files],
            str(files[0].parent / "metadata.json"),
            False,
            workflow_type="train",
            dataset_dir=str(data),
            output_dir=str(run),
            device="$torch.device('cpu')",
            **overrides,
        )
        workflow.initialize()
        missing = workflow.check_properties()
        workflow.run()
        workflow.finalize()
    return missing


def test_monai_runs_the_same_files_to_the_same_weights(atrium, door, tmp_path):
    files = config_files(BUNDLES / "left_atrium_dtc", ["common", "train", "quick", "smoke"])
    missing = run_workflow(files, atrium, tmp_path, SETTINGS | SHORT)
    assert missing == []
    assert last(tmp_path) == last(door)
    assert rows(tmp_path) == rows(door)


@pytest.mark.slow
def test_monai_runs_the_same_from_another_folder_in_a_process_of_its_own(atrium, door, tmp_path):
    files = [str(file) for file in config_files(BUNDLES / "left_atrium_dtc", ["common", "train", "quick", "smoke"])]
    settings = [word for name, value in (SETTINGS | SHORT).items() for word in (f"--{name}", value)]
    words = ["run", "--config_file", str(files), "--dataset_dir", str(atrium), "--output_dir", str(tmp_path / "run")]
    process = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words, "--device", "$torch.device('cpu')", *settings],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert last(tmp_path / "run") == last(door)
    assert (tmp_path / "run" / "report.html").is_file()


def test_supervised_training_takes_the_labelled_scans_alone(atrium, tmp_path):
    assert train(command_line(atrium, tmp_path, "--method", "supervised", settings=SHORT)) == 0
    row = last_row(tmp_path)
    assert row["loss_consistency"] == row["consistency_weight"] == ""
    assert float(row["loss_mask"]) > 0


def test_mean_teacher_compares_with_the_average(atrium, door, tmp_path):
    assert train(command_line(atrium, tmp_path, "--method", "mean_teacher", settings=SHORT)) == 0
    row = last_row(tmp_path)
    assert float(row["loss_consistency"]) > 0
    assert row["loss_consistency"] != last_row(door)["loss_consistency"]


@pytest.mark.parametrize("method", ["dtc", "mean_teacher", "supervised"])
def test_every_method_trains_without_unlabelled_scans(tmp_path, method):
    data = make_tiny_cohort(tmp_path / "data", cases=4, labeled=3, unlabeled=0, validation=0, test=1)
    run = tmp_path / "run"
    assert train(command_line(data, run, "--method", method, settings=SHORT)) == 0
    assert last_row(run)["iteration"] == "2"
    assert not (run / "checkpoints" / "best.pt").exists()


def test_labels_beyond_the_asked_for_are_not_used(tmp_path, atrium):
    assert train(command_line(atrium, tmp_path, "--labeled", "1", settings=SHORT)) == 0
    splits = yaml.safe_load((tmp_path / "splits.json").read_text())
    assert {name: len(cases) for name, cases in splits.items()} == {
        "labeled": 1,
        "unlabeled": 4,
        "validation": 1,
        "test": 1,
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"max_gradient_norm": "0.01"},
        {"max_gradient_norm": "null", "channels_last": "false"},
        {"network_def::deep_supervision": "true"},
        {"network_def::checkpointing": "true"},
        {"network_def::norm": "instance", "patch_size": "[32, 32, 16]"},
        {"network_def::norm": "[group, {num_groups: 2}]", "network_def::residual": "true"},
        {"foreground_probability": "1.0", "augmentation::0::patch_size": "[16, 16, 16]", "head": "mean"},
        {"labeled_per_batch": "1", "unlabeled_per_batch": "3", "separate_streams": "false"},
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_options_train_and_change_the_weights(atrium, door, tmp_path, settings):
    assert train(command_line(atrium, tmp_path, settings=SHORT | settings)) == 0
    assert all(float(last_row(tmp_path)[term]) >= 0 for term in ("loss", "loss_mask", "loss_level_set"))
    ours, theirs = last(tmp_path), last(door)
    changed = {name for name in ours if name.startswith("/network") and ours[name] != theirs.get(name)}
    # Computing activations twice is no other training.
    assert bool(changed) != (settings == {"network_def::checkpointing": "true"})


def test_clipping_limits_the_step(atrium, tmp_path):
    settings = SHORT | {"max_gradient_norm": "1e-9", "optimizer::weight_decay": "0"}
    assert train(command_line(atrium, tmp_path, settings=settings)) == 0
    assert float(last_row(tmp_path)["gradient_norm"]) > 1e-3  # as it was before


def test_planar_images_train(tmp_path):
    data = make_tiny_cohort(tmp_path / "data", kind="atrium2d", shape=(40, 36), spacing_mm=[2.0])
    settings = SHORT | {"spacing_mm": "[1, 1]", "patch_size": "[32, 32]"}
    assert train(command_line(data, tmp_path / "run", overlays=["quick", "planar"], settings=settings)) == 0
    assert last_row(tmp_path / "run")["iteration"] == "2"


def test_volumes_and_planar_configuration_do_not_mix(atrium, tmp_path, capsys):
    settings = SHORT | {"spacing_mm": "[1, 1]", "patch_size": "[32, 32]"}
    assert train(command_line(atrium, tmp_path, overlays=["quick", "planar"], settings=settings)) == 2
    assert "holds images with spatial_dims 3, but the configuration is for 2" in capsys.readouterr().err


@pytest.mark.slow
def test_planar_training_learns_and_concludes(tmp_path):
    data = make_tiny_cohort(
        tmp_path / "data",
        kind="atrium2d",
        cases=10,
        labeled=4,
        unlabeled=4,
        validation=0,
        test=2,
        shape=None,
        spacing_mm=None,
    )
    arguments = ["--data", str(data), "--output", str(tmp_path / "run"), "--device", "cpu", "--iterations", "80"]
    with quiet():
        assert train([*arguments, "--overlay", "quick", "--overlay", "planar"], conclude=True) == 0
    summary = yaml.safe_load((tmp_path / "run" / "summary.json").read_text())
    assert summary["aggregate"]["mean"]["dice"]["mean"] > 0.8
