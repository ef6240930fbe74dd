"""Every way in which a bundle's metadata can be refused, and all of them at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

import bundles
from pipelines.export.metadata_rules import metadata_faults

TENSOR = {
    "type": "image",
    "format": "magnitude",
    "num_channels": 1,
    "spatial_shape": ["16*n", "*", 32, "2**p", "2**p*n"],
    "dtype": "float32",
    "value_range": [0, 1.5],
    "is_patch_data": True,
    "channel_def": {"0": "image"},
}
GOOD = {
    "schema": "https://example.org/schema.json",
    "version": "0.1.0",
    "changelog": {"0.1.0": "first"},
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.4.6",
    "required_packages_version": {"nibabel": "5.4.2"},
    "task": "t",
    "description": "d",
    "authors": "a",
    "copyright": "c",
    "references": ["r"],
    "network_data_format": {"inputs": {"image": TENSOR, "scale": 2.0}, "outputs": {"pred": dict(TENSOR)}},
}
NETWORK = ("network_data_format",)
IMAGE = (*NETWORK, "inputs", "image")
ABSENT = object()


def changed(*changes):
    """Good metadata with values set, or taken away, by their paths."""
    metadata = copy.deepcopy(GOOD)
    for path, value in changes:
        node = metadata
        for name in path[:-1]:
            node = node[name]
        if value is ABSENT:
            del node[path[-1]]
        else:
            node[path[-1]] = value
    return metadata


def test_good_metadata():
    assert metadata_faults(GOOD) == []


@pytest.mark.parametrize("name", [name for name in GOOD if name != "references"])
def test_what_must_be_there(name):
    assert f"{name} is missing" in metadata_faults(changed(((name,), ABSENT)))


@pytest.mark.parametrize("name", [name for name in TENSOR if name not in ("is_patch_data", "channel_def")])
def test_what_a_tensor_must_have(name):
    faults = metadata_faults(changed(((*IMAGE, name), ABSENT)))
    assert faults == [f"network_data_format.inputs.image.{name} is missing"]


FAULTS = {
    ("pytorch_version",): ("two", "pytorch_version must be like 1.2.3, got 'two'"),
    ("monai_version",): ("1.6", "monai_version must be like 1.2.3"),
    ("changelog",): ({"0.0.9": "old"}, "changelog has no entry for version 0.1.0"),
    ("task",): (3, "task must be a text, got 3"),
    ("supported_apps",): ([], "supported_apps must be an object, got []"),
    ("references",): (["a", 1], "references must be a list of texts"),
    ("required_packages_version", "scipy"): (1.17, "required_packages_version.scipy must be a text, got 1.17"),
    ("optional_packages_version",): ({}, "optional_packages_version is the old name"),
    (*NETWORK, "inputs"): ({"scan": TENSOR}, "network_data_format.inputs must name one image"),
    (*NETWORK, "outputs"): ({"mask": TENSOR}, "network_data_format.outputs must name one pred"),
    (*IMAGE, "format"): ("pixels", "inputs.image.format must be one of magnitude"),
    (*IMAGE, "is_patch_data"): ("yes", "inputs.image.is_patch_data must be true or false, got 'yes'"),
    (*IMAGE, "spatial_shape"): (["n*16"], "inputs.image.spatial_shape holds 'n*16'"),
    (*IMAGE, "value_range"): (["low"], "inputs.image.value_range holds 'low', which is no number"),
    (*IMAGE, "channel_def"): ({"1": "a"}, "inputs.image.channel_def must name the channels 0 to 0, got 1"),
    ("latent_data_format",): ({"inputs": {}}, "latent_data_format.outputs is missing"),
    (*NETWORK, "inputs", "extra"): ([1], "network_data_format.inputs.extra must be an object, number"),
}


@pytest.mark.parametrize(("path", "case"), FAULTS.items(), ids=[".".join(path) for path in FAULTS])
def test_what_is_wrong(path, case):
    value, told = case
    faults = metadata_faults(changed((path, value)))
    assert len(faults) == 1
    assert told in faults[0]


def test_no_channel_at_all():
    faults = metadata_faults(changed(((*IMAGE, "num_channels"), 0), ((*IMAGE, "channel_def"), ABSENT)))
    assert faults == ["network_data_format.inputs.image.num_channels must be at least 1, got 0"]


def test_truth_is_no_number():
    assert metadata_faults(changed(((*IMAGE, "num_channels"), True))) == [
        "network_data_format.inputs.image.num_channels must be a whole number, got True"
    ]


def test_all_faults_at_once():
    assert len(metadata_faults(changed((("task",), ABSENT), (("version",), 1), ((*IMAGE, "dtype"), 3)))) >= 3
    assert len(metadata_faults({})) >= 11
    assert metadata_faults([]) == ["metadata.json must hold an object"]


@pytest.mark.parametrize(
    "file", sorted(Path(bundles.__file__).parent.glob("*/configs/metadata.json")), ids=lambda file: file.parts[-3]
)
def test_our_bundles(file):
    assert metadata_faults(json.loads(file.read_text())) == []
