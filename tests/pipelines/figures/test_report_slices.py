"""What the report says of slices: tables of the right numbers, and frames that show one at a time."""

from __future__ import annotations

import re

import numpy as np

from pipelines.figures.report import write_report
from pipelines.figures.report_slices import animation_figure, slices_section
from pipelines.figures.slice_animation import Animation
from pipelines.metrics.detection import Detections
from pipelines.metrics.volume_dice import VolumeDice

EVIL = "<b>REA</b>"
FRAMES = Animation(
    "best: <1>", "Dice", (b"one", b"two", b"three"), ("slice 1", "slice 2", "slice 3"), (("a", "#123456"),)
)


def summary():
    dice, detections = VolumeDice({1: EVIL, 2: "SRF"}), Detections([EVIL, "SRF"])
    truth = np.zeros((4, 4, 3), np.uint8)
    truth[:2, :, 1] = 1
    found = truth.copy()
    found[0, :, 1] = 0
    found[3, 0, 2] = 2
    dice.add("case", found, truth, 1.0)
    detections.add("case", [[0.2, 0.9, 0.4], [0.1, 0.2, 0.3]], [[0, 1, 0], [0, 0, 0]])
    resources = {"seconds_per_volume": 2.5, "peak_host_mib": 1234.5}
    return {"cases": [], "volume_dice": dice.summary(), "detection": detections.summary(), "resources": resources}


def cells(html, name):
    row = re.search(rf"<tr><td>{re.escape(name)}</td>(.*?)</tr>", html)[1]
    return re.findall(r"<td>(.*?)</td>", row)


def test_tables():
    html = slices_section(summary())
    assert EVIL not in html
    assert cells(html, "SRF")[:5] == ["\u2013", "0", "1", "1", "0.0010"]
    assert cells(html, "&lt;b&gt;REA&lt;/b&gt;")[:3] == ["0.667", "1", "0"]
    slices = html[html.index("<h3>Slices</h3>") :]
    assert cells(slices, "&lt;b&gt;REA&lt;/b&gt;")[:3] == ["1", "2", "1.000"]
    assert cells(slices, "SRF")[:3] == ["0", "3", "\u2013"]
    assert "<h3>Volumes</h3>" in html
    assert "2.50 s per volume, at most 1234 MiB of host memory" in html
    assert html.count("data:image/png") == 2


def test_nothing_to_say():
    assert slices_section({"cases": []}) == ""


def test_one_frame_shows():
    html = animation_figure(FRAMES)
    frames = re.findall(r"<img alt=\"(slice \d)\" src=\"data:image/jpeg;base64,\w+=*\"( hidden)?>", html)
    assert frames == [("slice 1", " hidden"), ("slice 2", ""), ("slice 3", " hidden")]
    assert 'max="2" value="1"' in html
    assert "best: &lt;1&gt;" in html
    assert 'style="background:#123456"' in html


def test_in_the_report(tmp_path):
    write_report(tmp_path / "report.html", title="t", run={}, summary=summary(), animations=[FRAMES])
    page = (tmp_path / "report.html").read_text()
    assert page.index("<h2>Detection</h2>") < page.index("<h2>Slice by slice</h2>")
    assert 'querySelectorAll("figure.slices")' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
