"""Imports point down only: bundles hold no code, pipelines > transforms > networks, and nothing imports the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What each folder may import of ours; a dotted name allows that part alone.
ALLOWED = {
    "networks": ("networks",),
    "transforms": ("transforms", "networks.layers"),
    "pipelines": ("pipelines", "transforms", "networks", "bundles"),
    "benchmarks": ("benchmarks", "pipelines", "transforms", "networks"),
}
OURS = ("networks", "transforms", "pipelines", "bundles", "tests", "benchmarks")
# Modules that refuse bad input before anything heavy is imported.
HEAVY = (
    *("torch", "monai", "ignite", "matplotlib", "scipy", "SimpleITK", "nibabel", "tensorboard", "edt", "onnx"),
    *("onnxruntime", "pydicom", "highdicom", "pynetdicom", "dicomweb_client", "requests"),
)
LIGHT = (
    "pipelines/*.py",
    "pipelines/data/dataset.py",
    "pipelines/data/integrity*.py",
    "pipelines/data/splits.py",
    "transforms/io/atomic.py",
    "transforms/io/geometry.py",
    "transforms/io/input_error.py",
    "transforms/io/nifti_file.py",
    "transforms/io/verified_bytes.py",
    "transforms/io/volume.py",
)


def imported_names(tree: ast.AST) -> set[str]:
    """Give the dotted names that a piece of code imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def names_at_import(tree: ast.Module) -> set[str]:
    """Give what is imported when the module is: not inside functions, not for type checkers alone."""
    names = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= imported_names(ast.Module([node], []))
        waiting += ast.iter_child_nodes(node)
    return names


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_down(folder):
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sources(folder)
        for name in imported_names(parse(file))
        if within(name, OURS) and not within(name, ALLOWED[folder])
    ]
    assert sources(folder)
    assert not wrong


def test_no_import_is_relative():
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in OURS
        for file in sources(folder)
        for name in imported_names(parse(file))
        if name.startswith(".")
    ]
    assert not wrong


def test_bundles_hold_no_code():
    assert sources("bundles") == [ROOT / "bundles" / "__init__.py"]
    statements = parse(ROOT / "bundles" / "__init__.py").body
    assert [type(statement) for statement in statements] == [ast.Expr], "its docstring and nothing else"


def test_figures_alone_import_matplotlib():
    importers = {
        file.relative_to(ROOT).parent
        for folder in ("networks", "transforms", "pipelines")
        for file in sources(folder)
        if any(within(name, ("matplotlib",)) for name in imported_names(parse(file)))
    }
    assert importers <= {Path("pipelines/figures")}


def test_what_refuses_bad_input_imports_nothing_heavy_first():
    files = [file for pattern in LIGHT for file in sorted(ROOT.glob(pattern))]
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in sorted(names_at_import(parse(file)))
        if within(name, HEAVY)
    ]
    assert len(files) >= len(LIGHT)
    assert not wrong


@pytest.mark.parametrize(
    ("code", "everywhere", "at_import"),
    [
        ("import torch.nn", {"torch.nn"}, {"torch.nn"}),
        ("from networks import layers", {"networks.layers"}, {"networks.layers"}),
        ("def f():\n    import torch", {"torch"}, set()),
        ("class A:\n    import torch\n    def f(self):\n        import monai", {"torch", "monai"}, {"torch"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import re", {"torch", "re"}, {"re"}),
        ("try:\n    from . import x\nexcept ImportError:\n    import y", {"..x", "y"}, {"..x", "y"}),
    ],
)
def test_imports_are_found(code, everywhere, at_import):
    assert imported_names(ast.parse(code)) == everywhere
    assert names_at_import(ast.parse(code)) == at_import
