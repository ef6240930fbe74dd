"""The surfaces' part of the script draws with what the page gives it, and fetches nothing."""

from __future__ import annotations

import re

from pipelines.figures.study_page import _surfaces
from pipelines.figures.surface_script import SURFACE_SCRIPT


def test_every_element_that_it_asks_for_is_on_the_page() -> None:
    wanted = set(re.findall(r'getElementById\("([^"]+)"\)', SURFACE_SCRIPT))
    page = _surfaces({"losses": [{"surfaces": {"random": {}}}]})
    assert wanted
    assert wanted <= set(re.findall(r'id="([^"]+)"', page))
    assert _surfaces({"losses": [{"surfaces": {}}]}) == ""


def test_it_is_balanced_and_local() -> None:
    for one, other in ("{}", "()", "[]"):
        assert SURFACE_SCRIPT.count(one) == SURFACE_SCRIPT.count(other)
    assert not re.search(r"fetch|XMLHttp|import\(|eval|innerHTML|https?:", SURFACE_SCRIPT)
