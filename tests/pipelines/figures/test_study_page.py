"""The page holds the study's numbers and nothing that could be taken for a script of its own."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.figures.loss_maps import common_scales
from pipelines.figures.study_page import write_study_page
from pipelines.figures.study_script import STUDY_SCRIPT, study_policy
from pipelines.loss_study.recording import read_moment
from pipelines.loss_study.study import StudiedRun, gather_study
from tests.pipelines.loss_study.tiny_losses import tiny_study


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[list[StudiedRun], dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("study")
    runs = tiny_study(folder, ("ce", "dice"))
    gathered = gather_study(runs, reach=0.5)
    write_study_page(folder / "study.html", runs, gathered)
    return runs, gathered, folder / "study.html"


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def pixels(url: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as picture:
        return np.asarray(picture)


def test_the_page_is_whole_and_needs_nothing(study) -> None:
    page = study[2].read_text()
    assert f'content="{study_policy()}"' in page
    assert page.count("<script") == 2
    assert f"<script>{STUDY_SCRIPT}</script>" in page
    rest = page.replace(STUDY_SCRIPT, "")
    assert not re.search(r"https?:|<link|<iframe|@import|url\(", rest)
    assert "Research use only" in page
    wanted = set(re.findall(r'getElementById\("([^"]+)"\)', STUDY_SCRIPT))
    assert wanted <= set(re.findall(r'id="([^"]+)"', rest))


def test_names_are_no_markup(study) -> None:
    # The cases are called "case <0>" and "case <1>".
    page = study[2].read_text()
    assert "<0>" not in page
    assert [case["id"] for case in embedded(page)["cases"]] == ["case <0>", "case <1>"]


def test_the_numbers_are_those_of_the_study(study) -> None:
    runs, gathered, path = study
    data = embedded(path.read_text())
    assert data["moments"] == [0, 5, 10, 15, 20]
    for told, loss in zip(data["losses"], gathered["losses"], strict=True):
        assert told["text"] == loss["text"]
        assert told["series"]["iou"] == pytest.approx(loss["runs"][0]["iou"], abs=1e-5)
        assert told["ece"] == pytest.approx(loss["runs"][0]["ece"])
        assert told["surfaces"]["random"]["loss"][2] == pytest.approx(
            loss["runs"][0]["landscape"]["random"]["loss"][2], rel=1e-4
        )
    assert f"{gathered['losses'][0]['final']['iou']['mean']:.4f}" in path.read_text()


def test_maps_are_read_off_to_within_a_step_of_the_scale(study) -> None:
    runs, _, path = study
    data = embedded(path.read_text())
    moments = [[read_moment(run.recording, step) for step in data["moments"]] for run in runs]
    scale = common_scales([one for found in moments for one in found])["confidence"]
    codes = pixels(data["losses"][1]["maps"][0]["confidence"]).reshape(5, 10, 8)
    for code, moment in zip(codes, moments[1], strict=True):
        assert code / 255 == pytest.approx(scale.shares(moment.maps["confidence"][0]), abs=0.5 / 255 + 1e-6)
    assert data["losses"][1]["maps"][0]["loss"] is None
    label = pixels(data["cases"][1]["label"])
    assert label.tolist() == np.asarray(read_label(runs[0])).tolist()


def read_label(run: StudiedRun) -> np.ndarray:
    from pipelines.loss_study.recording import read_cases

    return read_cases(run.recording)[1].label
