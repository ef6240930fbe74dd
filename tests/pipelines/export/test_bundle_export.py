"""An export is whole, equals the trained network, and replaces nothing but a bundle."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
import yaml

from pipelines.data.dataset import read_dataset
from pipelines.export import bundle_export
from pipelines.export.bundle_export import export_for_slicer, export_run, read_run, replace_folder
from pipelines.export.metadata_rules import metadata_faults
from pipelines.export.plain_network import plain_predictor
from pipelines.export.stock_run import compare_with_stock
from pipelines.export.weight_forms import ONNX, TORCHSCRIPT
from pipelines.prediction.loading import InferenceSettings, load_predictor
from tests.pipelines.export.multi_task_run import make_multi_task_run
from tests.pipelines.export.slices_run import make_slices_run
from tests.pipelines.export.softmax_run import make_softmax_run
from transforms.io.input_error import InputError

CONFIGS = ("metadata.json", "inference.json", "evaluate.json", "train.json", "multi_gpu_train.json", "logging.conf")
FILES = {
    *("LICENSE", "docs/README.md", "docs/proof.json", "models/model.pt", "models/model.ts"),
    *(f"configs/{name}" for name in CONFIGS),
}


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def bundle(smoke_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "heart_mr_segmentation"
    differences = export_run(smoke_run.run, folder, None)
    assert set(differences) == {"model.pt", "model.ts"}
    assert max(differences.values()) <= 1e-5
    return folder


def test_what_is_in_it(smoke_run, bundle):
    assert files(bundle) == files(smoke_run.bundle) == FILES
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    assert metadata_faults(json.loads((bundle / "configs" / "metadata.json").read_text())) == []
    proof = json.loads((bundle / "docs" / "proof.json").read_text())
    for name, digest in proof["sha256"].items():
        assert hashlib.sha256((bundle / "models" / name).read_bytes()).hexdigest() == digest
        assert digest in (bundle / "docs" / "README.md").read_text()
    assert proof["network_largest_difference"] == max(proof["largest_difference"].values()) <= 1e-5


def test_both_forms_of_the_weights(smoke_run, bundle):
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    plain = plain_predictor(read_run(smoke_run.run).predictor).state_dict()
    assert list(weights) == list(plain)
    assert all(torch.equal(weights[name], value) for name, value in plain.items())
    extra = {"metadata.json": "", "inference.json": ""}
    scripted = torch.jit.load(bundle / "models" / "model.ts", _extra_files=extra)
    trained = read_run(smoke_run.run).predictor.state_dict()
    for name, value in scripted.state_dict().items():
        assert torch.equal(value, trained[name])
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


def test_every_form_is_written_compared_and_told(smoke_run, tmp_path, capsys):
    differences = export_run(smoke_run.run, tmp_path / "bundle", None, [ONNX])
    assert files(tmp_path / "bundle") == FILES | {"models/model.onnx"}
    assert set(differences) == {"model.pt", "model.ts", "model.onnx"}
    proof = json.loads((tmp_path / "bundle" / "docs" / "proof.json").read_text())
    assert proof["largest_difference"] == differences
    card = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    told = capsys.readouterr().out
    for file, title in (("model.pt", "state_dict"), ("model.ts", "TorchScript"), ("model.onnx", "ONNX")):
        assert f"| `models/{file}` | `{proof['sha256'][file]}` | {differences[file]:.2g} |" in card
        assert f"exported network equals the trained one within {differences[file]:.2g} ({title})" in told


def test_windows_that_the_plain_network_does_not_take(smoke_run, tmp_path):
    """Then the TorchScript file is the network, for all."""
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "patch_size": [30, 30, 30]}))
    bundle = tmp_path / "bundle"
    assert set(export_run(run, bundle, None)) == {"model.ts"}
    network = torch.jit.load(bundle / "models" / "model.ts")
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    inference = json.loads((bundle / "configs" / "inference.json").read_text())
    assert inference["network_def"].startswith("$torch.jit.load")
    assert inference["network"] == "$@network_def.to(@device)"
    card = (bundle / "docs" / "README.md").read_text()
    assert 'args_file={"bundle_root": "FOLDER/NAME"}' in card
    assert "WHERE" not in card
    predictor, facts = load_predictor(bundle, InferenceSettings(head="level_set"))
    assert facts.settings["head"] == "level_set"


@pytest.mark.parametrize("form", [TORCHSCRIPT, ONNX], ids=["TorchScript", "ONNX"])
def test_a_network_that_changed_is_not_exported(smoke_run, tmp_path, monkeypatch, form):
    wrong = replace(form, load=lambda path: lambda image: form.load(path)(image) + 1e-2)
    monkeypatch.setattr(bundle_export, "TORCHSCRIPT", wrong if form is TORCHSCRIPT else TORCHSCRIPT)
    with pytest.raises(RuntimeError, match=rf"\({form.title}\) differs from the trained one by 0\.01"):
        export_run(smoke_run.run, tmp_path / "out" / "bundle", None, [wrong] if form is ONNX else [])
    assert not list((tmp_path / "out").iterdir())


def test_terms_of_the_data(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"licence": "CC BY-SA 4.0\n(some | archive)"}))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "dataset_dir": str(tmp_path / "data")}))
    export_run(run, tmp_path / "bundle", None)
    assert files(tmp_path / "bundle") == FILES | {"docs/data_license.txt"}
    assert "CC BY-SA 4.0 (some / archive)\n" in (tmp_path / "bundle" / "docs" / "data_license.txt").read_text()
    assert "| terms | CC BY-SA 4.0 (some / archive) |" in (tmp_path / "bundle" / "docs" / "README.md").read_text()


@pytest.mark.parametrize("content", ["{", '{"labeled": 3}', "[]"])
def test_splits_that_cannot_be_read(smoke_run, tmp_path, content):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    (run / "splits.json").write_text(content)
    with pytest.raises(InputError, match=r"splits\.json: cannot be read as the run's splits"):
        export_run(run, tmp_path / "out" / "bundle", None)
    assert not list((tmp_path / "out").iterdir())


def test_for_slicer(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    with pytest.raises(InputError, match="is for the mask head's probabilities; the run has head mean"):
        export_for_slicer(run, tmp_path / "out" / "heart")
    assert not (tmp_path / "out").exists()
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("head: mean", "head: mask"))
    for _ in range(2):  # what is there is replaced
        assert export_for_slicer(run, tmp_path / "out" / "heart") <= 1e-5
    assert files(tmp_path / "out") == {f"heart/{name}" for name in ("model.pt", "labels.csv", "README.md")}


def test_metadata_that_would_be_refused_is_not_exported(smoke_run, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_export, "bundle_metadata", lambda *arguments: {"version": 1})
    with pytest.raises(RuntimeError, match="would be refused: schema is missing"):
        export_run(smoke_run.run, tmp_path / "out" / "bundle", None)
    assert not (tmp_path / "out").exists()


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


# ---- networks that give logits of all classes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def softmax_run(smoke_run, tmp_path_factory):
    return make_softmax_run(smoke_run.run, tmp_path_factory.mktemp("softmax") / "run")


@pytest.fixture(scope="module")
def softmax_bundle(softmax_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("softmax_exports") / "tumour"
    differences = export_run(softmax_run, folder, None, [ONNX])
    assert set(differences) == {"model.pt", "model.ts", "model.onnx"}
    assert max(differences.values()) <= 1e-5
    return folder


def test_a_network_without_heads_is_not_called_what_it_is_not(softmax_bundle):
    assert files(softmax_bundle) == FILES | {"models/model.onnx"}
    for name in ("docs/README.md", "configs/metadata.json", "configs/inference.json", "configs/evaluate.json"):
        told = (softmax_bundle / name).read_text()
        found = re.search(r"\bdual|V-Net|networks\.nets|signed distance|\bLuo\b", told, re.IGNORECASE)
        assert found is None, f"{found} in {name}"
    metadata = json.loads((softmax_bundle / "configs" / "metadata.json").read_text())
    assert metadata_faults(metadata) == []
    assert metadata["references"][0].startswith("Weihsbach")
    card = (softmax_bundle / "docs" / "README.md").read_text()
    assert "trained on noisy labels, with one data parameter for each, learnt beside the network (Weihsbach" in card
    assert "class probabilities (softmax of its logits)" in card
    assert "| batch | 3 windows |" in card
    assert "attribute `head`" not in card


def test_a_network_without_heads_gives_the_same_from_everywhere(smoke_run, softmax_run, softmax_bundle):
    inference = json.loads((softmax_bundle / "configs" / "inference.json").read_text())
    assert inference["head"] == "softmax"
    assert inference["network_def"].startswith("$torch.nn.Sequential(")
    entry = read_dataset(smoke_run.data).test[0].entry()
    expected = load_predictor(softmax_run, InferenceSettings())[0].predict_probabilities(entry)
    predictor, facts = load_predictor(softmax_bundle, InferenceSettings())
    torch.testing.assert_close(predictor.predict_probabilities(entry), expected, rtol=0, atol=1e-5)
    assert facts.settings["head"] == "softmax"
    assert predictor.predict_level_set(entry) is None
    image = torch.randn(1, 1, 32, 16, 48)
    source = read_run(softmax_run).predictor
    weights = torch.load(softmax_bundle / "models" / "model.pt", weights_only=True)
    plain = plain_predictor(source)
    plain.load_state_dict(weights)
    with torch.inference_mode():
        torch.testing.assert_close(plain(image), source(image), rtol=0, atol=1e-5)


def test_a_network_that_has_no_plain_form(smoke_run, tmp_path):
    run = make_softmax_run(smoke_run.run, tmp_path / "run", head="inverted")
    assert set(export_run(run, tmp_path / "bundle", None)) == {"model.ts"}
    inference = json.loads((tmp_path / "bundle" / "configs" / "inference.json").read_text())
    assert inference["network_def"].startswith("$torch.jit.load")


def test_a_network_without_heads_for_slicer(softmax_run, tmp_path):
    assert export_for_slicer(softmax_run, tmp_path / "tumour") <= 1e-5


@pytest.mark.slow
def test_a_network_without_heads_with_stock_monai(softmax_run, softmax_bundle):
    comparison = compare_with_stock(softmax_run, softmax_bundle)
    assert comparison.differing <= 1e-3 * comparison.voxels
    assert 0 < comparison.foreground < comparison.voxels


# ---- networks with several named heads -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def multi_task_run(smoke_run, tmp_path_factory):
    return make_multi_task_run(smoke_run.run, tmp_path_factory.mktemp("multi_task") / "run")


@pytest.fixture(scope="module")
def multi_task_bundle(multi_task_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("multi_task_exports") / "vessels"
    differences = export_run(multi_task_run, folder, None, [ONNX])
    assert set(differences) == {"model.pt", "model.ts", "model.onnx"}
    assert max(differences["model.pt"], differences["model.ts"]) <= 1e-5
    assert differences["model.onnx"] <= 1e-4
    return folder


def test_named_heads_are_called_what_they_are(multi_task_bundle):
    for name in ("docs/README.md", "configs/metadata.json", "configs/inference.json", "configs/evaluate.json"):
        told = (multi_task_bundle / name).read_text()
        found = re.search(r"\bdual|V-Net|networks\.nets|signed distance|\bLuo\b", told, re.IGNORECASE)
        assert found is None, f"{found} in {name}"
    metadata = json.loads((multi_task_bundle / "configs" / "metadata.json").read_text())
    assert metadata_faults(metadata) == []
    assert metadata["references"][0].startswith("Ronneberger")
    card = (multi_task_bundle / "docs" / "README.md").read_text()
    assert "A U-Net in 3D with the heads distance, sdf and vessel, on several decoders" in card
    assert "from the `vessel` head" in card
    assert "to another of its `choices`" in card


@pytest.mark.parametrize("settings", [{}, {"head": "level_set"}, {"head": "mean", "flips": (1,)}], ids=str)
def test_named_heads_give_the_same_from_everywhere(smoke_run, multi_task_run, multi_task_bundle, settings):
    entry = read_dataset(smoke_run.data).test[0].entry()
    predictor, facts = load_predictor(multi_task_run, InferenceSettings(**settings))
    expected = predictor.predict_probabilities(entry)
    assert expected[1].std() > 0.01
    exported, told = load_predictor(multi_task_bundle, InferenceSettings(**settings))
    torch.testing.assert_close(exported.predict_probabilities(entry), expected, rtol=0, atol=1e-5)
    assert facts.settings["head"] == told.settings["head"] == settings.get("head", "vessel")
    level_set = predictor.predict_level_set(entry)
    assert level_set.shape == expected[1:].shape
    assert abs(level_set - exported.predict_level_set(entry)).max() <= 1e-5


def test_named_heads_without_this_project(multi_task_run, multi_task_bundle):
    """The configuration names neither; the network in it gives what ours does, with the weights that load by name."""
    inference = json.loads((multi_task_bundle / "configs" / "inference.json").read_text())
    assert inference["head"] == "vessel"
    assert inference["network_def"].startswith("$torch.nn.Sequential(")
    source = read_run(multi_task_run).predictor
    plain = plain_predictor(source)
    plain.load_state_dict(torch.load(multi_task_bundle / "models" / "model.pt", weights_only=True))
    image = torch.randn(1, 1, 32, 16, 48)
    with torch.inference_mode():
        torch.testing.assert_close(plain(image), source(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"head": "sdf"}, {"attention": True, "spatial_dims": 3}, {"depth": 5, "filters": 1}], ids=str
)
def test_named_heads_that_have_no_plain_form(smoke_run, tmp_path, changes):
    run = make_multi_task_run(smoke_run.run, tmp_path / "run", **changes)
    assert set(export_run(run, tmp_path / "bundle", None)) == {"model.ts"}
    inference = json.loads((tmp_path / "bundle" / "configs" / "inference.json").read_text())
    assert inference["network_def"].startswith("$torch.jit.load")


@pytest.mark.slow
def test_named_heads_with_stock_monai(multi_task_run, multi_task_bundle):
    comparison = compare_with_stock(multi_task_run, multi_task_bundle)
    assert comparison.differing <= 1e-3 * comparison.voxels
    assert 0 < comparison.foreground < comparison.voxels


def test_no_run(tmp_path):
    with pytest.raises(InputError, match=r"config\.yaml: is missing, so this is no run folder"):
        export_run(tmp_path, tmp_path / "bundle", None)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_of_slices(tmp_path, dims):
    """Its TorchScript file still tells what slices hold; the card says how to ask."""
    make_slices_run(tmp_path / "run", spatial_dims=dims)
    differences = export_run(tmp_path / "run", tmp_path / "bundle", None)
    assert files(tmp_path / "bundle") == FILES
    assert set(differences) == {"model.ts"}
    assert differences["model.ts"] <= 1e-5
    predictor = read_run(tmp_path / "run").predictor
    loaded = torch.jit.load(tmp_path / "bundle" / "models" / "model.ts")
    image = torch.randn(1, 1, *[20, 33, 5][:dims])
    with torch.inference_mode():
        expected = predictor.detect(image)
        for found, tensor in zip(loaded.detect(image), expected, strict=True):
            torch.testing.assert_close(found, tensor, rtol=0, atol=1e-5)
        torch.testing.assert_close(loaded.presence(image), expected[1], rtol=0, atol=1e-5)
    card = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    shape = "(batch, K, slices)" if dims == 3 else "(batch, K)"
    assert f"`network.presence(image)` gives {shape}" in card
    for told in (
        "| grid | slices as they are |",
        "3. 40 subtracted from intensities, then divided by 30",
        "Adam, learn",
    ):
        assert told in card
    assert "set the attribute `head`" not in card
    assert "axes turned" not in card
    assert "networks." not in (tmp_path / "bundle" / "configs" / "inference.json").read_text()


def test_a_network_of_slices_that_cannot_leave(tmp_path):
    make_slices_run(tmp_path / "detector", ("common", "train", "detector"))
    with pytest.raises(InputError, match="tells what slices hold and gives no mask, which a bundle must"):
        export_run(tmp_path / "detector", tmp_path / "bundle", None)
    make_slices_run(tmp_path / "run")
    with pytest.raises(InputError, match="ONNX: is a recording, which a network that goes through a volume"):
        export_run(tmp_path / "run", tmp_path / "bundle", None, [ONNX])
    assert not (tmp_path / "bundle").exists()
