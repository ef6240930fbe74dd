"""The demo: the order of its steps, what it refuses, and when it says that it did not learn."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipelines import demo
from pipelines.data.phantoms import make_cohort
from transforms.io.dicom_series import read_series

SHAPE = (12, 10, 8)


class Steps:
    """Stands for the commands that the demo runs: writes what they would write, and remembers their arguments."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.argv: dict[str, list[str]] = {}
        self.dice: float | None = 0.9
        self.failing = ""
        self.wrong_voxels = 0
        self.affine = np.diag([2.0, 2.0, 2.0, 1.0])

    def command(self, name: str, argv: list[str]) -> int:
        self.ran.append(name)
        self.argv[name] = argv
        if name == self.failing:
            return 2
        options = dict(zip(argv[::2], argv[1::2], strict=True))
        output = Path(options["--output"])
        if name == "make_phantom":
            make_cohort("atrium", output, 4, shape=(24, 24, 24), seed=0)
        elif name == "train_dtc" and self.dice is not None:
            output.mkdir()
            summary = {"aggregate": {"mean": {"dice": {"mean": self.dice}}}}
            (output / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        elif name == "infer":
            self._write_mask(output / "case.nii.gz", 0, np.diag([2.0, 2.0, 2.0, 1.0]))
        elif name == "infer_dicom":
            assert len(read_series(options["--input"]).paths) == 24
            output.mkdir()
        return 0

    def process(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.ran.append("monai")
        self.argv["monai"] = command
        failed = self.failing == "monai"
        if not failed:
            folder = Path(command[command.index("--output_dir") + 1])
            self._write_mask(folder / "case_seg.nii.gz", self.wrong_voxels, self.affine)
        return subprocess.CompletedProcess(command, int(failed), stdout="what went wrong\n" if failed else "")

    @staticmethod
    def _write_mask(file: Path, wrong_voxels: int, affine: np.ndarray) -> None:
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[4:8, 4:8, 2:6] = 1
        mask.ravel()[:wrong_voxels] = 1
        file.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(mask, affine), file)


@pytest.fixture
def steps(monkeypatch):
    steps = Steps()
    monkeypatch.setattr(demo, "run_named", steps.command)
    monkeypatch.setattr(demo.subprocess, "run", steps.process)
    return steps


def test_runs_every_step_and_tells_where_things_are(steps, tmp_path, capsys):
    output = tmp_path / "demo"
    assert demo.main(["--output", str(output), "--seed", "3", "--device", "cpu"]) == 0
    assert steps.ran == ["make_phantom", "train_dtc", "infer", "monai", "infer_dicom"]
    assert steps.argv["make_phantom"][-2:] == ["--seed", "3"]
    assert steps.argv["train_dtc"][2:6] == ["--overlay", "quick", "--overlay", "demo"]
    assert steps.argv["monai"][-2:] == ["--device", "$torch.device('cpu')"]
    told = capsys.readouterr().out
    assert "0.900" in told
    assert str(output / "run" / "report.html") in told
    assert str(output / "run" / "pictures") in told
    assert str(output / "dicom" / "results") in told
    assert "differ in 0 of 960 voxels" in told
    result = json.loads((output / "demo.json").read_text(encoding="utf-8"))
    assert (result["state"], result["mean_dice"]) == ("done", 0.9)


def test_is_repeatable_in_its_own_folder_only_when_told_to(steps, tmp_path, capsys):
    argv = ["--output", str(tmp_path / "demo")]
    assert demo.main(argv) == 0
    assert demo.main(argv) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert demo.main([*argv, "--overwrite"]) == 0


def test_never_touches_a_folder_that_no_demo_wrote(steps, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine", encoding="utf-8")
    assert demo.main(["--output", str(tmp_path), "--overwrite"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: is not empty")
    assert (tmp_path / "data" / "mine.txt").is_file()
    assert not steps.ran


@pytest.mark.parametrize(("dice", "status"), [(0.85, 0), (0.8499, 1), (None, 1)])
def test_phantoms_must_be_learnt(steps, tmp_path, capsys, dice, status):
    steps.dice = dice
    assert demo.main(["--output", str(tmp_path / "demo")]) == status
    assert capsys.readouterr().err == (
        "The demo did not learn: the mean Dice on phantoms should be 0.85 or better.\n" if status else ""
    )


@pytest.mark.parametrize("dice", [0.3, None])
def test_own_data_are_used_as_they_are_and_judged_by_their_owner(steps, tmp_path, dice):
    steps.dice = dice
    data = tmp_path / "mine"
    make_cohort("atrium", data, 4, shape=(24, 24, 24), seed=0)
    before = sorted(data.rglob("*"))
    assert demo.main(["--output", str(tmp_path / "demo"), "--data", str(data)]) == 0
    assert steps.ran == ["train_dtc", "infer", "monai"]
    assert "demo" not in steps.argv["train_dtc"]
    assert sorted(data.rglob("*")) == before


def test_refuses_absent_data_before_anything_is_written(steps, tmp_path, capsys):
    assert demo.main(["--output", str(tmp_path / "demo"), "--data", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
    assert not steps.ran


@pytest.mark.parametrize(
    ("failing", "status", "ran"),
    [("make_phantom", 2, 1), ("train_dtc", 2, 2), ("infer", 2, 3), ("monai", 1, 4), ("infer_dicom", 2, 5)],
)
def test_stops_at_the_first_step_that_fails(steps, tmp_path, capsys, failing, status, ran):
    steps.failing = failing
    assert demo.main(["--output", str(tmp_path / "demo")]) == status
    assert len(steps.ran) == ran
    assert ("what went wrong" in capsys.readouterr().err) == (failing == "monai")


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"wrong_voxels": 1}, "another mask"), ({"affine": np.eye(4)}, "different grids")],
)
def test_masks_that_are_not_the_same_are_a_fault_of_ours(steps, tmp_path, capsys, change, reason):
    for name, value in change.items():
        setattr(steps, name, value)
    assert demo.main(["--output", str(tmp_path / "demo")]) == 1
    assert reason in capsys.readouterr().err


def test_data_without_nifti_images_skip_the_stock_run(steps, tmp_path, capsys):
    data = tmp_path / "mine"
    make_cohort("atrium", data, 4, shape=(24, 24, 24), seed=0)
    listing = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    for part in ("training", "test", "unlabeled"):
        for case in listing.get(part, []):
            renamed = case["image"].replace(".nii.gz", ".mha")
            shutil.move(data / case["image"], data / renamed)
            case["image"] = renamed
    (data / "dataset.json").write_text(json.dumps(listing), encoding="utf-8")
    assert demo.main(["--output", str(tmp_path / "demo"), "--data", str(data)]) == 0
    assert steps.ran == ["train_dtc"]
    assert "stock MONAI is not run" in capsys.readouterr().out


@pytest.mark.slow
def test_the_real_demo_learns(tmp_path):
    assert demo.main(["--output", str(tmp_path / "demo"), "--device", "cpu"]) == 0
