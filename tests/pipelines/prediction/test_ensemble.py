"""The mean of several networks, on the grid of the image."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from pipelines.data.dataset import read_dataset
from pipelines.infer import main as infer
from pipelines.prediction.ensemble import Ensemble, load_ensemble
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.prediction.dropout_run import with_dropout
from tests.pipelines.prediction.slice_networks import as_network, predictor, slice_predictor, write_volume
from tests.pipelines.prediction.slice_runs import make_sources, write_run
from transforms.io.input_error import InputError

CPU = InferenceSettings()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("slices"))


def changed_bundle(smoke_run, folder, change):
    """A copy of the smoke run's bundle whose configurations ``change`` has had a hand in."""
    bundle = shutil.copytree(smoke_run.bundle, folder)
    for name in ("inference", "metadata"):
        file = bundle / "configs" / f"{name}.json"
        content = json.loads(file.read_text())
        change(name, content)
        file.write_text(json.dumps(content))
    return bundle


def coarser(name, content):
    if name == "inference":
        content["spacing_mm"] = [3.0, 3.5, 2.0]
        next(t for t in content["preprocessing"]["transforms"] if "pixdim" in t)["pixdim"] = [3.0, 3.5, 2.0]


def other_classes(name, content):
    if name == "metadata":
        content["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = "liver"


def more_channels(name, content):
    if name == "inference":
        content["in_channels"] = 2


def test_mean_of_networks_of_other_spacing(smoke_run, tmp_path):
    entry = read_dataset(smoke_run.data).test[0].entry()
    sources = [smoke_run.run, changed_bundle(smoke_run, tmp_path / "coarse", coarser)]
    ensemble, facts = load_ensemble(sources, CPU)
    each = [load_predictor(source, CPU)[0] for source in sources]
    probabilities = [predictor.predict_probabilities(entry) for predictor in each]
    assert (probabilities[0] - probabilities[1]).abs().max() > 0.01
    found = ensemble.predict(entry)
    np.testing.assert_array_equal(found.labels, each[0].decide(sum(probabilities) / 2))
    assert found.labels.any()
    assert ensemble.predict_level_set(entry) is None
    assert facts.name == "run + coarse"
    assert [member["name"] for member in facts.settings["ensemble"]] == ["run", "coarse"]


def test_uncertainty_of_the_mean(smoke_run, tmp_path):
    """Of the mean over networks and passes; every member draws alike, so that two of one network are that one."""
    entry = read_dataset(smoke_run.data).test[0].entry()
    settings = InferenceSettings(dropout_samples=2)
    runs = [with_dropout(smoke_run.run, tmp_path / name) for name in ("one", "two")]
    ensemble, _ = load_ensemble(runs, settings)
    alone = load_predictor(runs[0], settings)[0].predict(entry).uncertainty
    np.testing.assert_allclose(ensemble.predict(entry).uncertainty, alone, atol=1e-5)
    assert 0 < alone.max() <= 1


def members(*networks, **options):
    return [predictor(network, **options) for network in networks]


def test_weighted_means_by_hand(tmp_path):
    """Of the masks over those that give one, of the presence over those that tell it; slab by slab."""
    entry, values = write_volume(tmp_path / "a.nii.gz")
    networks = [slice_predictor(1), slice_predictor(2, kinds=0), slice_predictor(3, mask=False), slice_predictor(4)]
    with torch.inference_mode():
        volume = as_network(values)
        masks = [networks[index](volume)[0].double().numpy() for index in (0, 1, 3)]
        told = [networks[index].presence(volume)[0].double().numpy() for index in (0, 2, 3)]
    ensemble = Ensemble(members(*networks), [1, 2, 3, 4])
    found, probabilities = ensemble.predict_with_probabilities(entry)
    expected = (1 * masks[0] + 2 * masks[1] + 4 * masks[2]) / 7
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(found.labels, expected.argmax(0))
    np.testing.assert_allclose(found.presence, (1 * told[0] + 3 * told[1] + 4 * told[2]) / 8, atol=1e-6)
    np.testing.assert_array_equal(ensemble.predict(entry).labels, found.labels)
    assert ensemble.weights == (0.1, 0.2, 0.3, 0.4)
    with torch.inference_mode():
        flat = Ensemble(members(*networks)).predict_probabilities(entry)
    np.testing.assert_allclose(flat, sum(masks) / 3, atol=1e-6)


def test_an_ensemble_of_one_is_that_one(tmp_path):
    entry, _ = write_volume(tmp_path / "a.nii.gz")
    alone = predictor(slice_predictor())
    one, expected = Ensemble([alone], [7.0]).predict(entry), alone.predict(entry)
    np.testing.assert_array_equal(one.labels, expected.labels)
    np.testing.assert_array_equal(one.presence, expected.presence)


def test_detectors_alone(tmp_path):
    entry, _ = write_volume(tmp_path / "a.nii.gz")
    ensemble = Ensemble(members(slice_predictor(1, mask=False), slice_predictor(2, mask=False)))
    each = [member.predict_presence(entry)[0] for member in ensemble.predictors]
    np.testing.assert_allclose(ensemble.predict_presence(entry)[0], sum(each) / 2, atol=1e-6)
    assert not ensemble.gives_mask
    with pytest.raises(InputError, match="gives no mask"):
        ensemble.predict(entry)


def test_with_a_network_of_whole_volumes(tmp_path):
    """What one says of the whole volume is cut into the slabs of the other."""
    entry, values = write_volume(tmp_path / "a.nii.gz")
    whole = Classes()
    ensemble = Ensemble(members(whole, slice_predictor()), [1, 3])
    found, probabilities = ensemble.predict_with_probabilities(entry)
    with torch.inference_mode():
        volume = as_network(values)
        masks, told = slice_predictor().detect(volume)
        expected = 0.25 * whole(volume)[0] + 0.75 * masks[0]
    torch.testing.assert_close(probabilities, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.presence, told[0], atol=1e-6)


class Classes(torch.nn.Module):
    """Probabilities of four classes out of the grey values."""

    def forward(self, x):
        return torch.softmax(torch.cat([x, -x, 2 * x, 0.5 - x], 1), 1)


def test_what_cannot_go_together():
    with pytest.raises(ValueError, match="2 predictors need as many weights, got 1"):
        Ensemble(members(slice_predictor(), slice_predictor(1)), [1])
    with pytest.raises(ValueError, match="different axes"):
        Ensemble(members(slice_predictor(), slice_predictor(slice_axis=0)))
    with pytest.raises(ValueError, match="different thickness"):
        Ensemble([predictor(slice_predictor(), slab_slices=size) for size in (3, 4)])


@pytest.mark.parametrize("weights", [(1, 0.0), (0.0, 0.0), (1, -1), (float("nan"), 1), (float("inf"), 1)])
def test_weights_must_be_positive(weights):
    with pytest.raises(ValueError, match="positive numbers"):
        Ensemble(members(slice_predictor(), slice_predictor(1)), weights)


def test_weights_of_sources(tmp_path):
    runs = [write_run(tmp_path / name, seed) for seed, name in enumerate(("a", "b"))]
    settings = InferenceSettings(weights=(1.0, 3.0), flips=("lr",))
    ensemble, facts = load_ensemble(runs, settings)
    assert ensemble.weights == (0.25, 0.75)
    assert [(member["name"], member["weight"]) for member in facts.settings["ensemble"]] == [("a", 0.25), ("b", 0.75)]
    assert [member.run for member in facts.members] == runs
    assert all(member.by_slabs for member in ensemble.predictors)
    with pytest.raises(InputError, match="--weights: needs one for each of the 2 sources, got 3 weights"):
        load_ensemble(runs, InferenceSettings(weights=(1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match=r"b: looks at slices along axis 2, but .*c along axis 0"):
        load_ensemble([write_run(tmp_path / "c", 0, slice_axis=0), runs[1]], CPU)
    with pytest.raises(InputError, match="--overlap: is for windows, and this network takes whole images"):
        load_ensemble(runs, InferenceSettings(overlap=0.5))


def test_one_source_is_no_ensemble(smoke_run):
    predictor, facts = load_ensemble([smoke_run.run], CPU)
    assert not isinstance(predictor, Ensemble)
    assert facts.run == smoke_run.run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_classes, r"other: has the class names \{1: 'liver'\}, but .*run has \{1: 'left atrium cavity'\}"),
        (more_channels, r"other: has the in channels 2, but .*run has 1"),
    ],
)
def test_networks_that_do_not_go_together(smoke_run, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        load_ensemble([smoke_run.run, changed_bundle(smoke_run, tmp_path / "other", change)], CPU)


def test_the_same_network_twice(smoke_run):
    with pytest.raises(InputError, match=r"bundle/\.\.: is given twice"):
        load_ensemble([smoke_run.run, smoke_run.run / "bundle" / ".."], CPU)


def test_an_ensemble_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def harmful(name, content):
    if name == "inference":
        content["inferer"]["progress"] = "$bool(vars(torch))"


def test_each_member_is_trusted_by_its_own_hash(smoke_run, tmp_path):
    own = changed_bundle(smoke_run, tmp_path / "own", harmful)
    digest = bundle_sha256(own)
    ensemble, facts = load_ensemble([smoke_run.run, own], CPU, [digest])
    assert len(ensemble.predictors) == 2
    assert facts.name == "run + own"
    with pytest.raises(InputError, match="inferer::progress: uses the name 'vars'"):
        load_ensemble([smoke_run.run, own], CPU)
    with pytest.raises(InputError, match=f"--trust: {'0' * 64} is of nothing that was given: .*own has {digest}"):
        load_ensemble([smoke_run.run, own], CPU, [digest, "0" * 64])


WRONG_WEIGHTS = {
    ("--weights", "1"): "error: --weights: needs one for each of the 2 sources, got one weight",
    ("--weights", "1", "0.0"): "error: --weights: must be positive numbers, got 1 0",
    ("--flips", "3"): "error: --flips: takes each of the axes",
    ("--overlap", "0.5"): "error: --overlap: is for windows, and this network takes whole images",
}


@pytest.mark.parametrize(("options", "message"), WRONG_WEIGHTS.items())
def test_fusion_that_is_refused(sources, tmp_path, capsys, options, message):
    words = ["--bundle", sources / "both", sources / "masks", "--input", sources / "data" / "images", *options]
    assert infer([*map(str, words), "--output", str(tmp_path / "out"), "--device", "cpu"]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(message)
    assert not (tmp_path / "out").exists()
