"""The numbers with which archives answer a store."""

from __future__ import annotations

import pytest

from pipelines.pacs.storage_status import is_passing, is_stored, status_meaning


@pytest.mark.parametrize(
    ("status", "stored", "passing", "meaning"),
    [
        (0x0000, True, False, "stored (0x0000)"),
        (0xB000, True, False, "an unknown reason (0xB000)"),
        (0xB007, True, False, "an unknown reason (0xB007)"),
        (0x0107, True, False, "an unknown reason (0x0107)"),
        (0xA700, False, True, "out of resources (0xA700)"),
        (0xA7FF, False, True, "out of resources (0xA7FF)"),
        (0xA801, False, False, "move destination unknown (0xA801)"),
        (0xA900, False, False, "data set does not match the SOP class (0xA900)"),
        (0xC123, False, False, "cannot understand or process it (0xC123)"),
        (0x0122, False, False, "SOP class not supported (0x0122)"),
        (0x0124, False, False, "not authorised (0x0124)"),
        (0x4242, False, False, "an unknown reason (0x4242)"),
    ],
)
def test_each_kind(status, stored, passing, meaning):
    assert (is_stored(status), is_passing(status), status_meaning(status)) == (stored, passing, meaning)
