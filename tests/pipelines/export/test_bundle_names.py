"""Names of packages that a stock environment lacks, and of places on somebody's disk, are found wherever they stand."""

from __future__ import annotations

import pytest

from pipelines.export.bundle_names import OURS, imported_names, name_faults, package_faults, path_faults
from tests.pipelines.export.tiny_bundle import INFERENCE, METADATA


def faults(config, allowed=()):
    return name_faults(config, allowed, imported_names(config))


def test_stock_names():
    assert faults(INFERENCE) == []


@pytest.mark.parametrize(
    "value",
    [
        {"_target_": "networks.nets.DualTaskVNet"},
        {"_target_": "scripts.net.Net"},
        {"deep": [{"_target_": "torchvision.ops.nms"}]},
        {"reader": "transforms.io.volume_reader.VolumeReader"},
        "$import scripts",
        "$from scripts.net import Net",
        "$networks.nets.DualTaskVNet()",
        "$[pandas.read_csv(name) for name in ['a']]",
        "$1 +",
    ],
    ids=str,
)
def test_names_of_others(value):
    found = faults({"a": value})
    assert len(found) == 1
    assert found[0][0].startswith("a")


@pytest.mark.parametrize(
    "value",
    [
        {"_target_": "monai.networks.nets.UNet"},
        {"_target_": "UNet"},
        {"_target_": "torch.nn.Softmax"},
        {"_target_": "@other"},
        {"text": "transforms. Then more"},
        "$lambda x: x + len([y for y in range(3)])",
        "$np.float32(@a::b#0) if not @c else %d",
        "$monai.handlers.from_engine(['pred', 'label'])",
        "$None",
    ],
    ids=str,
)
def test_names_that_all_have(value):
    assert faults({"a": value}) == []


def test_ours_are_allowed_where_they_are():
    config = {"a": {"_target_": "networks.nets.DualTaskVNet"}, "b": "$pipelines.engines.DualTaskTrainer"}
    assert [identity for identity, _ in faults(config)] == ["a::_target_", "b"]
    assert faults(config, OURS) == []


def test_what_is_imported_under_another_name():
    config = {
        "i": ["$import os.path", "$import scripts.net as n", "$from glob import glob as g"],
        "b": "$n.Net(g('*'))",
    }
    assert imported_names(config) | {"os": "os", "n": "scripts", "g": "glob"} == imported_names(config)
    assert [identity for identity, _ in faults(config)] == ["i::1", "b"]
    assert faults(config, ("scripts",)) == []


@pytest.mark.parametrize(
    "value",
    [
        "/home/ada/data",
        "$'/Users/ada/' + 'x'",
        ["see /mnt/scans/one"],
        "C:\\Users\\ada",
        "/data/scans/one.nii.gz",
        "~/data",
    ],
)
def test_places_on_somebodys_disk(value):
    assert len(path_faults({"a": {"b": value}})) == 1


@pytest.mark.parametrize(
    "value", ["/workspace/data", "$@bundle_root + '/eval'", "data/images", ".", "https://example.org/home/x", "a/b"]
)
def test_places_of_nobody(value):
    assert path_faults({"a": value}) == []


def test_packages_that_components_need():
    assert package_faults(INFERENCE, METADATA) == []
    found = package_faults(INFERENCE, {"required_packages_version": {"pytorch_ignite": "0.5.5"}})
    assert [identity for identity, _ in found] == ["preprocessing::transforms::0", "postprocessing::transforms::2"]
    assert "needs nibabel" in found[0][1]
    assert "needs scikit-image" in found[1][1]
