"""Configurations are merged as MONAI merges them, and their ids and references are found as MONAI finds them."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from pipelines.export.bundle_stages import find_part, merge, read_stages, references_of, walk, ways_of

FIRST = {"a": {"b": [1, {"c": 2}], "d": {"e": 1}}, "l": [1], "m": {"x": 1}}


@pytest.mark.parametrize(
    "second",
    [
        {"a": 3},
        {"a::d::e": 5},
        {"a#b#1#c": [7]},
        {"a::b::0": {"n": 1}},
        {"a::d::new": 1},
        {"+l": [2, 3]},
        {"+m": {"y": 2}},
        {"+a::d": {"z": 9}},
    ],
    ids=str,
)
def test_merging_is_monais(second):
    theirs = ConfigParser(deepcopy(FIRST))
    for key, value in second.items():
        merge_kv(theirs, key, deepcopy(value))
    assert merge([FIRST, second]) == theirs.get()
    assert FIRST["a"] == {"b": [1, {"c": 2}], "d": {"e": 1}}


def test_parts_that_are_not_there_are_made():
    assert merge([{}, {"train::trainer::loss": 1}]) == {"train": {"trainer": {"loss": 1}}}


@pytest.mark.parametrize(
    ("identity", "there"),
    [("a::b::1::c", True), ("a::b::2", False), ("a::x", False), ("l::0::x", False), ("macro::any::thing", True)],
)
def test_finding(identity, there):
    assert find_part(FIRST | {"macro": "%other.json::part"}, identity)[0] is there


def test_every_part_is_walked_once():
    assert [identity for identity, _ in walk({"a": [1, {"b": 2}], "c": 3})] == ["", "a", "a::0", "a::1", "a::1::b", "c"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@a", ["a"]),
        ("@a#b#0", ["a::b::0"]),
        ("$@a::b + len(@c) + @a::b", ["a::b", "c", "a::b"]),
        ("@::sister", ["x::y::sister"]),
        ("@##aunt", ["x::aunt"]),
        ("somebody@example.org", []),
        ("$'no reference'", []),
        (5, []),
    ],
)
def test_references(text, found):
    assert references_of(text, "x::y::me") == found


@pytest.mark.parametrize(
    ("stage", "there", "ways"),
    [
        ("inference", ["inference"], [("inference",)]),
        ("inference", ["common", "inference"], [("common", "inference")]),
        ("evaluate", ["evaluate"], [("evaluate",)]),
        ("evaluate", ["train", "evaluate"], [("evaluate",), ("train", "evaluate")]),
        ("evaluate", ["common", "evaluate", "inference"], [("common", "inference", "evaluate")]),
        ("multi_gpu_train", ["train", "multi_gpu_train"], [("multi_gpu_train",), ("train", "multi_gpu_train")]),
        ("quick", ["common", "train", "quick"], [("common", "train", "quick")]),
        ("search", ["train", "search"], []),
        ("common", ["common", "train"], []),
    ],
)
def test_what_a_stage_is_read_on_top_of(stage, there, ways):
    assert ways_of(stage, dict.fromkeys(there, {})) == ways


def test_reading_tells_what_it_cannot_read(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "configs" / "train.yaml").write_text("a: 1")
    (tmp_path / "configs" / "inference.json").write_text('{"a": 1, "a": 2}')
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    (tmp_path / "configs" / "logging.conf").write_text("")
    stages, findings = read_stages(tmp_path)
    assert stages == {"train": {"a": 1}}
    assert {finding.file.name for finding in findings} == {"train.yaml", "inference.json"}
    assert any("twice" in finding.reason for finding in findings)
