"""Bundles that do harm are refused with the offending id, and leave no trace; harmless ones of others pass."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

from pipelines.trust.bundle_scan import refuse_findings, scan_bundle, without_writers
from pipelines.trust.fingerprint import bundle_sha256
from tests.pipelines.trust.attacks import METADATA, OTHERS, WRITES, ZOO, attacked
from transforms.io.input_error import InputError, InputErrors

ATTACKS = {**WRITES, **OTHERS}


def write_bundle(folder, config, metadata=METADATA):
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.mark.parametrize(("changes", "identity"), ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_with_its_id(tmp_path, changes, identity):
    marker = tmp_path / "marker"
    bundle = write_bundle(tmp_path / "bundle", attacked(changes, str(marker)))
    found = scan_bundle(bundle)
    assert identity in [finding.id for finding in found]
    assert {finding.file for finding in found} == {bundle / "configs" / "inference.json"}
    assert not marker.exists()


# Some of them leave files open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("changes", [changes for changes, _ in WRITES.values()], ids=WRITES.keys())
def test_the_attacks_are_real(tmp_path, changes):
    from monai.bundle import ConfigParser

    marker = tmp_path / "marker"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = ConfigParser(attacked(changes, str(marker)))
        parser.parse()
        for name in changes:
            # What comes after the harm may fail.
            try:
                made = parser.get_parsed_content(name)
                if name == "preprocessing":
                    made("image")
            except Exception:
                continue
    assert marker.exists()


def test_there_are_many_attacks():
    assert len(WRITES) >= 40
    assert len(OTHERS) >= 40


def with_torchscript(config):
    config["network_def"] = "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)"


def with_a_component_that_loads(config):
    config["network_def"] = {
        "_target_": "torch.jit.load",
        "f": "$@bundle_root + '/models/model.ts'",
        "map_location": "cpu",
    }


def with_checkpoint_id(config):
    config["ckpt_path"] = "$@bundle_root + '/models/model.pt'"
    config["handlers"][0]["load_path"] = "@ckpt_path"
    config["load_pretrain"] = True
    config["initialize"].append("$@handlers[0](@evaluator) if @load_pretrain else None")
    config["handlers"][0]["_disabled_"] = "$not @load_pretrain"


def with_full_names(config):
    config["preprocessing"]["_target_"] = "monai.transforms.Compose"
    config["preprocessing"]["transforms"][3]["_target_"] = "monai.transforms.spatial.dictionary.Spacingd"
    config["network_def"]["_target_"] = "monai.networks.nets.UNet"
    config["network_def"]["act"] = ["prelu", {"init": 0.2}]


def with_lambdas(config):
    config["preprocessing"]["transforms"].append(
        {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: (x - x.mean()) / (x.std() + 1e-8)"}
    )
    config["postprocessing"]["transforms"].insert(
        0, {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x[0] if isinstance(x, (list, tuple)) else x"}
    )


def with_readers(config):
    config["preprocessing"]["transforms"][0] |= {"reader": "ITKReader", "image_only": True}
    config["postprocessing"]["transforms"][-1] |= {"writer": "NibabelWriter", "output_dtype": "$np.uint8"}


def with_swin(config):
    config["network_def"] = {
        "_target_": "SwinUNETR",
        "in_channels": 1,
        "out_channels": 14,
        "feature_size": 48,
        "use_checkpoint": False,
    }
    config["image_key"], config["patch"] = "image", [96, 96, 96]
    config["inferer"]["roi_size"] = "@patch"
    config["inferer"]["device"] = "$torch.device('cpu')"


def with_imports(config):
    config["imports"] += ["$import numpy as np", "$from monai.data import decollate_batch", "$import torch.nn as nn"]
    config["layer"] = "$nn.Softmax(dim=1)"
    config["dataloader"]["collate_fn"] = "$monai.data.list_data_collate"


def with_descriptions(config):
    config["network_def"]["_desc_"] = "a UNet @ 1.5 mm, 50 % of the usual width; see a.json"
    config["network_def"]["_mode_"] = "default"
    config["_meta_"] = {"note": "e-mail: someone@example.org"}
    config["label names"] = {"0": "background", "1": "spleen (whole)"}


def with_macro(config):
    config["val_inferer"] = "%inferer"


STYLES = [
    *(with_torchscript, with_a_component_that_loads, with_checkpoint_id, with_full_names, with_lambdas, with_readers),
    *(with_swin, with_imports, with_descriptions, with_macro),
]


@pytest.mark.parametrize("style", [lambda config: None, *STYLES], ids=["plain", *(style.__name__ for style in STYLES)])
def test_harmless_bundles_of_others_pass(tmp_path, style):
    config = copy.deepcopy(ZOO)
    style(config)
    assert scan_bundle(write_bundle(tmp_path / "bundle", config)) == []


BAD_METADATA = {
    "expression": ({"version": "$open('x', 'w')"}, "version"),
    "import": ({"a": ["$import evil"]}, "a::0"),
    "component": ({"a": {"_target_": "os.system"}}, "a"),
    "macro of a file": ({"a": "%/etc/x.json::a"}, "a"),
}


@pytest.mark.parametrize(("metadata", "identity"), BAD_METADATA.values(), ids=BAD_METADATA.keys())
def test_metadata_are_plain_data(tmp_path, metadata, identity):
    bundle = write_bundle(tmp_path / "bundle", ZOO, {**METADATA, **metadata})
    assert [(finding.file.name, finding.id) for finding in scan_bundle(bundle)] == [("metadata.json", identity)]


def test_links_out_of_a_bundle(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", ZOO)
    (bundle / "models").mkdir()
    (tmp_path / "outside.pt").write_bytes(b"")
    (bundle / "models" / "inside.pt").symlink_to("../configs/inference.json")
    assert scan_bundle(bundle) == []
    (bundle / "models" / "model.pt").symlink_to(tmp_path / "outside.pt")
    (bundle / "scripts").symlink_to(tmp_path)
    (bundle / "loop").symlink_to("loop")
    assert [finding.file.name for finding in scan_bundle(bundle)] == ["loop", "model.pt", "scripts"]


def test_files_that_cannot_be_read_are_findings(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", ZOO)
    (bundle / "configs" / "metadata.json").unlink()
    assert [finding.reason for finding in scan_bundle(bundle)] == ["cannot be read: No such file or directory"]


@pytest.fixture(scope="module")
def run_config(smoke_run):
    return yaml.safe_load((smoke_run.run / "config.yaml").read_text())


def test_our_own_runs_and_bundles_pass(smoke_run):
    assert scan_bundle(smoke_run.run) == []
    assert scan_bundle(smoke_run.bundle) == []


ON_RUNS = {
    "network": ("network_def", {"_target_": "os.system", "command": "true"}, "network_def"),
    "reader": ("reader", "evil.Reader", "preprocessing::transforms::0"),
    "checkpoints written": (
        "inferer",
        {"_target_": "pipelines.handlers.run_checkpoint.RunCheckpoint", "folder": "/tmp"},
        "inferer",
    ),
    "what is referred to": ("overlap", "$open('x', 'w')", "overlap"),
    "imports": ("imports", ["$import evil"], "imports::0"),
}


@pytest.mark.parametrize(("name", "value", "identity"), ON_RUNS.values(), ids=ON_RUNS.keys())
def test_runs_that_do_harm(run_config, tmp_path, name, value, identity):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**run_config, name: value}))
    assert identity in [finding.id for finding in scan_bundle(tmp_path)]


def test_what_inference_does_not_make_of_a_run_is_the_users_own(run_config, tmp_path):
    changed = {**run_config, "optimizer": {"_target_": "my_project.MyOptimizer"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed))
    assert scan_bundle(tmp_path) == []


def test_writers_are_taken_out_wherever_they_are():
    steps = without_writers({"a": {"b": [{"_target_": "monai.transforms.SaveImaged"}, [{"_target_": "SaveImage"}, 1]]}})
    assert steps == {"a": {"b": [[1]]}}


def test_the_refusal_tells_the_hash_that_lets_it_through(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", {**ZOO, "a": ["$open('x')"] * 8})
    digest = bundle_sha256(bundle)
    with pytest.raises(InputErrors) as refusal:
        refuse_findings(bundle, bundle, scan_bundle(bundle), ["0" * 64])
    told = [str(fault) for fault in refusal.value.faults]
    assert told[0].endswith("inference.json: a::0: uses the name 'open', which is not allowed")
    assert len(told) == 6
    assert "3 findings more" in told[-1]
    assert f"--trust {digest}" in told[-1]
    assert "run any code" in told[-1]
    assert refuse_findings(bundle, bundle, scan_bundle(bundle), [digest]) == digest


def test_trust_ends_when_a_byte_changes(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", attacked({"device": "$open('{marker}', 'w')"}))
    digest = bundle_sha256(bundle)
    moved = Path(shutil.copytree(bundle, tmp_path / "moved"))
    assert refuse_findings(moved, moved, scan_bundle(moved), [digest]) == digest
    (moved / "LICENSE").write_text(" ")
    with pytest.raises(InputError, match="device: uses the name 'open'"):
        refuse_findings(moved, moved, scan_bundle(moved), [digest])


def test_harmless_bundles_cost_no_hash(tmp_path):
    bundle = write_bundle(tmp_path / "bundle", ZOO)
    assert refuse_findings(bundle, bundle, [], []) == ""
    assert refuse_findings(bundle, bundle, [], ["0" * 64]) == bundle_sha256(bundle)
