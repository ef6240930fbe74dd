"""An export is whole, equals the trained network, and replaces nothing but a bundle."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
import torch

from pipelines.export import bundle_export
from pipelines.export.bundle_export import export_run, replace_folder
from pipelines.export.metadata_rules import metadata_faults
from pipelines.prediction.loading import InferenceSettings, load_predictor
from transforms.io.input_error import InputError

FILES = {
    *("LICENSE", "configs/inference.json", "configs/metadata.json", "docs/README.md", "docs/proof.json"),
    *("models/model.pt", "models/model.ts"),
}


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def bundle(smoke_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "heart_mr_segmentation"
    assert export_run(smoke_run.run, folder, None) <= 1e-5
    return folder


def test_what_is_in_it(smoke_run, bundle):
    assert files(bundle) == files(smoke_run.bundle) == FILES
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    assert metadata_faults(json.loads((bundle / "configs" / "metadata.json").read_text())) == []
    proof = json.loads((bundle / "docs" / "proof.json").read_text())
    for name, digest in proof["sha256"].items():
        assert hashlib.sha256((bundle / "models" / name).read_bytes()).hexdigest() == digest
        assert digest in (bundle / "docs" / "README.md").read_text()
    assert proof["network_largest_difference"] <= 1e-5


def test_both_forms_of_the_weights(bundle):
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    extra = {"metadata.json": "", "inference.json": ""}
    scripted = torch.jit.load(bundle / "models" / "model.ts", _extra_files=extra)
    for name, value in scripted.state_dict().items():
        assert torch.equal(value, weights[name])
    configs = bundle / "configs"
    assert json.loads(extra["inference.json"]) == json.loads((configs / "inference.json").read_text())
    stored = json.loads(extra["metadata.json"])
    assert {name: stored[name] for name in json.loads((configs / "metadata.json").read_text())} == json.loads(
        (configs / "metadata.json").read_text()
    )


@pytest.mark.parametrize("sides", [(16, 16, 16), (37, 29, 23), (5, 48, 17)])
def test_the_scripted_network_takes_any_size_and_any_head(smoke_run, bundle, sides):
    predictor, _ = load_predictor(smoke_run.run, InferenceSettings())
    scripted = torch.jit.load(bundle / "models" / "model.ts")
    image = torch.randn(1, 1, *sides)
    for head in ("mask", "level_set", "mean"):
        scripted.head = predictor.network.head = head
        with torch.inference_mode():
            torch.testing.assert_close(scripted(image), predictor.network(image), rtol=0, atol=1e-5)


def test_a_network_that_changed_is_not_exported(smoke_run, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_export, "_largest_difference", lambda *arguments: 1e-3)
    with pytest.raises(RuntimeError, match="differs from the trained one by 0.001"):
        export_run(smoke_run.run, tmp_path / "out" / "bundle", None)
    assert not list((tmp_path / "out").iterdir())


def test_metadata_that_would_be_refused_is_not_exported(smoke_run, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_export, "bundle_metadata", lambda *arguments: {"version": 1})
    with pytest.raises(RuntimeError, match="would be refused: schema is missing"):
        export_run(smoke_run.run, tmp_path / "out" / "bundle", None)
    assert not list((tmp_path / "out").iterdir())


def test_what_is_replaced(bundle, tmp_path):
    new, old = shutil.copytree(bundle, tmp_path / "new"), shutil.copytree(bundle, tmp_path / "old")
    (old / "docs" / "stale.txt").touch()
    replace_folder(new, old)
    assert files(old) == FILES
    assert not new.exists()
    (tmp_path / "empty").mkdir()
    replace_folder(old, tmp_path / "empty")
    assert files(tmp_path / "empty") == FILES


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_never_replaced(bundle, tmp_path, kind):
    new = shutil.copytree(bundle, tmp_path / "new")
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine.txt").touch()
    with pytest.raises(InputError, match="place: holds something that is no bundle"):
        replace_folder(new, place)
    assert place.is_file() or (place / "mine.txt").is_file()


def test_no_run(tmp_path):
    with pytest.raises(InputError, match=r"config\.yaml: is missing, so this is no run folder"):
        export_run(tmp_path, tmp_path / "bundle", None)
