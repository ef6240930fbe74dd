"""What a bundle's configurations name: packages that the user may not have, and places on somebody's disk."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipelines.export.bundle_stages import walk

OURS = ("networks", "transforms", "pipelines")
COMPONENTS = ("monai", "torch", "ignite")
IN_EXPRESSIONS = (*COMPONENTS, "numpy", "os", "glob", "json", "math", "pathlib", "re", "itertools", "logging", "sys")
# What MONAI gives every expression.
GIVEN = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
# What MONAI's own components need beyond its minimum, by their names without the d of dictionary transforms.
NEEDS = {
    **dict.fromkeys(("LoadImage", "SaveImage"), "nibabel"),
    **dict.fromkeys(("KeepLargestConnectedComponent", "RemoveSmallObjects"), "scikit-image"),
    **dict.fromkeys(
        ("FillHoles", "DistanceTransformEDT", "HausdorffDistance", "SurfaceDistance", "SurfaceDice"), "scipy"
    ),
    **dict.fromkeys(("SupervisedEvaluator", "SupervisedTrainer", "EnsembleEvaluator"), "pytorch-ignite"),
    **dict.fromkeys(("TensorBoardStatsHandler", "TensorBoardImageHandler"), "tensorboard"),
}
NEUTRAL = ("/workspace", "/dev/null")
_REFERENCE = re.compile(r"[@%](?:\w|::|#)*")
_PERSONAL = re.compile(r"(?<![\w.])(?:/(?:home|Users|root|mnt|media|scratch)/[^\s'\"/]+|[A-Za-z]:\\Users\\[^\s'\"\\]+)")
_ABSOLUTE = re.compile(r"/[\w.~-]+/|[A-Za-z]:\\|~/")


def name_faults(
    config: Mapping[str, Any], allowed: Collection[str], imports: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Find components and expressions that name a package other than the allowed ones.

    Args:
        config: one configuration file, or several merged.
        allowed: packages that components may come from beside those of ``COMPONENTS``, and expressions use too.
        imports: what :func:`imported_names` found in all that is read together with it.

    Returns:
        Pairs of an id and what is wrong there.
    """
    faults = []
    for identity, value in walk(config):
        if not isinstance(value, str):
            continue
        if value.startswith("$"):
            faults += [(identity, reason) for reason in _expression_faults(value[1:], allowed, imports)]
            continue
        root, dot, _ = value.partition(".")
        is_target = identity.rpartition("::")[2] == "_target_" and not value.startswith(("@", "%"))
        known = (*COMPONENTS, *allowed)
        if dot and ((is_target and root not in known) or (root in OURS and root not in allowed and _is_dotted(value))):
            faults.append((identity, f"names {value}, which is neither in monai nor in torch"))
    return faults


def imported_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Give the names that a configuration's expressions import, with the packages they are from."""
    found = dict(GIVEN)
    for _, value in walk(config):
        if isinstance(value, str) and value.startswith("$"):
            for node in _statements(value[1:]):
                module = getattr(node, "module", None)
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (module or alias.name).partition(".")[0]
    return found


def package_faults(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find packages that the configuration's components need and ``required_packages_version`` does not tell.

    Returns:
        Pairs of the first id that needs a package, and what is missing.
    """
    packages = metadata.get("required_packages_version")
    told = {str(name).lower().replace("_", "-") for name in packages} if isinstance(packages, Mapping) else set()
    needed: dict[str, tuple[str, str]] = {}
    for identity, value in walk(config):
        if isinstance(value, dict) and isinstance(value.get("_target_"), str):
            name = value["_target_"].rpartition(".")[2]
            package = NEEDS.get(name.removesuffix("d"), NEEDS.get(name))
            if package is not None and package not in told:
                needed.setdefault(package, (identity, name))
    return [
        (identity, f"{name} needs {package}, which metadata.json's required_packages_version does not name")
        for package, (identity, name) in needed.items()
    ]


def path_faults(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find places on somebody's disk; ``/workspace`` is the neutral one that the model zoo uses."""
    faults = []
    for identity, value in walk(config):
        if not isinstance(value, str):
            continue
        personal = personal_path(value)
        if personal is not None:
            faults.append((identity, f"names {personal}, a place on somebody's disk"))
        elif _ABSOLUTE.match(value) and not value.startswith(NEUTRAL):
            faults.append((identity, f"is the absolute path {value}; paths start from @bundle_root or /workspace"))
    return faults


def personal_path(text: str) -> str | None:
    """Give the first path in a text that leads to a person's files; None when there is none."""
    match = _PERSONAL.search(text)
    return None if match is None else match.group()


def _expression_faults(code: str, allowed: Collection[str], imports: Mapping[str, str]) -> Iterator[str]:
    known = (*IN_EXPRESSIONS, *allowed)
    statements = _statements(code)
    for node in statements:
        for alias in node.names:
            module = getattr(node, "module", None) or alias.name
            if module.partition(".")[0] not in known:
                yield f"imports {module}, which a stock environment does not have"
    if statements:
        return
    try:
        tree = ast.parse(_REFERENCE.sub("None", code).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "is an expression that cannot be read"
        return
    for name in sorted(_free_names(tree)):
        if imports.get(name, name) not in known and not hasattr(builtins, name):
            yield f"uses {name}, which " + ("is not of a stock environment" if name in imports else "nothing imports")


def _free_names(tree: ast.AST) -> set[str]:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {node.id for node in names} - bound


def _statements(code: str) -> list[ast.Import | ast.ImportFrom]:
    """Give the import statements that a piece of code consists of; none when it is an expression."""
    if not code.lstrip().startswith(("import ", "from ")):
        return []
    try:
        return [node for node in ast.parse(code.strip()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
