"""The report is one well-formed, self-contained file that shows what there is and takes no text for HTML."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.figures.overlays import case_png
from pipelines.figures.report import Picture, describe_case, pick_cases, write_report

VOID = {"meta", "img", "source", "br", "line", "rect", "circle"}
EVIL = "<script>alert('x')</script>"


class Reader(HTMLParser):
    """Checks that tags nest and keeps what the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def stats(mean: float | None) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.05, "median": mean, "ci95": [0.7, 0.9], "n": 3, "undefined": 0}


def summary(cases: int = 3) -> dict[str, Any]:
    rows = [
        {
            "case_id": EVIL if index == 0 else f"case_{index}",
            "classes": {"left & atrium": {"dice": 0.5 + 0.1 * index, "asd_mm": None, "state": "both_present"}},
            "seconds": 1.5,
        }
        for index in range(cases)
    ]
    return {
        "cases": rows,
        "aggregate": {name: {"dice": stats(0.8), "asd_mm": stats(None)} for name in ("left & atrium", "mean")},
        "definitions": {"dice": "2 |P and R| / (|P| + |R|) <of voxels>"},
        "settings": {"overlap": 0.5},
        "split": "test",
        "n_cases": cases,
    }


RUN = {
    "command": ["concord", "train_dtc", "--output", "my run"],
    "started": "2025-01-02T03:04:05+00:00",
    "wall_seconds": 3725,
    "device": "cpu",
    "seed": 0,
    "iterations": 2000,
    "peak_host_mib": 2048.0,
    "peak_gpu_mib": 512.0,
    "git_revision": "abc123",
    "versions": {"torch": "2.13"},
    "data": {"hash": "feed", "files": {f"images/{index}.nii.gz": "00" for index in range(20)}},
}


def read(path: Path) -> tuple[str, Reader]:
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return text, reader


@pytest.fixture
def whole(tmp_path: Path) -> tuple[str, Reader]:
    log = tmp_path / "metrics.csv"
    log.write_text("iteration,loss,val_dice\n1,1.0,\n2,0.5,0.7\n")
    label = np.zeros((20, 20), np.uint8)
    label[5:12, 5:12] = 1
    png = case_png(np.random.default_rng(0).normal(size=(20, 20)), reference=label)
    write_report(
        tmp_path / "report.html",
        title=f"A & B {EVIL}",
        run=RUN,
        summary=summary(),
        metrics_csv=log,
        config_text="lr: 0.01  # <fast> & https://example.org/page",
        pictures=[Picture(png, f"worst: {EVIL}", describe_case(summary(), EVIL))],
        notes=["No <validation> cases."],
    )
    return read(tmp_path / "report.html")


def test_page_is_well_formed_and_fetches_nothing(whole: tuple[str, Reader]) -> None:
    text, reader = whole
    assert text.startswith("<!DOCTYPE html>")
    assert len(reader.fetched) == 3, "two versions of the curves and one case"
    assert all(address.startswith("data:image/png;base64,") for address in reader.fetched)
    assert not re.search(r"(src|href|srcset|action)\s*=\s*[\"']?\s*(https?:)?//", text)
    assert not re.search(r"@import|url\(", text)
    for address in reader.fetched:
        assert base64.b64decode(address.split(",")[1]).startswith(b"\x89PNG")


def test_no_text_becomes_markup(whole: tuple[str, Reader]) -> None:
    text, reader = whole
    assert reader.tags.count("script") == 1
    assert EVIL not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in text
    for escaped in (
        "left &amp; atrium",
        "&lt;of voxels&gt;",
        "# &lt;fast&gt; &amp; https",
        "No &lt;validation&gt; cases.",
    ):
        assert escaped in text


