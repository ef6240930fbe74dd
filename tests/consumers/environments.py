"""Python environments of consumers: made with pip in a folder of their own, with nothing of this project in them.

``CONCORD_CONSUMER_VENVS`` names a folder where they are kept for the next time; without it they last as long as
pytest's temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S, RUN_TIMEOUT_S = 1800, 600


@dataclass(frozen=True)
class Environment:
    """Attributes: ``folder``, the virtual environment."""

    folder: Path

    def run(self, arguments: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its Python, isolated from whatever the caller's environment puts on the path."""
        return subprocess.run(
            [self.folder / "bin" / "python", "-I", *map(str, arguments)],
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(cwd), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )


def make_environment(name: str, steps: Sequence[Sequence[str]], temporary: Path) -> Environment:
    """Make an environment, or take the one that an earlier test has kept.

    A test that asks for one is skipped where pip finds no registry.

    Args:
        name: of its folder.
        steps: what to install, one ``pip install`` after the other.
        temporary: where it goes without ``CONCORD_CONSUMER_VENVS``.
    """
    folder = Path(os.environ.get("CONCORD_CONSUMER_VENVS") or temporary).resolve() / name
    record = folder / "installed.txt"
    wanted = "\n".join(" ".join(step) for step in steps)
    if not (record.is_file() and record.read_text() == wanted):
        _check(name, [sys.executable, "-m", "venv", "--clear", folder])
        for step in steps:
            _check(name, [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *step])
        record.write_text(wanted)
    return Environment(folder)


def _check(name: str, command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]
        pytest.skip(f"the environment {name} cannot be made here: {(said or ['pip failed'])[-1]}")
