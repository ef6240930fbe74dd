"""The real data sets, where they are at hand: in CONCORD_DATA, else in ``shared/data`` beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("CONCORD_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()


def needs_data(name: str) -> pytest.MarkDecorator:
    """Mark a test that is skipped where data set ``name`` is not at hand."""
    return pytest.mark.skipif(not (FOLDER / name).is_dir(), reason=f"the {name} data set is not at hand (CONCORD_DATA)")
