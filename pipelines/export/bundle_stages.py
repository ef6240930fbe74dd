"""The configuration files of a bundle as plain data: which are read on top of which, merged as MONAI does it.

Nothing here evaluates an expression or makes an object, so it is safe on a bundle that nobody trusts.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.trust.config_files import read_config
from pipelines.trust.finding import Finding
from transforms.io.input_error import InputError

SUFFIXES = (".json", ".yaml", ".yml")
SEPARATOR = "::"
SHARED = "common"
# What each stage may be read on top of: the first way that has all its parts is the one that is meant.
WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (("train",),),
    "inference": (("inference",),),
    "evaluate": (("evaluate",), ("inference", "evaluate"), ("train", "evaluate")),
    "multi_gpu_train": (("multi_gpu_train",), ("train", "multi_gpu_train")),
    "multi_gpu_evaluate": (("evaluate", "multi_gpu_evaluate"), ("train", "evaluate", "multi_gpu_evaluate")),
    "inference_trt": (("inference", "inference_trt"),),
}
TRAINING = ("train", "multi_gpu_train")
_REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")


def read_stages(folder: Path) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Read every configuration of a bundle but ``metadata.json``.

    Args:
        folder: the bundle's folder.

    Returns:
        The content by the file's name without suffix, and what could not be read.
    """
    stages: dict[str, dict[str, Any]] = {}
    findings = []
    for file in sorted((folder / "configs").glob("*")):
        if file.suffix not in SUFFIXES or file.name == "metadata.json":
            continue
        if file.stem in stages:
            findings.append(Finding(file, "", "is there in a second format; MONAI's commands name one of them"))
            continue
        try:
            stages[file.stem] = read_config(file)
        except InputError as fault:
            findings.append(Finding(file, "", fault.reason))
    return stages, findings


def ways_of(stage: str, stages: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Give the ways in which a stage's file can be run: names of files, later ones winning.

    A file that is none of MONAI's is an overlay on the training where there is a ``common`` file, and stands alone, to
    be run by nobody knows what, elsewhere.
    """
    shared = (SHARED,) if SHARED in stages else ()
    if stage == SHARED or (stage not in WAYS and not shared):
        return []
    ways = WAYS.get(stage, (("train", stage),))
    if shared and stage == "evaluate":
        ways = ways[1:]
    return [(*shared, *way) for way in ways if all(name in stages for name in way)]


def merge(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge configurations as MONAI does: later ones win, ``a::b`` sets a part, ``+a`` adds to what is there."""
    merged: dict[str, Any] = {}
    for config in configs:
        for key, value in config.items():
            *parents, last = str(key).removeprefix("+").replace("#", SEPARATOR).split(SEPARATOR)
            node: Any = merged
            for name in parents:
                node = _below(node, name)
            _put(node, last, copy.deepcopy(value), add=str(key).startswith("+"))
    return merged


def _below(node: Any, name: str) -> Any:
    if isinstance(node, list) and name.isdigit() and int(name) < len(node):
        return node[int(name)]
    if isinstance(node, dict):
        if not isinstance(node.get(name), dict | list):
            node[name] = {}
        return node[name]
    return {}


def _put(node: Any, name: str, value: Any, *, add: bool) -> None:
    if isinstance(node, list):
        if name.isdigit() and int(name) < len(node):
            node[int(name)] = value
        return
    there = node.get(name)
    if add and isinstance(there, dict) and isinstance(value, dict):
        there.update(value)
    elif add and isinstance(there, list) and isinstance(value, list):
        there.extend(value)
    else:
        node[name] = value


def find_part(config: Any, identity: str) -> tuple[bool, Any]:
    """Look up an id such as ``train::dataset::data``.

    Returns:
        Whether it is there, and its content. Below a macro (``%file::id``), which is not followed, all is there.
    """
    node = config
    for name in identity.split(SEPARATOR):
        if isinstance(node, str) and node.startswith("%"):
            return True, None
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return False, None
    return True, node


def walk(node: Any, identity: str = "") -> Iterator[tuple[str, Any]]:
    """Give every part of a configuration with its id, from the top down."""
    yield identity, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield from walk(value, f"{identity}{SEPARATOR}{name}" if identity else str(name))


def references_of(text: Any, identity: str) -> list[str]:
    """Give the ids that a value refers to by ``@``, absolute ones for relative ones.

    Args:
        text: the value; only an expression (``$``) or a reference (``@``) refers to something.
        identity: its own id.
    """
    if not isinstance(text, str) or not text.startswith(("$", "@")):
        return []
    found = []
    for match in _REFERENCE.findall(text.replace("#", SEPARATOR)):
        name = match[1:]
        levels = 0
        while name.startswith(SEPARATOR):
            name, levels = name[len(SEPARATOR) :], levels + 1
        if levels:
            name = SEPARATOR.join([*identity.split(SEPARATOR)[:-levels], name])
        if name:
            found.append(name)
    return found
