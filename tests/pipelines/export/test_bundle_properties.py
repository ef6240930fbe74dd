"""Every property that MONAI or the zoo asks for is missed, all at once, and nothing is said of a good configuration."""

from __future__ import annotations

from copy import deepcopy

import pytest
from monai.bundle.properties import InferProperties, TrainProperties

from pipelines.export.bundle_properties import property_faults
from tests.pipelines.export.tiny_bundle import INFERENCE, METADATA, TRAIN

GOOD = {"inference": INFERENCE, "train": TRAIN}
REQUIRED = [
    (kind, entry["id"])
    for kind, properties in (("inference", InferProperties), ("train", TrainProperties))
    for entry in properties.values()
    if entry["required"]
]


def without(config, identity):
    changed = deepcopy(config)
    *parents, last = identity.split("::")
    node = changed
    for name in parents:
        node = node[name]
    del node[last]
    return changed


def ids(config, kind):
    return [identity for identity, _ in property_faults(config, METADATA, kind)]


@pytest.mark.parametrize("kind", GOOD)
def test_good_configurations(kind):
    assert property_faults(GOOD[kind], METADATA, kind) == []


@pytest.mark.parametrize(("kind", "identity"), REQUIRED)
def test_every_required_property_is_missed(kind, identity):
    assert identity in ids(without(GOOD[kind], identity), kind)


@pytest.mark.parametrize("kind", GOOD)
def test_all_are_told_at_once(kind):
    missing = set(ids({}, kind))
    assert {identity for of, identity in REQUIRED if of == kind} <= missing
    assert "run" in missing


@pytest.mark.parametrize("identity", ["train::handlers", "train::dataset::data", "validate::handlers"])
def test_what_the_zoo_asks_for_beyond_monai(identity):
    assert identity in ids(without(TRAIN, identity), "train")


def test_who_writes_has_a_folder_to_write_to():
    config = without(INFERENCE, "output_dir")
    config["postprocessing"]["transforms"][-1]["output_dir"] = "eval"
    assert ids(config, "inference") == ["output_dir"]
    del config["postprocessing"]["transforms"][-1]
    assert ids(config, "inference") == []


@pytest.mark.parametrize(
    ("kind", "identity", "value"),
    [
        ("inference", "evaluator::postprocessing", "@network"),
        ("inference", "dataset::transform", "@postprocessing"),
        ("inference", "evaluator::val_handlers", []),
        ("train", "train::trainer::train_handlers", "@validate::handlers"),
        ("train", "train::handlers::0::interval", 1),
        ("train", "train::handlers::0::validator", "@train::trainer"),
    ],
)
def test_optional_properties_under_another_id(kind, identity, value):
    config = deepcopy(GOOD[kind])
    *parents, last = identity.split("::")
    node = config
    for name in parents:
        node = node[int(name) if isinstance(node, list) else name]
    node[last] = value
    assert ids(config, kind) == [identity]
    node[last] = "$None"
    assert ids(config, kind) == []


def test_references_to_nothing():
    config = INFERENCE | {"network": "$@network_definition.to(@device)"}
    assert property_faults(config, METADATA, "inference") == [
        ("network", "refers to @network_definition, which is not there")
    ]


def test_the_metadata_may_be_referred_to():
    config = INFERENCE | {"made_with": "$@_meta_::monai_version", "nothing": "@_meta_::nothing"}
    assert ids(config, "inference") == ["nothing"]
