"""The command writes a cohort, refuses in one line, and leaves nothing behind when it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.make_phantom import build_parser, main

SMALL = ["--kind", "two_class", "--shape", "18", "25", "18"]


def test_writes_a_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "späce 肝"
    status = main([*SMALL, "--cases", "4", "--output", str(root), "--seed", "7", "--spacing", "2"])
    assert status == 0
    told = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    assert told["phantom"] == {"kind": "two_class", "seed": 7}
    assert (told["numTraining"], len(told["unlabeled"]), told["numTest"]) == (1, 2, 1)
    assert "4 cases of two_class (1 training, 2 unlabeled, 1 test)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "two_clas", "--cases", "2"], "error: --kind: no kind 'two_clas'; the nearest is 'two_class'"),
        ([*SMALL, "--cases", "0"], "error: --cases: must lie within"),
        ([*SMALL, "--cases", "2", "--test", "3"], "error: --cases: 2 cases do not divide"),
        ([*SMALL, "--cases", "2", "--file-ending", ".png"], "error: --file-ending: two_class can be written as"),
        (["--kind", "atrium", "--shape", "18", "25", "--cases", "2"], "error: --shape: atrium needs 3 sizes"),
        ([*SMALL, "--cases", "two"], "error: concord make_phantom: argument --cases: invalid int value"),
    ],
)
def test_refuses_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "cohort"
    assert main([*arguments, "--output", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert not root.exists()


def test_keeps_what_is_there_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "--output", str(tmp_path)]
    assert main([*arguments, "--cases", "2"]) == 0
    assert main([*arguments, "--cases", "1"]) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--cases", "1", "--overwrite"]) == 0
    assert json.loads((tmp_path / "dataset.json").read_text())["numTest"] == 0


def test_help_tells_defaults_units_and_intended_use() -> None:
    text = " ".join(build_parser().format_help().split())
    for part in ("millimetres per voxel", "(default: a quarter)", "two touching classes", "not for diagnosis"):
        assert part in text


def test_a_refusal_needs_no_heavy_import() -> None:
    code = (
        "import sys; from pipelines.make_phantom import main; "
        "status = main(['--kind', 'x', '--cases', '1', '--output', 'x']); "
        "heavy = {'torch', 'monai', 'scipy', 'matplotlib', 'nibabel'} & set(sys.modules); "
        "sys.exit(status if not heavy else f'imported {heavy}')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
