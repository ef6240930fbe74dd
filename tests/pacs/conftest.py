"""The archive that the tests of mark ``pacs`` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pacs.orthanc import Orthanc, start_or_skip
from tests.pipelines.conftest import SmokeRun, train_smoke_run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """The short training that the tests of the commands share."""
    return train_smoke_run(tmp_path_factory.getbasetemp() / "smoke_run")


@pytest.fixture(scope="session")
def orthanc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One server for the whole session; tests take ``orthanc``."""
    server = start_or_skip(tmp_path_factory.mktemp("orthanc"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def orthanc(orthanc_server: Orthanc) -> Iterator[Orthanc]:
    """Give the server, running and empty; a test may stop, pause and start it as it likes."""
    orthanc_server.start()
    orthanc_server.clear()
    try:
        yield orthanc_server
    finally:
        orthanc_server.resume()
