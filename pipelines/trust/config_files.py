"""Reading a stranger's JSON or YAML: capped in size, depth and number of parts, and without a key said twice."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pipelines.trust.finding import shown
from transforms.io.input_error import InputError

LARGEST_BYTES, DEEPEST, MOST_PARTS = 8 * 2**20, 40, 100_000


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without tags that make objects, in which each key is there once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen:
                raise ValueError(f"has the key {shown(str(key_node.value))} twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_config(file: Path) -> dict[str, Any]:
    """Read a configuration as plain data.

    Args:
        file: ends in ``.json``, ``.yaml`` or ``.yml``.

    Raises:
        InputError: when it is missing, too large or too deep, has a key twice, or is no mapping.
    """
    try:
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(file, f"has {size} bytes; more than {LARGEST_BYTES} are not read")
        text = file.read_text(encoding="utf-8")
    except OSError as fault:
        raise InputError(file, f"cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise InputError(file, "is no text in UTF-8") from fault
    kind = "JSON" if file.suffix == ".json" else "YAML"
    try:
        content = json.loads(text, object_pairs_hook=_unique) if kind == "JSON" else yaml.load(text, _UniqueKeyLoader)
    except yaml.YAMLError as fault:
        raise InputError(file, "is no YAML") from fault
    except RecursionError as fault:
        raise InputError(file, "is nested too deeply") from fault
    except ValueError as fault:
        own = "twice" in str(fault)
        raise InputError(file, str(fault) if own else f"is not valid {kind}") from fault
    if not isinstance(content, dict):
        raise InputError(file, "is no configuration")
    _check_extent(file, content)
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"has the key {shown(key)} twice")
        found[key] = value
    return found


def _check_extent(file: Path, content: Any) -> None:
    """Count the parts level by level, those that YAML's aliases repeat as often as they are repeated.

    Raises:
        InputError: when there are too many, they lie too deep, or one is nothing that JSON knows (dates excepted).
    """
    level, parts = [content], 0
    for _ in range(DEEPEST):
        parts += len(level)
        below: list[Any] = []
        for node in level:
            if isinstance(node, bytes | set):
                raise InputError(file, f"holds a value of type {type(node).__name__}")
            below += list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else ()
            if parts + len(below) > MOST_PARTS:
                raise InputError(file, f"has more than {MOST_PARTS} parts")
        if not below:
            return
        level = below
    raise InputError(file, f"is nested more than {DEEPEST} levels deep")
