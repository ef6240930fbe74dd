"""Run folders, checkpoints and bundles give the same masks, and what is none of them is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from monai.inferers.utils import _get_scan_interval

from pipelines.data.dataset import read_dataset
from pipelines.export.bundle_export import export_run
from pipelines.export_bundle import write_zip
from pipelines.prediction.loading import (
    InferenceSettings,
    class_names_of,
    load_network,
    load_predictor,
    read_record,
    read_run_config,
    stride_overlap,
)
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.export.multi_task_run import make_multi_task_run
from tests.pipelines.export.slices_run import make_slices_run
from tests.pipelines.export.softmax_run import make_softmax_run
from tests.pipelines.prediction.dropout_run import with_dropout
from tests.pipelines.prediction.slice_networks import write_volume
from transforms.io.input_error import InputError

CPU = InferenceSettings()


@pytest.fixture(scope="module")
def entry(smoke_run):
    return read_dataset(smoke_run.data).test[0].entry()


@pytest.fixture(scope="module")
def plain(smoke_run, entry):
    return probabilities(smoke_run.run, entry)


def probabilities(source, entry, **settings):
    return load_predictor(source, InferenceSettings(**settings))[0].predict_probabilities(entry).numpy()


@pytest.mark.parametrize("settings", [{}, {"head": "level_set"}, {"head": "mask", "flips": (0, 2)}], ids=str)
def test_run_checkpoint_and_bundle_agree(smoke_run, entry, settings):
    expected = probabilities(smoke_run.run, entry, **settings)
    assert 0 <= expected[1].min() < expected[1].max() <= 1
    for source in (smoke_run.run / "checkpoints" / "last.pt", smoke_run.bundle):
        np.testing.assert_allclose(probabilities(source, entry, **settings), expected, rtol=0, atol=1e-6)


def test_a_run_without_heads(smoke_run, entry, tmp_path):
    run = make_softmax_run(smoke_run.run, tmp_path / "run")
    predictor, facts = load_predictor(run, CPU)
    found = predictor.predict_probabilities(entry)
    assert found.shape[0] == 2
    torch.testing.assert_close(found.sum(dim=0), torch.ones(found.shape[1:]), rtol=0, atol=1e-5)
    assert predictor.predict_level_set(entry) is None
    assert facts.settings["head"] == "softmax"
    with pytest.raises(InputError, match="--head: the network of .*run has no choice of heads"):
        load_predictor(run, InferenceSettings(head="mask"))


@pytest.mark.parametrize(
    "settings",
    [{"head": "level_set"}, {"overlap": 0.25}, {"stride": (8, 9, 5)}, {"window_mode": "constant"}, {"flips": (1,)}],
    ids=str,
)
def test_every_setting_changes_the_result(smoke_run, entry, plain, settings):
    assert np.abs(probabilities(smoke_run.run, entry, **settings) - plain).max() > 1e-6


def test_level_sets_of_run_and_bundle_agree(smoke_run, entry):
    sets = [load_predictor(source, CPU)[0].predict_level_set(entry) for source in (smoke_run.run, smoke_run.bundle)]
    assert np.abs(sets[0]).max() <= 1
    np.testing.assert_allclose(sets[1], sets[0], rtol=0, atol=1e-6)


def test_what_is_known_of_a_model(smoke_run, tmp_path):
    shutil.copytree(smoke_run.bundle, tmp_path / "alone")
    facts = [load_predictor(source, CPU)[1] for source in (smoke_run.run, smoke_run.bundle, tmp_path / "alone")]
    for fact in facts:
        assert fact.class_names == {1: "left atrium cavity"} == class_names_of(smoke_run.run)
        assert (fact.in_channels, fact.spatial_dims, fact.spacing_mm) == (1, 3, (2.5, 2.5, 2.5))
        assert fact.settings["head"] == "mean"
        assert json.loads(json.dumps(fact.settings)) == fact.settings
    assert [fact.run and fact.run.name for fact in facts] == ["run", "run", None]
    assert [fact.name for fact in facts] == ["run", "bundle", "alone"]
    assert facts[0].settings["checkpoint"] == "last.pt"


def test_the_best_weights_are_taken_when_there_are_some(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run.run, tmp_path / "run")
    shutil.copyfile(run / "checkpoints" / "last.pt", run / "checkpoints" / "best.pt")
    assert load_predictor(run, CPU)[1].settings["checkpoint"] == "best.pt"


def test_loading_a_bundle_writes_nothing(smoke_run, entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "bundle")
    before = sorted(tmp_path.rglob("*"))
    load_predictor(bundle, CPU)[0].predict(entry)
    assert sorted(tmp_path.rglob("*")) == before


def test_stride_is_exact_for_every_window():
    for window in range(1, 161):
        for stride in range(1, window + 1):
            overlap = stride_overlap([stride], [window])
            assert 0 <= overlap[0] < 1
            assert _get_scan_interval((window + 1,), (window,), 1, overlap) == (stride,)
    assert stride_overlap((18, 18, 4), (112, 112, 80)) == pytest.approx([1 - 18 / 112, 1 - 18 / 112, 0.95], abs=1e-6)


STRIDES = {
    "too few": ((18, 18), "needs 3 values, one per axis, got 2"),
    "none": ((18, 0, 4), "must be from 1 to the window's 112 voxels, got 0"),
    "beyond the window": ((18, 18, 81), "must be from 1 to the window's 80 voxels, got 81"),
}


@pytest.mark.parametrize(("stride", "reason"), STRIDES.values(), ids=STRIDES.keys())
def test_impossible_strides(stride, reason):
    with pytest.raises(InputError, match=f"--stride: {reason}"):
        stride_overlap(stride, (112, 112, 80))


def damage_nothing_there(run):
    shutil.rmtree(run)


def damage_empty(run):
    shutil.rmtree(run)
    run.mkdir()


def damage_config(run):
    (run / "config.yaml").write_text("a: [1")


def damage_config_kind(run):
    (run / "config.yaml").write_text("just text")


def damage_record(run):
    (run / "run.json").write_text("{")


def damage_record_gone(run):
    (run / "run.json").unlink()


def damage_record_kind(run):
    (run / "run.json").write_text("[]")


def damage_checkpoint(run):
    file = run / "checkpoints" / "last.pt"
    file.write_bytes(file.read_bytes()[:-100])


def damage_checkpoint_gone(run):
    (run / "checkpoints" / "last.pt").unlink()


def damage_network(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("filters: 4", "filters: 2"))


DAMAGE = {
    damage_nothing_there: r"run: does not exist",
    damage_empty: r"run: is neither a run folder, nor a checkpoint in one, nor a bundle",
    damage_config: r"config\.yaml: is no YAML",
    damage_config_kind: r"config\.yaml: is no configuration",
    damage_record: r"run\.json: is not valid JSON",
    damage_record_gone: r"run\.json: cannot be read",
    damage_record_kind: r"run\.json: is no record of a training",
    damage_checkpoint: r"last\.pt: is damaged, or no zip archive",
    damage_checkpoint_gone: r"last\.pt: there is no such checkpoint",
    damage_network: r"last\.pt: holds weights of another network",
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.items(), ids=[damage.__name__ for damage in DAMAGE])
def test_damaged_runs_are_refused(smoke_run, tmp_path, damage, message):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    damage(run)
    with pytest.raises(InputError, match=message):
        load_predictor(run, CPU)


def spoil_config(bundle):
    (bundle / "configs" / "inference.json").write_text("{")


def spoil_metadata(bundle):
    (bundle / "configs" / "metadata.json").write_text("{}")


def spoil_network(bundle):
    (bundle / "models" / "model.ts").unlink()


SPOILED = {
    spoil_config: r"inference\.json: is not valid JSON",
    spoil_metadata: r"metadata\.json: does not tell the classes \(network_data_format::outputs::pred::channel_def\)",
    spoil_network: r"model\.ts: is missing, though the bundle tells its hash",
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.items(), ids=[spoil.__name__ for spoil in SPOILED])
def test_damaged_bundles_are_refused(smoke_run, tmp_path, spoil, message):
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "bundle")
    spoil(bundle)
    with pytest.raises(InputError, match=message):
        load_predictor(bundle, CPU)


def test_dropout_in_inference(smoke_run, entry, plain, tmp_path):
    """Of a network with dropout, the same at every call, with the entropy of the mean beside it."""
    run = with_dropout(smoke_run.run, tmp_path / "run")
    np.testing.assert_array_equal(probabilities(run, entry), plain)
    predictor, facts = load_predictor(run, InferenceSettings(dropout_samples=2))
    found = predictor.predict_probabilities(entry).numpy()
    assert np.abs(found - plain).max() > 1e-3
    np.testing.assert_array_equal(predictor.predict_probabilities(entry).numpy(), found)
    assert np.abs(probabilities(run, entry, dropout_samples=3) - found).max() > 1e-4
    assert facts.settings["dropout_samples"] == 2
    prediction = predictor.predict(entry)
    shares = np.clip(found, 0, 1)
    terms = np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0)
    np.testing.assert_allclose(prediction.uncertainty, -terms.sum(0), atol=1e-4)
    assert prediction.uncertainty.shape == prediction.labels.shape
    assert load_predictor(run, CPU)[0].predict(entry).uncertainty is None


def test_dropout_that_is_not_there(smoke_run, tmp_path):
    with pytest.raises(InputError, match="--dropout-samples: the network of .*bundle cannot draw dropout: an exported"):
        load_predictor(smoke_run.bundle, InferenceSettings(dropout_samples=2))
    run = make_multi_task_run(smoke_run.run, tmp_path / "run", dropout=0.0)
    with pytest.raises(InputError, match="--dropout-samples: the network of .*run cannot draw dropout: it has none"):
        load_predictor(run, InferenceSettings(dropout_samples=2))


def test_a_head_that_is_not_there(smoke_run, tmp_path):
    heads = {"vessel": {"kind": "mask", "out_channels": 1}, "sdf": {"kind": "distance", "out_channels": 1}}
    run = make_multi_task_run(smoke_run.run, tmp_path / "run", heads=heads)
    assert load_predictor(run, InferenceSettings(head="mask"))[1].settings["head"] == "mask"
    with pytest.raises(InputError, match="--head: the network of .*run has vessel, mask, not level_set"):
        load_predictor(run, InferenceSettings(head="level_set"))


def test_settings_that_do_not_fit(smoke_run, tmp_path):
    with pytest.raises(InputError, match="--head: must be one of mask, level_set, mean, got body"):
        InferenceSettings(head="body")
    with pytest.raises(InputError, match="--flips: axis 3 is not there; the network's axes are 0 to 2"):
        load_predictor(smoke_run.run, InferenceSettings(flips=(3,)))
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "bundle")
    torch.jit.save(torch.jit.script(torch.nn.Identity()), bundle / "models" / "model.ts")
    (bundle / "docs" / "proof.json").unlink()
    (bundle / "docs" / "README.md").unlink()
    with pytest.raises(InputError, match="--head: the network of .*bundle has no choice of heads"):
        load_predictor(bundle, InferenceSettings(head="mean"))


def test_parts_of_a_run(smoke_run):
    config = read_run_config(smoke_run.run)
    network = load_network(config, smoke_run.run / "checkpoints" / "last.pt")
    assert not network.training
    assert read_record(smoke_run.run)["iterations"] == config["iterations"] == 2


def test_a_zip_file_is_as_good_as_its_folder(smoke_run, entry, plain, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write_zip(smoke_run.bundle, tmp_path / "heart.zip")
    predictor, facts = load_predictor(tmp_path / "heart.zip", CPU)
    # Nothing of it is left, and the network is there.
    assert list((tmp_path / "temporary").iterdir()) == []
    np.testing.assert_allclose(predictor.predict_probabilities(entry).numpy(), plain, rtol=0, atol=1e-6)
    assert facts.name == "heart"
    assert facts.run is None


def test_a_zip_file_that_is_no_bundle(smoke_run, tmp_path):
    write_zip(smoke_run.bundle / "docs", tmp_path / "docs.zip")
    with pytest.raises(InputError, match=r"docs\.zip: is neither a run folder"):
        load_predictor(tmp_path / "docs.zip", CPU)


@pytest.mark.parametrize("kind", ["run", "checkpoint", "bundle", "zip"])
def test_harm_is_refused_before_it_is_done(smoke_run, tmp_path, kind):
    run = shutil.copytree(smoke_run.run, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard"))
    marker = tmp_path / "marker"
    evil = f"$bool(np.savetxt('{marker}', [1]))"
    for file in (run / "config.yaml", run / "bundle" / "configs" / "inference.json"):
        content = yaml.safe_load(file.read_text())
        content["inferer"]["progress"] = evil
        file.write_text(json.dumps(content))
    write_zip(run / "bundle", tmp_path / "bundle.zip")
    sources = {"run": run, "checkpoint": run / "checkpoints" / "last.pt", "bundle": run / "bundle"}
    source = sources.get(kind, tmp_path / "bundle.zip")
    reason = "inferer::progress: uses 'numpy.savetxt', which is not allowed"
    with pytest.raises(InputError, match=reason):
        load_predictor(source, CPU)
    assert not marker.exists()
    digest = bundle_sha256(run if kind in ("run", "checkpoint") else run / "bundle")
    load_predictor(source, CPU, [digest])
    assert marker.exists()


def test_hashes_of_other_bundles_are_refused(smoke_run):
    right = bundle_sha256(smoke_run.bundle)
    assert load_predictor(smoke_run.bundle, CPU, [right])[1].sha256 == right
    with pytest.raises(InputError, match=rf"--trust: {'0' * 64} is of nothing that was given: .*bundle has {right}"):
        load_predictor(smoke_run.bundle, CPU, [right, "0" * 64])


def break_weights(bundle):
    file = bundle / "models" / "model.ts"
    network = torch.jit.load(file)
    next(network.parameters()).data.fill_(torch.nan)
    torch.jit.save(network, file)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weights_that_are_not_finite(smoke_run, tmp_path):
    bundle = shutil.copytree(smoke_run.bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns("docs"))
    break_weights(bundle)
    with pytest.raises(InputError, match=r"models: holds NaN or infinite weights \(network\."):
        load_predictor(bundle, CPU)


def test_a_run_of_slices_and_its_bundle(tmp_path):
    """Both go slab by slab, tell the same, and may be mirrored by name."""
    run = make_slices_run(tmp_path / "run")
    export_run(run, run / "bundle", None)
    scan, values = write_volume(tmp_path / "a.nii.gz", shape=(16, 24, 19))
    settings = InferenceSettings(flips=("lr", "slices"))
    (ours, facts), (exported, told) = (load_predictor(source, settings) for source in (run, run / "bundle"))
    assert facts.class_names == told.class_names
    assert (told.spatial_dims, told.in_channels, told.spacing_mm) == (3, 1, (np.inf,) * 3)
    assert ours.by_slabs
    assert exported.by_slabs
    found, probabilities = exported.predict_with_probabilities(scan)
    expected, wanted = ours.predict_with_probabilities(scan)
    assert found.presence.shape == (3, 19)
    np.testing.assert_allclose(found.presence, expected.presence, atol=1e-5)
    torch.testing.assert_close(probabilities, wanted, atol=1e-5, rtol=0)
    assert found.labels.shape == values.shape
    with pytest.raises(InputError, match="--head: the network of .* has no choice of heads"):
        load_predictor(run / "bundle", InferenceSettings(head="mask"))
