"""The command ``check_data``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipelines.check_data import main
from tests.data_sets import FOLDER, needs_data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _cohort(root: Path, cases: int, *, bad: int = 0) -> Path:
    root.mkdir()
    training = []
    for number in range(cases):
        rng = np.random.default_rng(number)
        nib.save(nib.Nifti1Image(rng.normal(size=(5, 6, 7)).astype(np.float32), np.eye(4)), root / f"i{number}.nii.gz")
        label = rng.integers(0, 2, (5, 6, 7)).astype(np.uint8) * (4 if number < bad else 1)
        nib.save(nib.Nifti1Image(label, np.eye(4)), root / f"l{number}.nii.gz")
        training.append({"image": f"i{number}.nii.gz", "label": f"l{number}.nii.gz"})
    labels = {"0": "background", "1": "organ"}
    content = {"name": "cohort", "modality": {"0": "MRI"}, "labels": labels, "training": training}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_a_good_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _cohort(tmp_path / "späce 肝", 3)
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    assert main([str(root), "--json", str(tmp_path / "out.json")]) == 0
    out, err = capsys.readouterr()
    for part in ("cohort: MRI", "3 cases", "5x6x7 voxels", "1x1x1 mm", "3 RAS", "organ: min", "no faults found"):
        assert part in out
    assert err == ""
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["faults"], content["warnings"]) == ([], [])
    assert content["fingerprint"]["hash"][:16] in out
    assert before == {path.name: path.read_bytes() for path in root.iterdir()}
    assert main([str(root)]) == main([str(root), "--no-cache"]) == 0


def test_fields_of_view_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _cohort(tmp_path / "set", 2)
    content = json.loads((root / "dataset.json").read_text())
    nib.save(nib.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.eye(4)), root / "fov.nii.gz")
    content["training"][0]["fov"] = "fov.nii.gz"
    (root / "dataset.json").write_text(json.dumps(content))
    assert main([str(root)]) == 0
    assert "1 cases with a field of view" in capsys.readouterr().out
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.eye(4)), root / "fov.nii.gz")
    assert main([str(root)]) == 2
    assert "fov.nii.gz: is an empty field of view" in capsys.readouterr().err


def test_faults_are_told_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _cohort(tmp_path / "set", 24, bad=23)
    assert main([str(root), "--json", str(tmp_path / "out.json")]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"error: {root}/l0.nii.gz: holds labels that the data set does not declare: 4")
    assert lines[-1] == "and 3 more faults (see --json)"
    assert "faults found: 23" in out
    assert len(json.loads((tmp_path / "out.json").read_text())["faults"]) == 23


@pytest.mark.parametrize("arguments", [["absent"], [], ["--nothing"], ["file"], ["."]])
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_json_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _cohort(tmp_path / "set", 2)
    assert main([str(root), "--json", str(root / "i0.nii.gz" / "x.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from pipelines.check_data import main; main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Research use only, not for diagnosis." in done.stdout
    for name in ("torch", "monai", "nibabel", "SimpleITK", "matplotlib", "pydicom"):
        assert f"'{name}'" not in done.stdout


@needs_data("known_bad")
def test_known_bad_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(FOLDER / "known_bad")]) == 2
    err = capsys.readouterr().err
    for part in (
        "mismatched_pair/labels/hippocampus_118.nii.gz: has shape 512x512x94, but its image has 37x52x33",
        "mismatched_pair/labels/hippocampus_118.nii.gz: has spacing",
        "wrong_format/images/hippocampus_001.nii.gz: is named as gzip but holds a PNG picture",
        "truncated/images/hippocampus_003.nii.gz: is truncated",
    ):
        assert part in err
    assert "Traceback" not in err
