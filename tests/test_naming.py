"""The house rules that a program can check: names, argument order, a test for each module, sizes."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import monai.transforms
import pytest

from tests.test_layering import ROOT, parse, sources

PACKAGES = ("networks", "transforms", "pipelines")
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base"}
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 80


def modules() -> list[Path]:
    return [file for package in PACKAGES for file in sources(package) if file.name != "__init__.py"]


def place_of_test(module: Path) -> Path:
    """Give the place of a module's test."""
    relative = module.relative_to(ROOT)
    return ROOT / "tests" / relative.parent / f"test_{relative.name}"


def classes_of(file: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in parse(file).body if isinstance(node, ast.ClassDef)}


def bases_of(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).split(".")[-1] for base in node.bases}


def dictionary_transforms() -> list[tuple[Path, ast.ClassDef]]:
    return [
        (file, node)
        for file in sources("transforms")
        for node in classes_of(file).values()
        if "MapTransform" in bases_of(node) and not node.name.startswith("_")
    ]


def test_every_module_has_a_test_of_the_same_name():
    missing = [str(place_of_test(file).relative_to(ROOT)) for file in modules() if not place_of_test(file).is_file()]
    assert not missing, "without a test:\n" + "\n".join(missing)


def test_every_test_has_a_module_of_the_same_name():
    tested = {place_of_test(file) for file in modules()}
    mirrored = {file for package in PACKAGES for file in (ROOT / "tests" / package).rglob("test_*.py")}
    # What MONAI's own transforms must keep doing for us has no module of ours.
    assert mirrored - tested <= {ROOT / "tests/transforms/test_monai_geometry.py"}


def test_every_folder_of_tests_and_sources_is_a_package():
    folders = {file.parent for folder in (*PACKAGES, "tests") for file in sources(folder)}
    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_file_has_a_name_that_says_nothing():
    assert not [str(file.relative_to(ROOT)) for file in (*modules(), *sources("tests")) if file.stem in BANNED]


def test_dictionary_transforms_stand_beside_their_array_transforms():
    assert dictionary_transforms()
    for file, node in dictionary_transforms():
        assert node.name.endswith("d"), node.name
        assert node.name[:-1] in classes_of(file), f"{node.name} without {node.name[:-1]} in {file.name}"


def test_dictionary_transforms_take_keys_first_and_missing_keys_last():
    for _, node in dictionary_transforms():
        makers = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        for maker in makers:
            names = [argument.arg for argument in (*maker.args.args, *maker.args.kwonlyargs)]
            assert names[1] == "keys", node.name
            assert names[-1] == "allow_missing_keys", node.name
            last = (maker.args.kw_defaults or maker.args.defaults)[-1]
            assert isinstance(last, ast.Constant), node.name
            assert last.value is False, node.name


def test_losses_and_trainers_say_what_they_are():
    for file in sources("networks/losses"):
        records = {name for name, node in classes_of(file).items() if "NamedTuple" in bases_of(node)}
        public = [name for name in classes_of(file) if not name.startswith("_") and name not in records]
        assert all(name.endswith(("Loss", "Sum")) for name in public), f"{file.name}: {public}"
    for file in sources("pipelines/engines"):
        trainers = [name for name, node in classes_of(file).items() if "Trainer" in bases_of(node)]
        assert all(name.endswith("Trainer") for name in trainers), f"{file.name}: {trainers}"


@pytest.mark.parametrize("package", ["transforms", "networks.nets", "networks.losses", "pipelines.engines"])
def test_public_names_are_sorted_and_all_exist(package):
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name


def test_public_transforms_are_all_exported():
    exported = set(importlib.import_module("transforms").__all__)
    written = {name for _, node in dictionary_transforms() for name in (node.name, node.name[:-1])}
    # One that is MONAI's own but for a detail has no array version.
    known = {name for name in vars(monai.transforms) if name.endswith("d")}
    extended = {
        name for file in sources("transforms") for name, node in classes_of(file).items() if known & set(bases_of(node))
    }
    assert exported - extended == written - extended


def test_no_file_is_longer_than_its_ceiling():
    lines = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for folder in (*PACKAGES, "tests", "benchmarks")
        for file in sources(folder)
    }
    assert not {file: count for file, count in lines.items() if count > LINES_OF_A_FILE}


def test_no_function_is_longer_than_its_ceiling():
    long = {}
    for folder in (*PACKAGES, "tests", "benchmarks"):
        for file in sources(folder):
            for node in ast.walk(parse(file)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    count = (node.end_lineno or node.lineno) - node.lineno + 1
                    if count > LINES_OF_A_FUNCTION:
                        long[f"{file.relative_to(ROOT)}:{node.name}"] = count
    assert not long


def test_sources_raise_and_never_assert():
    asserting = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in modules()
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Assert)
    ]
    assert not asserting
