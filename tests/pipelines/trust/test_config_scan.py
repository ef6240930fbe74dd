"""The walk over a configuration: ids, imports, and what of it is parsed at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.trust.config_scan import parts_for, scan_config, scan_data
from tests.pipelines.trust.attacks import ZOO

FILE = Path("inference.json")


def ids(config):
    return [finding.id for finding in scan_config(config, FILE, for_inference=False)]


def test_findings_have_the_ids_of_their_places_in_order():
    config = {"a": {"b": [1, {"c": "$open(1)"}]}, "d": "$eval(1)", "e": [{"_target_": "x", "f": "$exec(1)"}]}
    assert ids(config) == ["a::b::1::c", "d", "e::0", "e::0::f"]


def test_imports_hold_wherever_they_are():
    assert ids({"a": "$glob.glob('*')"}) == ["a"]
    assert ids({"a": "$glob.glob('*')", "later": {"b": ["$import glob"]}}) == []


def test_one_name_has_one_meaning():
    assert ids({"a": "$import glob as x", "b": "$import os as x"}) == ["b"]
    assert ids({"a": "$import glob as x", "b": "$import glob as x"}) == []
    assert ids({"a": "$import os as torch", "b": "$torch.path.join('a')"})[0] == "a"


@pytest.mark.parametrize(
    ("reference", "refused"),
    [("@imports", True), ("@imports::0", True), ("$len(@imports)", True), ("@other", False), ("%imports", True)],
)
def test_imports_are_no_values(reference, refused):
    found = ids({"imports": ["$import os"], "other": [1], "a": reference})
    assert found == (["a"] if refused else [])


@pytest.mark.parametrize("text", ["$1", "@a", "100 %", "50% of @a", "a@b.c", "#1", "a::b", "", "@", "$'@a' + 'b'[0:0]"])
def test_plain_strings(text):
    expected = ["x"] if text.startswith("$'@a'") else []
    assert ids({"a": 1, "x": text}) == expected


@pytest.mark.parametrize("key", ["a::b", "a#b", "$a", "@a", "%a", "+a", "a\nb", "a\u202eb", "a\x1b"])
def test_keys_that_could_be_more(key):
    assert ids({"x": {key: 1}}) == ["x"]


@pytest.mark.parametrize("key", ["left atrium", "a.b", "a-b (c)", "é", 1])
def test_keys_that_are_keys(key):
    assert ids({"x": {key: 1}}) == []


def test_ids_from_strangers_are_shown_in_one_line():
    (_, second) = scan_config({"a\nb": "$open(1)"}, FILE, for_inference=False)
    assert second.id == "'a\\nb'"


def test_what_is_needed_for_some_parts():
    config = {"imports": [], "a": "$@b + 1", "b": {"c": ["%d::e"]}, "d": {"e": "@f#0"}, "f": [1], "g": "@a", "h": 1}
    assert list(parts_for(config, ["a"])) == ["imports", "a", "b", "d", "f"]
    assert list(parts_for(config, ["h", "missing"])) == ["imports", "h"]


def test_inference_needs_no_handlers():
    needed = parts_for(ZOO, ("network_def", "preprocessing", "inferer"))
    assert list(needed) == ["imports", "network_def", "preprocessing", "inferer"]


def test_what_is_not_given_cannot_be_parsed():
    from monai.bundle import ConfigParser

    # A reference that no scan could see would find nothing.
    parser = ConfigParser(parts_for({"a": 1, "secret": "$1/0"}, ["a"]))
    parser.parse()
    assert parser.get_parsed_content("a") == 1
    with pytest.raises(KeyError):
        parser.get_parsed_content("secret")


def test_data_hold_no_expressions():
    assert scan_data({"a": ["x", {"b": "100 %"}]}, FILE) == []
    assert [finding.id for finding in scan_data({"a": ["$x", {"_target_": "b"}]}, FILE)] == ["a::0", "a::1"]
