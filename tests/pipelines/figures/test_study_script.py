"""The page's policy names the one script that it holds."""

from __future__ import annotations

import base64
import hashlib
import re

from pipelines.figures.study_script import STUDY_SCRIPT, study_policy
from pipelines.figures.surface_script import SURFACE_SCRIPT


def test_the_policy_allows_this_script_and_nothing_from_elsewhere() -> None:
    found = re.search(r"script-src 'sha256-([^']+)'", study_policy())
    assert found is not None
    assert base64.b64decode(found[1]) == hashlib.sha256(STUDY_SCRIPT.encode()).digest()
    assert study_policy().startswith("default-src 'none'; img-src data:;")


def test_the_script_is_whole_and_local() -> None:
    assert SURFACE_SCRIPT in STUDY_SCRIPT
    assert "</" not in STUDY_SCRIPT
    for one, other in ("{}", "()", "[]"):
        assert STUDY_SCRIPT.count(one) == STUDY_SCRIPT.count(other)
    assert not re.search(r"fetch|XMLHttp|import\(|eval|innerHTML|document\.write", STUDY_SCRIPT)
    assert set(re.findall(r"https?:[^\"]*", STUDY_SCRIPT)) == {"http://www.w3.org/2000/svg"}
