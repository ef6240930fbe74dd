"""Reading a stranger's configuration: what it gives, and what it refuses."""

from __future__ import annotations

import json

import pytest

from pipelines.trust.config_files import LARGEST_BYTES, read_config
from transforms.io.input_error import InputError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"a": [1, 2.5, null], "b": {"c": "é"}}'),
        ("a.yaml", "a: [1, 2.5, null]\nb: {c: é}"),
        ("a.yml", "x: &x {c: é}\na: [1, 2.5, null]\nb: *x"),
    ],
)
def test_what_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    read = read_config(tmp_path / name)
    assert (read["a"], read["b"]) == ([1, 2.5, None], {"c": "é"})


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
REFUSED = {
    "no JSON": ("a.json", "{", "is not valid JSON"),
    "no YAML": ("a.yaml", "a: [1", "is no YAML"),
    "a list": ("a.json", "[1]", "is no configuration"),
    "nothing": ("a.yaml", "", "is no configuration"),
    "a key twice": ("a.json", '{"a": {"b": 1, "b": 2}}', "has the key 'b' twice"),
    "a key twice in YAML": ("a.yaml", "a: {b: 1, b: 2}", "has the key 'b' twice"),
    "an object": ("a.yaml", "a: !!python/object/apply:os.system [ls]", "is no YAML"),
    "a name": ("a.yaml", "a: !!python/name:os.system", "is no YAML"),
    "binary": ("a.yaml", "a: !!binary aGk=", "type bytes"),
    "a set": ("a.yaml", "a: !!set {x}", "type set"),
    "a list as key": ("a.yaml", "? [1]\n: 2", "is no YAML"),
    "deep": ("a.json", '{"a": ' + "[" * 60 + "]" * 60 + "}", "nested more than"),
    "very deep": ("a.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    "deep YAML": ("a.yaml", "a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "within itself": ("a.yaml", "a: &a [*a]", "nested more than"),
    "many within itself": ("a.yaml", "a: &a [*a, *a, *a]", "parts"),
    "a bomb of aliases": ("a.yaml", BOMB, "parts"),
    "many parts": ("a.json", json.dumps({"a": [0] * 200_000}), "parts"),
    "large": ("a.json", " " * (LARGEST_BYTES + 1), "bytes"),
    "long number": ("a.json", '{"a": ' + "9" * 10_000 + "}", "is not valid JSON"),
}


@pytest.mark.parametrize(("name", "text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=reason):
        read_config(tmp_path / name)


def test_no_text_and_no_file(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_config(tmp_path / "a.json")
    for name in ("b.json", "."):
        with pytest.raises(InputError, match="cannot be read"):
            read_config(tmp_path / name)
