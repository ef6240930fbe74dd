"""Looking through one configuration: every key, string, reference and component in it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.trust import allowed_names
from pipelines.trust.components import judge_component
from pipelines.trust.expressions import Refused, imported, judge
from pipelines.trust.finding import Finding, shown

_MACRO = re.compile(r"%\w+(::\w+)*")
_NAMED = re.compile(r"[@%](\w+)")


def scan_config(config: Mapping[str, Any], file: Path, *, for_inference: bool) -> list[Finding]:
    """Look through a configuration that is to be parsed.

    Args:
        config: of plain data, as :func:`pipelines.trust.config_files.read_config` gives it.
        file: where it is from, for the findings.
        for_inference: whether it is what inference makes; else the whole file of a bundle, with what runs it.

    Returns:
        A finding for each part that is not allowed, in the order of the file.
    """
    return _Scan(config, file, for_inference=for_inference).findings()


def scan_data(config: Mapping[str, Any], file: Path) -> list[Finding]:
    """Look through a file that is to hold no expressions and no components at all, as ``metadata.json``."""
    found = []
    for identity, node in _nodes(config):
        if isinstance(node, dict) and "_target_" in node:
            found.append(Finding(file, identity, "is a component, where there must be plain data"))
        elif isinstance(node, str) and (node.startswith("$") or re.match(r"%.*\.(json|ya?ml)", node, re.I | re.S)):
            found.append(Finding(file, identity, f"is an expression, where there must be plain data: {shown(node)}"))
    return found


def parts_for(config: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Give the top entries of ``config`` that ``names`` need, directly or through others, and its imports.

    What is not given cannot be parsed, and so can do nothing.
    """
    waiting, needed = [*names, "imports"], set()
    while waiting:
        name = waiting.pop()
        if name in needed or name not in config:
            continue
        needed.add(name)
        waiting += _NAMED.findall(json.dumps(config[name], default=str, ensure_ascii=False))
    return {name: value for name, value in config.items() if name in needed}


def _nodes(node: Any, identity: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every node with its id, from the top down."""
    yield identity, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from _nodes(value, f"{identity}::{key}" if identity else str(key))


class _Scan:
    def __init__(self, config: Mapping[str, Any], file: Path, *, for_inference: bool) -> None:
        self.config, self.file, self.for_inference = config, file, for_inference
        self.attributes = allowed_names.ATTRIBUTES if for_inference else allowed_names.WORKFLOW_ATTRIBUTES
        self.names: dict[str, str] = dict(allowed_names.GLOBALS)
        self.imports: dict[str, str] = {}

    def findings(self) -> list[Finding]:
        # What the names mean must be known before the expressions that use them are judged.
        found = [
            Finding(self.file, _printable(identity), reason)
            for identity, node in _nodes(self.config)
            if isinstance(node, str) and node.startswith("$") and (reason := self._import(identity, node))
        ]
        for identity, node in _nodes(self.config):
            reason = None if identity in self.imports else self._judge(node)
            if reason:
                found.append(Finding(self.file, _printable(identity), reason))
        return found

    def _import(self, identity: str, text: str) -> str | None:
        """Take note of an import; give what is wrong with it."""
        try:
            bound = imported(text)
        except Refused as refused:
            # What cannot be parsed at all is told where expressions are judged.
            return str(refused) if "import" in str(refused) or "name of something else" in str(refused) else None
        if bound is None:
            return None
        self.imports[identity] = text
        name, path = bound
        if self.names.setdefault(name, path) != path:
            return f"gives the name {shown(name)} to {shown(path)}, which is {shown(self.names[name])} elsewhere"
        return None

    def _judge(self, node: Any) -> str | None:
        if isinstance(node, dict):
            for key in node:
                text = str(key)
                if not isinstance(key, str | int) or not text.isprintable() or re.search(r"::|#|^[$@%+]", text):
                    return f"has the key {shown(text)}, which MONAI could take for an id or an expression"
            if "_target_" in node:
                return judge_component(node, self._look_up, for_inference=self.for_inference)
        return self._judge_text(node) if isinstance(node, str) else None

    def _judge_text(self, text: str) -> str | None:
        plain = text.replace("#", "::")
        if text.startswith("$"):
            return judge(text, self.names, self.attributes, self._look_up) or self._names_module(text)
        if re.search(r"[@%]::", plain):
            return "refers to an id by its relative place"
        if plain.startswith("%") and not _MACRO.fullmatch(plain):
            return f"reads another file: {shown(text)}"
        return self._names_module(plain) if plain[:1] in ("@", "%") else None

    def _names_module(self, text: str) -> str | None:
        """Refuse references to imported modules themselves, which are no values."""
        for reference in re.findall(r"[@%]\w+(?:::\w+)*", text.replace("#", "::")):
            identity = reference[1:]
            if any(one == identity or one.startswith(f"{identity}::") for one in self.imports):
                return f"refers to an import, {shown(reference)}"
        return None

    def _look_up(self, identity: str) -> Any:
        node: Any = self.config
        for name in identity.replace("#", "::").split("::"):
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                return None
        return node


def _printable(identity: str) -> str:
    return identity if identity.isascii() and identity.isprintable() and len(identity) < 200 else shown(identity)
