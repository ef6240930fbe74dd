"""What is installed is what lies in the folders: nothing forgotten, nothing of the tests, one version everywhere."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bundles", "networks", "pipelines", "transforms")
NOT_SOURCE = ("__pycache__", "models", ".*")


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> set[str]:
    """Give the distribution names in a list of requirements, in their normal form."""
    lines = (re.sub(r"\s*#.*", "", line).strip() for line in text.splitlines())
    return {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in lines if line}


def relative_parts(file: Path) -> list[Path]:
    return [Path(part) for part in file.relative_to(ROOT).parts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Build the wheel from a copy, so that nothing is written into the working tree."""
    copy = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_wheel_holds_what_the_folders_hold(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    shipped = (file for package in PACKAGES for file in (ROOT / package).rglob("*"))
    expected = {
        str(file.relative_to(ROOT))
        for file in shipped
        if file.is_file() and not any(part.match(pattern) for part in relative_parts(file) for pattern in NOT_SOURCE)
    }
    assert sorted(packed - expected) == []
    assert sorted(expected - packed) == []


def test_the_wheel_says_what_it_is(wheel):
    names = wheel.namelist()
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert "\nName: concord-seg\n" in text
    assert "\nLicense-Expression: Apache-2.0\n" in text
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    (entries,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "concord = pipelines.concord:main" in wheel.read(entries).decode()


def test_every_bundle_is_complete():
    bundles = [folder for folder in (ROOT / "bundles").iterdir() if (folder / "configs").is_dir()]
    assert bundles
    needed = ("LICENSE", "docs/README.md", "configs/common.yaml", "configs/train.yaml", "configs/metadata.json")
    missing = [f"{folder.name}/{name}" for folder in bundles for name in needed if not (folder / name).is_file()]
    assert not missing


def test_one_version_everywhere():
    version = settings()["metadata"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changes, flags=re.MULTILINE)
    assert versions
    assert versions[0] == version


def test_every_dependency_is_pinned():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in pins.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    parser = settings()
    needed = requirements(parser["options"]["install_requires"])
    for extra in parser["options.extras_require"].values():
        needed |= requirements(extra)
    assert needed
    assert sorted(needed - requirements(pins)) == []


def test_every_import_is_a_declared_dependency():
    from tests.test_layering import OURS, imported_names, parse, sources

    provided = {
        "ignite": "pytorch-ignite",
        "PIL": "pillow",
        "yaml": "pyyaml",
        "cc3d": "connected-components-3d",
        "skimage": "scikit-image",
    }
    declared = requirements(settings()["options"]["install_requires"])
    # What an option needs that few ask for; without it, that option says what to install.
    declared |= requirements(settings()["options.extras_require"]["onnx"])
    wanted = {
        name.split(".")[0] for package in PACKAGES for file in sources(package) for name in imported_names(parse(file))
    }
    foreign = wanted - set(OURS) - set(sys.stdlib_module_names)
    undeclared = {name for name in foreign if provided.get(name, name).lower().replace("_", "-") not in declared}
    assert sorted(undeclared) == []


def test_the_licence_is_whole():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_git_ignores_no_source():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout: nothing can be ignored")
    files = [file for folder in (*PACKAGES, "tests") for file in (ROOT / folder).rglob("*.py")]
    asked = "\n".join(str(file.relative_to(ROOT)) for file in files)
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.splitlines() == []
