"""The mean of several networks, on the grid of the image."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from pipelines.data.dataset import read_dataset
from pipelines.prediction.ensemble import Ensemble, load_ensemble
from pipelines.prediction.loading import InferenceSettings, load_predictor
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.prediction.dropout_run import with_dropout
from transforms.io.input_error import InputError

CPU = InferenceSettings()


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
