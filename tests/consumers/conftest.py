"""The training of ``tests/pipelines/conftest.py`` for these tests too; it is done once for all."""

from __future__ import annotations

import pytest

from tests.pipelines.conftest import SmokeRun, train_smoke_run


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    return train_smoke_run(tmp_path_factory.getbasetemp() / "smoke_run")
