"""The export_bundle command: folder and zip, both whole, both proven; what is there already is kept."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import replace

import pytest
import yaml

from pipelines.export.bundle_export import read_run
from pipelines.export.stock_run import MaskComparison
from pipelines.export.weight_forms import OPTIONAL_FORMS
from pipelines.export_bundle import main, write_zip


@pytest.fixture
def proof(monkeypatch):
    """Stands for the run of stock MONAI, which tests/pipelines/export/test_stock_run.py does once."""
    found = {"differing": 3}
    monkeypatch.setattr(
        "pipelines.export.stock_run.compare_with_stock",
        lambda run, bundle, trusted: MaskComparison(found["differing"], 9000, 800),
    )
    return found


def export(run, output, *options):
    return main([str(run), "--output", str(output), *options])


def test_folder_and_zip(smoke_run, tmp_path, proof, capsys):
    output = tmp_path / "new" / "heart_mr_segmentation"
    assert export(smoke_run.run, output) == 0
    told = capsys.readouterr().out
    assert "exported network equals the trained one within" in told
    assert "3 of 9000 voxels differ (800 in the mask)" in told
    assert sorted(path.name for path in output.parent.iterdir()) == [output.name, f"{output.name}.zip"]
    stored = json.loads((output / "docs" / "proof.json").read_text())
    assert stored["mask_with_stock_monai"] == {"differing": 3, "voxels": 9000, "foreground": 800}
    summary = json.loads((smoke_run.run / "summary.json").read_text())
    dice = summary["aggregate"]["left atrium cavity"]["dice"]["mean"]
    assert f"{dice:.3f}" in (output / "docs" / "README.md").read_text()
    with zipfile.ZipFile(tmp_path / "new" / f"{output.name}.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == [output.name]
    for path in output.rglob("*"):
        if path.is_file():
            copy = tmp_path / "unpacked" / output.name / path.relative_to(output)
            assert copy.read_bytes() == path.read_bytes()


def test_forms_on_demand(smoke_run, tmp_path, proof, capsys, monkeypatch):
    """torch.export itself takes long; test_weight_forms.py shows what it gives."""

    def save(network, path, example, texts):
        path.write_bytes(b"recorded")

    program = replace(OPTIONAL_FORMS["pt2"], save=save, load=lambda path: read_run(smoke_run.run).predictor)
    monkeypatch.setitem(OPTIONAL_FORMS, "pt2", program)
    assert export(smoke_run.run, tmp_path / "b", "--onnx", "--pt2") == 0
    told = capsys.readouterr().out
    card = (tmp_path / "b" / "docs" / "README.md").read_text()
    for title, file in (("TorchScript", "model.ts"), ("ONNX", "model.onnx"), ("torch.export", "model.pt2")):
        assert f"({title})" in told
        assert f"| `models/{file}` |" in card
        assert (tmp_path / "b" / "models" / file).is_file()
    assert "3 of 9000 voxels differ (800 in the mask)" in card


@pytest.mark.slow
def test_every_form_for_real(smoke_run, tmp_path, capsys):
    assert export(smoke_run.run, tmp_path / "b", "--onnx", "--pt2") == 0
    assert "\nstock MONAI's mask of a synthetic image, against ours: 0 of" in capsys.readouterr().out


def test_a_run_from_elsewhere(smoke_run, tmp_path, proof, capsys):
    """It is exported when it is trusted by its hash, and nothing of it runs before that."""
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    code = f"$__import__('pathlib').Path({str(tmp_path / 'written')!r}).touch()"
    config |= {"head": "mask", "network_def": {**config["network_def"], "dropout": f"{code} or 0.0"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for target in ((), ("--to", "slicer-auto3dseg")):
        assert export(run, tmp_path / "out" / "b", *target) == 2
        told = capsys.readouterr().err
        assert "config.yaml: network_def::dropout: asks for the attribute" in told
        assert not (tmp_path / "written").exists()
    assert export(run, tmp_path / "out" / "b", "--trust", "0" * 64) == 2
    assert "pass --trust" in capsys.readouterr().err
    assert export(run, tmp_path / "out" / "b", "--trust", "me") == 2
    assert "--trust: takes the SHA-256 of a bundle" in capsys.readouterr().err
    assert not (tmp_path / "written").exists()
    assert export(run, tmp_path / "out" / "b", "--trust", re.findall(r"[0-9a-f]{64}", told)[0]) == 0
    assert (tmp_path / "written").exists()
    assert export(smoke_run.run, tmp_path / "out" / "c", "--trust", "0" * 64) == 2
    assert "is of nothing that was given" in capsys.readouterr().err


def test_a_form_that_differs_leaves_nothing(smoke_run, tmp_path, proof, capsys, monkeypatch):
    onnx = OPTIONAL_FORMS["onnx"]
    wrong = replace(onnx, load=lambda path: lambda image: onnx.load(path)(image) * 0.9)
    monkeypatch.setitem(OPTIONAL_FORMS, "onnx", wrong)
    assert export(smoke_run.run, tmp_path / "out" / "b", "--onnx") == 1
    assert "the exported network (ONNX) differs from the trained one by" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_without_onnx(smoke_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.export.weight_forms.find_spec", lambda name: None)
    assert export(smoke_run.run, tmp_path / "b", "--onnx") == 2
    told = capsys.readouterr().err
    assert told == "error: --onnx: needs onnx, onnxscript, onnxruntime: pip install onnx onnxscript onnxruntime\n"
    assert not list(tmp_path.iterdir())


def test_for_slicer(smoke_run, tmp_path, capsys):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("head: mean", "head: mask"))
    for options, status in (([], 0), ([], 2), (["--overwrite"], 0)):
        assert export(run, tmp_path / "heart-v0.1.0", "--to", "slicer-auto3dseg", *options) == status
    said = capsys.readouterr()
    assert "network for 3D Slicer: equals the trained one within" in said.out
    assert "holds a bundle; choose another folder or pass --overwrite" in said.err
    with zipfile.ZipFile(tmp_path / "heart-v0.1.0.zip") as archive:
        assert sorted(archive.namelist()) == [
            f"heart-v0.1.0/{name}" for name in ("README.md", "labels.csv", "model.pt")
        ]


def test_what_slicer_cannot_take(smoke_run, tmp_path, capsys):
    assert export(smoke_run.run, tmp_path / "b", "--to", "slicer-auto3dseg", "--onnx") == 2
    assert export(smoke_run.run, tmp_path / "b", "--to", "slicer-auto3dseg") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: --onnx: is a form of a bundle's network, and --to is slicer-auto3dseg"
    assert second.startswith("error: --to slicer-auto3dseg: is for the mask head's probabilities")
    assert not list(tmp_path.iterdir())


def test_another_mask_is_a_fault_of_ours(smoke_run, tmp_path, proof, capsys):
    proof["differing"] = 10
    assert export(smoke_run.run, tmp_path / "out" / "b") == 1
    assert "stock MONAI gives another mask with the exported bundle: 10 of 9000" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_what_is_there_is_kept(smoke_run, tmp_path, proof, capsys):
    assert export(smoke_run.run, tmp_path / "b") == 0
    (tmp_path / "b" / "mark").touch()
    assert export(smoke_run.run, tmp_path / "b") == 2
    assert "holds a bundle; choose another folder or pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "b" / "mark").exists()
    assert export(smoke_run.run, tmp_path / "b", "--overwrite") == 0
    assert not (tmp_path / "b" / "mark").exists()


def put_file(folder):
    (folder / "b").write_text("mine")


def put_folder(folder):
    (folder / "b").mkdir()
    (folder / "b" / "mine").touch()


def put_zip(folder):
    (folder / "b.zip").write_text("mine")


TAKEN = {
    put_file: (["--overwrite"], "b: holds something that is no bundle"),
    put_folder: (["--overwrite"], "b: holds something that is no bundle"),
    put_zip: ([], r"b\.zip: is there already"),
}


@pytest.mark.parametrize(("put", "case"), TAKEN.items(), ids=[put.__name__ for put in TAKEN])
def test_places_that_are_taken(smoke_run, tmp_path, capsys, put, case):
    options, message = case
    put(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert export(smoke_run.run, tmp_path / "b", *options) == 2
    assert re.search(f"^error: .*{message}", capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["no run", "weights", "summary"])
def test_runs_that_cannot_be_exported(smoke_run, tmp_path, capsys, damage):
    run = tmp_path / "run"
    if damage == "no run":
        run.mkdir()
    else:
        shutil.copytree(smoke_run.run, run, ignore=shutil.ignore_patterns("bundle", "tensorboard"))
        file = {"weights": run / "checkpoints" / "last.pt", "summary": run / "summary.json"}[damage]
        file.write_bytes(file.read_bytes()[:-50])
    assert export(run, tmp_path / "b") == 2
    assert re.match("error: .*run", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_zip_is_the_same_every_time(smoke_run, tmp_path):
    for name in ("1.zip", "2.zip"):
        write_zip(smoke_run.bundle, tmp_path / name)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["1.zip", "2.zip"]
