"""The page's policy names the one script that it holds, and its style fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import re

from pipelines.figures.report_style import SCRIPT, STYLE, content_policy


def test_policy_allows_the_script_and_nothing_from_elsewhere() -> None:
    found = re.search(r"script-src 'sha256-([^']+)'", content_policy())
    assert found is not None
    assert base64.b64decode(found[1]) == hashlib.sha256(SCRIPT.encode()).digest()
    assert content_policy().startswith("default-src 'none'; img-src data:;")


def test_style_is_balanced_and_local() -> None:
    assert STYLE.count("{") == STYLE.count("}")
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert {"prefers-color-scheme: dark", "@media print"} <= set(re.findall(r"prefers[^)]*dark|@media print", STYLE))
