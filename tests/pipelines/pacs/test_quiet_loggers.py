"""Packages that log queries are silent, whatever level the root logger has."""

from __future__ import annotations

import logging

import pytest

from pipelines.pacs.quiet_loggers import TALKATIVE, quiet_loggers


@pytest.fixture
def restored():
    names = [*TALKATIVE, "urllib3.connectionpool", "pynetdicom.events"]
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_nothing_comes_through(caplog, restored):
    logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        quiet_loggers()
        for name in ("urllib3.connectionpool", "pynetdicom.events", "pynetdicom.made.later", *TALKATIVE):
            logging.getLogger(name).critical("CANARY")
        logging.getLogger("ours").debug("heard")
    assert [record.message for record in caplog.records] == ["heard"]
