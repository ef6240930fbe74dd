"""A good bundle has no faults, all faults of a bad one are told at once, and checking files runs nothing of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from copy import deepcopy

import pytest
import yaml
from monai.bundle.properties import MetaProperties

from pipelines.export import bundle_checks
from pipelines.export.bundle_checks import check_files, check_weights
from pipelines.workflow import BUNDLES
from tests.pipelines.export.tiny_bundle import INFERENCE, METADATA, TRAIN, write_bundle, write_config, write_hashes
from transforms.io.input_error import InputError

NAMES = sorted(path.parent.parent.name for path in BUNDLES.glob("*/configs/common.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def told(findings):
    return [(finding.file.name, finding.id) for finding in findings]


def lines(findings):
    return [str(finding.refusal()) for finding in findings]


def test_a_good_bundle(made):
    report = check_files(made)
    check_weights(made, report)
    assert lines(report.faults) == lines(report.remarks) == []
    assert not report.is_source
    assert report.inference == INFERENCE


@pytest.mark.parametrize("name", NAMES)
def test_our_source_bundles(name):
    report = check_files(BUNDLES / name)
    assert lines(report.faults) == lines(report.remarks) == []
    assert report.is_source


def test_an_exported_bundle(smoke_run):
    report = check_files(smoke_run.bundle)
    check_weights(smoke_run.bundle, report)
    assert lines(report.faults) == []


def test_all_faults_at_once(bundle):
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json"):
        (bundle / name).unlink()
    write_config(bundle, "train", {"reader": "/home/ada/data"})
    (bundle / "configs" / "logging.conf").write_text("[handler_x]\nclass=eval\n")
    (bundle / "docs" / "README.md").write_text("In /home/ada/runs.")
    (bundle / "models" / "model.pt").write_bytes(b"x")
    found = told(check_files(bundle).faults)
    assert ("LICENSE", "") in found
    assert ("metadata.json", "") in found
    assert {("train.json", name) for name in ("reader", "run", "device", "train::dataset", "train::trainer")} <= {
        *found
    }
    assert found.count(("logging.conf", "")) == 4
    assert ("README.md", "") in found
    assert ("model.pt", "") in found


@pytest.mark.parametrize("identity", [entry["id"] for entry in MetaProperties.values() if entry["required"]])
def test_every_property_of_the_metadata(bundle, identity):
    name = identity.partition("::")[2]
    write_config(bundle, "metadata", {key: value for key, value in METADATA.items() if key != name})
    assert any(line.endswith(f"metadata.json: {name} is missing") for line in lines(check_files(bundle).faults))


def test_nothing_to_run(bundle):
    (bundle / "configs" / "inference.json").unlink()
    report = check_files(bundle)
    assert ("configs", "") in told(report.faults)
    assert ("inference.json", "") in told(report.remarks)


def test_an_overlay_is_told_of_its_own_faults_alone(bundle):
    train = deepcopy(TRAIN)
    del train["device"]
    write_config(bundle, "train", train)
    write_config(bundle, "multi_gpu_train", {"train::trainer::train_handlers": "@validate::handlers"})
    assert told(check_files(bundle).faults) == [
        ("train.json", "device"),
        ("multi_gpu_train.json", "train::trainer::train_handlers"),
    ]


def test_evaluation_may_be_an_overlay_on_the_training_or_on_the_inference(bundle):
    evaluation = {"evaluator::val_handlers": "@handlers", "run": ["$@evaluator.run()"]}
    write_config(bundle, "evaluate", evaluation)
    assert told(check_files(bundle).faults) == []
    write_config(bundle, "evaluate", {**evaluation, "imports": ["$import networks"]})
    assert told(check_files(bundle).faults) == [("evaluate.json", "imports::0")]


def test_a_training_may_name_this_project_and_inference_may_not(bundle):
    write_config(bundle, "train", TRAIN | {"loss": {"_target_": "networks.losses.MaskLoss"}})
    assert told(check_files(bundle).faults) == []
    write_config(bundle, "inference", INFERENCE | {"network_def": {"_target_": "networks.nets.DualTaskVNet"}})
    assert ("inference.json", "network_def::_target_") in told(check_files(bundle).faults)


def test_a_bundles_own_scripts_are_a_package(bundle):
    network = {"_target_": "scripts.net.Net"}
    write_config(bundle, "train", TRAIN | {"network_def": network})
    (bundle / "scripts").mkdir()
    assert told(check_files(bundle).faults) == [("__init__.py", ""), ("train.json", "network_def::_target_")]
    (bundle / "scripts" / "__init__.py").touch()
    assert told(check_files(bundle).faults) == []


def test_preferences_are_remarks(bundle):
    (bundle / "configs" / "inference.json").unlink()
    (bundle / "configs" / "inference.yaml").write_text(yaml.safe_dump(INFERENCE))
    (bundle / "models" / "model.pt").unlink()
    write_hashes(bundle)
    shutil.rmtree(bundle / "docs")
    report = check_files(bundle)
    assert told(report.faults) == []
    assert [name for name, _ in told(report.remarks)] == ["README.md", "model.pt", "inference.yaml"]


def test_large_files(bundle, monkeypatch):
    monkeypatch.setattr(bundle_checks, "ZOO_FILE_BYTES", 10_000)
    assert {name for name, _ in told(check_files(bundle).remarks)} == {"model.pt", "model.ts"}
    digest = hashlib.md5((bundle / "models" / "model.pt").read_bytes()).hexdigest()
    entries = [
        {"path": "models/model.pt", "url": "https://example.org/a", "hash_type": "md5", "hash_val": digest},
        {"path": "models/model.ts", "url": "https://example.org/b", "hash_type": "", "hash_val": ""},
    ]
    (bundle / "large_files.yml").write_text(yaml.safe_dump({"large_files": entries}))
    report = check_files(bundle)
    assert told(report.faults) == told(report.remarks) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "models/model.pt"},
        {"path": "../outside", "url": "u"},
        {"path": "models/model.pt", "url": "u", "hash_type": "crc", "hash_val": "0"},
        {"path": "models/model.pt", "url": "u", "hash_type": "md5", "hash_val": ""},
        {"path": "models/model.pt", "url": "u", "hash_type": "md5", "hash_val": "0" * 32},
        "models/model.pt",
    ],
    ids=str,
)
def test_wrong_lists_of_large_files(bundle, entry):
    (bundle / "large_files.json").write_text(json.dumps({"large_files": [entry]}))
    assert told(check_files(bundle).faults) == [("large_files.json", "large_files::0")]


def test_reading_runs_nothing(bundle, tmp_path):
    marker = tmp_path / "marker"
    harm = f"$open({str(marker)!r}, 'w')"
    write_config(bundle, "inference", INFERENCE | {"network_def": harm, "initialize": [harm]})
    check_files(bundle)
    assert not marker.exists()


def test_weights_with_harmful_code_are_not_loaded(bundle, monkeypatch):
    def refuse(file):
        raise InputError(file, "holds code that is not allowed")

    monkeypatch.setattr(bundle_checks, "check_weight_file", refuse)
    monkeypatch.setattr(bundle_checks, "weight_faults", lambda folder: pytest.fail("loaded"))
    report = check_files(bundle)
    check_weights(bundle, report)
    assert lines(report.faults) == [
        f"{bundle}/models/{name}: holds code that is not allowed" for name in ("model.pt", "model.ts")
    ]


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        check_files(tmp_path / "nothing")