def test_header_tells_what_when_where_and_how_long(whole: tuple[str, Reader]) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", whole[0].split("<header>")[1].split("</header>")[0]))
    for part in (
        "concord train_dtc --output &#x27;my run&#x27;",
        "2025-01-02 03:04:05 UTC",
        "1 h 02 min",
        "2.0 GiB host, 512 MiB GPU",
        "seed 0",
        "2000",
        "abc123",
        "3 test cases",
        "Research use only, not for diagnosis.",
    ):
        assert part in text


def test_sections_and_folds(whole: tuple[str, Reader]) -> None:
    text, _ = whole
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "Results",
        "Cases",
        "Every case, worst first",
        "Training",
        "What the numbers mean",
        "Data, configuration and environment",
    ]
    folds = re.findall(r"<details><summary>(.*?)</summary>", text)
    assert folds == ["Data fingerprint", "20 entries", "Evaluation settings", "Resolved configuration", "Run record"]


def test_cases_come_worst_first_and_undefined_is_a_dash(whole: tuple[str, Reader]) -> None:
    table = whole[0].split("worst first</h2>")[1].split("</table>")[0]
    assert re.findall(r'<td class="mono" data-value="(?:[^"]*)">(.*?)</td>', table)[1:] == ["case_1", "case_2"]
    assert re.findall(r'data-value="">(.*?)<', table) == ["–", "", "–", "", "–", ""]


def test_a_run_without_results_has_a_report_too(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", title="bare", run={}, summary=None, metrics_csv=tmp_path / "none.csv")
    text, reader = read(tmp_path / "report.html")
    assert reader.fetched == []
    assert "<h2>" not in text
    assert text.count("not for diagnosis") == 2


def test_a_resumed_run_does_not_claim_the_whole_time(tmp_path: Path) -> None:
    run = {**RUN, "resumed": ["2025-01-02T04:04:05+00:00"]}
    write_report(tmp_path / "report.html", title="resumed", run=run, summary=None, metrics_csv=tmp_path / "none.csv")
    text, _ = read(tmp_path / "report.html")
    assert "time since the last resume" in text
    assert "wall time" not in text


def test_an_empty_log_and_a_summary_without_cases_are_no_fault(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("iteration,loss\n")
    write_report(tmp_path / "r.html", title="t", run={"seed": 0}, summary=summary(0), metrics_csv=log)
    text, _ = read(tmp_path / "r.html")
    assert re.findall(r"<h2>(.*?)</h2>", text)[0] == "Results"
    assert "Training" not in text


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="old", run={})
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(path, title="new", run={})
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], {}),
        ([None], {}),
        ([0.5], {"best": "0", "median": "0", "worst": "0"}),
        ([0.5, 0.9], {"best": "1", "median": "0", "worst": "0"}),
        ([0.5, 0.9, None, 0.1, 0.7], {"best": "1", "median": "0", "worst": "3"}),
    ],
)
def test_pick_cases(scores: list[float | None], expected: dict[str, str]) -> None:
    cases = [{"case_id": str(index), "classes": {"a": {"dice": score}}} for index, score in enumerate(scores)]
    assert pick_cases({"cases": cases}) == expected


def test_pick_cases_averages_over_the_classes_that_have_a_dice() -> None:
    cases = [
        {"case_id": "x", "classes": {"a": {"dice": 0.9}, "b": {"dice": None}}},
        {"case_id": "y", "classes": {"a": {"dice": 1.0}, "b": {"dice": 0.6}}},
    ]
    assert pick_cases({"cases": cases}) == {"best": "x", "median": "y", "worst": "y"}


def test_pictures_of_labels_have_a_section_of_their_own(tmp_path: Path) -> None:
    picture = Picture(case_png(np.zeros((20, 20)), reference=np.ones((20, 20), np.uint8)), "how far", "further right")
    for labels in ((), (picture,)):
        write_report(tmp_path / "report.html", title="run", run=RUN, labels=labels)
        text, reader = read(tmp_path / "report.html")
        assert ("<h2>Trust in each label</h2>" in text) is bool(labels)
        assert reader.tags.count("img") == len(labels)
