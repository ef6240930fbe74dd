"""The training configuration of a bundle: the run's own, with nobody's folders in it, in JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigWorkflow
from monai.bundle.properties import TrainProperties
from monai.bundle.workflows import _reject_executable_logging_config

import bundles
from pipelines.export.training_config import LOGGING_CONF, MULTI_GPU_FILE, multi_gpu_config, training_config


@pytest.fixture(scope="module")
def config(smoke_run):
    return yaml.safe_load((smoke_run.run / "config.yaml").read_text())


def test_the_run_without_its_places(smoke_run, config):
    before = copy.deepcopy(config)
    exported = training_config(config)
    assert config == before
    text = json.dumps(exported)
    assert json.loads(text) == exported
    for place in (str(smoke_run.data), str(smoke_run.run), str(Path.home())):
        assert place not in text
    free = {"bundle_root", "dataset_dir", "output_dir", "device"}
    assert {name: value for name, value in exported.items() if name not in free} == {
        name: value for name, value in config.items() if name not in free
    }
    assert exported["device"].startswith("$torch.device('cuda:0' if")


def test_older_runs_get_the_list_of_validation_handlers(config):
    older = copy.deepcopy(config)
    older["validate"].pop("handlers", None)
    older["validate"]["evaluator"].pop("val_handlers", None)
    exported = training_config(older)["validate"]
    assert exported["handlers"] == []
    assert exported["evaluator"] == {**older["validate"]["evaluator"], "val_handlers": "@validate::handlers"}


def test_a_resumed_run_starts_anew(config):
    exported = training_config({**config, "resume": True, "overwrite": True, "world_size": 2, "rank": 1})
    assert (exported["resume"], exported["overwrite"], exported["world_size"], exported["rank"]) == (False, False, 1, 0)


def test_a_device_that_several_processes_share_out_is_kept(config):
    device = {"_target_": "pipelines.engines.distributed.process_device"}
    assert training_config({**config, "device": device})["device"] == device


def test_every_required_property_is_there(config):
    exported = training_config(config)
    for name, entry in TrainProperties.items():
        node = exported
        for part in entry["id"].split("::"):
            assert part in node or not entry["required"], name
            node = node.get(part, {}) if isinstance(node, dict) else {}


def test_it_trains(smoke_run, config, tmp_path):
    """As ``python -m monai.bundle run`` does it, to the first iteration's end."""
    (tmp_path / "configs").mkdir()
    for name, content in (("train", training_config(config)), ("metadata", {})):
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(content))
    workflow = ConfigWorkflow(
        config_file=str(tmp_path / "configs" / "train.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(tmp_path),
        dataset_dir=str(smoke_run.data),
        device="$torch.device('cpu')",
        iterations=1,
        finalize=[],
    )
    workflow.initialize()
    workflow.run()
    assert (tmp_path / "run" / "checkpoints" / "last.pt").is_file()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["class_names"] == {"1": "left atrium cavity"}


def test_the_overlay_for_several_processes(config):
    overlay = multi_gpu_config()
    assert json.loads(json.dumps(overlay)) == overlay
    assert overlay["trained_network"]["network"] == "@network"
    exported = training_config(config)
    new = {"find_unused_parameters"}
    assert {name.split("::")[0] for name in overlay} - new <= set(exported)


def test_all_bundles_share_that_overlay():
    files = sorted(Path(bundles.__file__).parent.glob("*/configs/multi_gpu_train.yaml"))
    assert len(files) >= 2
    assert {file.read_bytes() for file in files} == {MULTI_GPU_FILE.read_bytes()}


def test_monai_takes_the_logging_configuration(tmp_path):
    (tmp_path / "logging.conf").write_text(LOGGING_CONF)
    assert _reject_executable_logging_config(str(tmp_path / "logging.conf")) == LOGGING_CONF
