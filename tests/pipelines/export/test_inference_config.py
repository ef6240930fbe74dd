"""The configuration of an export names nothing of ours, has what MONAI asks for, and is the run's own pipeline."""

from __future__ import annotations

import copy
import glob
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from pipelines.export.inference_config import inference_config
from tests.pipelines.export.slices_run import slices_config

OURS = ("networks", "transforms", "pipelines", "bundles")
REQUIRED = ("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer")


@pytest.fixture(scope="module")
def config(smoke_run):
    return yaml.safe_load((smoke_run.run / "config.yaml").read_text())


@pytest.fixture
def exported(config):
    return inference_config(config)


def nodes(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def test_nothing_of_ours(exported):
    texts = [node for node in nodes(exported) if isinstance(node, str)]
    for text in texts:
        assert not any(re.search(rf"(?<![\w.]){name}\.|import {name}", text) for name in OURS)
    targets = {node["_target_"] for node in nodes(exported) if isinstance(node, dict) and "_target_" in node}
    assert all("." not in target for target in targets)  # MONAI's own are found by their names alone


def test_references_lead_somewhere(exported):
    ids = set(exported)
    references = {node[1:].split("::")[0] for node in nodes(exported) if isinstance(node, str) and node.startswith("@")}
    assert references
    assert references <= ids


def test_what_monai_asks_for(exported):
    assert set(REQUIRED) <= set(exported)
    assert exported["dataset"]["transform"] == "@preprocessing"
    assert exported["evaluator"]["val_handlers"] == "@handlers"
    assert json.loads(json.dumps(exported)) == exported


def test_the_pipeline_of_the_run(config, exported):
    ours, theirs = config["preprocessing"]["transforms"], exported["preprocessing"]["transforms"]
    added = ["EnsureChannelFirstd", "DeleteItemsd"]
    assert [step["_target_"] for step in theirs[:3]] == ["LoadImaged", *added]
    assert [step["_target_"] for step in theirs if step["_target_"] not in added] == [step["_target_"] for step in ours]
    assert "ensure_channel_first" not in theirs[0]
    assert all(step["keys"] == "image" for step in theirs if step["_target_"] != "DeleteItemsd")
    assert all("reader" not in step for step in theirs)
    spacing = next(step for step in theirs if step["_target_"] == "Spacingd")
    assert (spacing["pixdim"], spacing["mode"]) == (config["spacing_mm"], "bilinear")
    assert exported["inferer"] == config["inferer"]
    assert exported["postprocessing"]["transforms"][:-1] == config["postprocessing"]["transforms"]
    assert exported["postprocessing"]["transforms"][-1]["_target_"] == "SaveImaged"


def test_pictures(config, tmp_path):
    """Rows first, as the network has learnt them; all pictures of a folder, and masks that are pictures too."""
    plain, exported = inference_config(config), inference_config(config, pictures=True)
    steps = exported["preprocessing"]["transforms"]
    turned = {"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1]}
    assert [step for step in steps if step not in plain["preprocessing"]["transforms"]] == [turned]
    assert [step["_target_"] for step in steps[:4]] == [
        "LoadImaged",
        "EnsureChannelFirstd",
        "DeleteItemsd",
        "Transposed",
    ]
    assert (plain["output_ext"], exported["output_ext"]) == (".nii.gz", ".png")
    for name in ("b.png", "a.JPG", "c.tif", "d.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    expression = exported["datalist"].removeprefix("$").replace("@dataset_dir", repr(str(tmp_path)))
    found = eval(expression, {"glob": glob, "os": os})
    assert [Path(case["image"]).name for case in found] == ["a.JPG", "b.png", "c.tif"]


@pytest.mark.parametrize(("spacing", "codes"), [([1.0, 1.0], "RA"), ([1.0, 1.0, 2.0], "RAS")])
def test_as_many_axes_as_the_network_has(config, spacing, codes):
    steps = inference_config({**config, "spacing_mm": spacing})["preprocessing"]["transforms"]
    assert next(step for step in steps if step["_target_"] == "Orientationd")["axcodes"] == codes


def test_a_network_without_heads(config):
    """Its configuration may have no ``head``, and the bundle's says what the network is."""
    assert inference_config(config)["head"] == config["head"]
    without = {name: value for name, value in config.items() if name not in ("head", "k")}
    assert inference_config(without)["head"] == "softmax"


def test_slices_as_they_are():
    """They have no windows and no grid of their own, and no step that is not taken."""
    exported = inference_config(slices_config())
    assert not {"patch_size", "overlap", "spacing_mm", "slice_size"} & set(exported)
    shown = ("head", "spatial_dims", "neighbours", "slice_axis", "slices_at_once", "intensity_mean", "intensity_std")
    assert [exported[name] for name in shown] == ["slices", 3, 1, -1, 8, 40.0, 30.0]
    steps = exported["preprocessing"]["transforms"]
    assert [step["_target_"] for step in steps[3:]] == ["EnsureTyped", "NormalizeIntensityd"]
    assert steps[4] == {
        "_target_": "NormalizeIntensityd",
        "keys": "image",
        "subtrahend": "@intensity_mean",
        "divisor": "@intensity_std",
    }
    test_nothing_of_ours(exported)


def test_slices_whose_axes_are_turned():
    steps = inference_config(slices_config(axcodes="PLS"))["preprocessing"]["transforms"]
    assert steps[3] == {"_target_": "Orientationd", "keys": "image", "axcodes": "PLS", "labels": None}


@pytest.mark.parametrize(
    ("dims", "axis", "sides", "mode"),
    [(3, -1, [64, 96, -1], "trilinear"), (3, 0, [-1, 64, 96], "trilinear"), (2, -1, [64, 96], "bilinear")],
)
def test_slices_of_one_size(dims, axis, sides, mode):
    """In plain numbers; along the volume nothing is resampled."""
    config = slices_config(slice_size=[64, 96], slice_axis=axis, spatial_dims=dims)
    steps = inference_config(config)["preprocessing"]["transforms"]
    (resized,) = [step for step in steps if step["_target_"] == "Resized"]
    assert resized == {
        "_target_": "Resized",
        "keys": "image",
        "spatial_size": sides,
        "mode": mode,
        "anti_aliasing": True,
    }


def test_the_run_is_left_as_it_is(config):
    before = copy.deepcopy(config)
    exported = inference_config(config)
    exported["inferer"]["roi_size"] = exported["postprocessing"]["transforms"][0]["keys"] = None
    assert config == before
