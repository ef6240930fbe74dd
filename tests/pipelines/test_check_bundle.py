"""The command ``check_bundle``: a line for each fault, and an exit status that a script can use."""

from __future__ import annotations

import shutil

import pytest

from pipelines.check_bundle import main
from pipelines.export_bundle import write_zip
from tests.pipelines.export.tiny_bundle import INFERENCE, write_bundle, write_config


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def test_a_good_bundle(made, capsys):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert main([str(made)]) == 0
    assert capsys.readouterr() == (f"{made}: bundle, no faults\n", "")
    assert before == {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}


def test_a_line_for_each_fault(bundle, capsys):
    (bundle / "LICENSE").unlink()
    write_config(bundle, "inference", {name: value for name, value in INFERENCE.items() if name != "dataset_dir"})
    assert main([str(bundle)]) == 2
    out, err = capsys.readouterr()
    assert f"error: {bundle}/LICENSE: is missing\n" in err
    assert f"error: {bundle}/configs/inference.json: dataset_dir: is missing (MONAI's property dataset_dir)\n" in err
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert f"{bundle}: bundle, {len(err.splitlines())} faults" in out


def test_a_zip_file(bundle, tmp_path, capsys):
    (bundle / "LICENSE").unlink()
    archive = tmp_path / "heart.zip"
    write_zip(bundle, archive)
    assert main([str(archive)]) == 2
    assert capsys.readouterr().err == f"error: {archive}/LICENSE: is missing\n"


def test_several_bundles(made, bundle, tmp_path, capsys):
    (bundle / "LICENSE").unlink()
    assert main([str(made), str(bundle), str(tmp_path / "none")]) == 2
    out, err = capsys.readouterr()
    assert [line.rpartition(": ")[2] for line in out.splitlines()] == ["bundle, no faults", "bundle, 1 fault"]
    assert err.splitlines()[-1] == f"error: {tmp_path}/none: no such bundle"


def test_what_is_not_allowed_is_not_run(bundle, tmp_path, capsys):
    marker = tmp_path / "marker"
    harm = f"$open({str(marker)!r}, 'w')"
    write_config(bundle, "inference", INFERENCE | {"network_def": harm})
    (bundle / "models" / "model.ts").unlink()
    shutil.rmtree(bundle / "docs")
    main([str(bundle)])
    assert "was not allowed to run, so weights and network were not tried" in capsys.readouterr().out
    assert not marker.exists()


def test_configurations_alone(bundle, capsys):
    (bundle / "models" / "model.ts").unlink()
    (bundle / "models" / "model.pt").write_bytes(b"nothing")
    shutil.rmtree(bundle / "docs")
    assert main([str(bundle), "--no-weights"]) == 0
    assert main([str(bundle)]) == 2
    assert "model.pt: " in capsys.readouterr().err


def test_a_bundle_without_an_inference(bundle, capsys):
    (bundle / "configs" / "inference.json").unlink()
    assert main([str(bundle)]) == 2
    assert "is missing, so no network was run" in capsys.readouterr().out
