"""Findings as one-line refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.trust.finding import LONGEST_SHOWN, Finding, shown


@pytest.mark.parametrize(("identity", "told"), [("a::0", "x.json: a::0: is bad"), ("", "x.json: is bad")])
def test_a_finding_is_told_in_one_line(identity, told):
    assert str(Finding(Path("x.json"), identity, "is bad").refusal()) == told


@pytest.mark.parametrize("text", ["plain", "two\nlines", "\x1b[31mred", "ünï", "x" * 1000, "'\"\\" * 100])
def test_what_is_shown_plays_no_tricks(text):
    line = shown(text)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= LONGEST_SHOWN
