"""A run folder whose network was trained with dropout."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml


def with_dropout(source: Path, folder: Path, p: float = 0.5) -> Path:
    """Copy the smoke run, which has none: dropout has no weights."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("bundle", "tensorboard"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["network_def"]["dropout"] = p
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder
