"""The end of a studied training tells the test scores, and the time that training took."""

from __future__ import annotations

import json

import pytest

from pipelines.loss_study.ending import ENDING_FILE, StudyEnding
from pipelines.loss_study.scoring import MEASURES, mask_logits, score_cases
from tests.pipelines.loss_study.tiny_losses import CPU, TinyNetwork, tiny_cases


def test_test_cases_are_scored_and_the_time_is_read(tmp_path) -> None:
    network = TinyNetwork()
    (tmp_path / "metrics.csv").write_text("iteration,seconds\n10,1.5\n20,3.25\n")
    StudyEnding(tmp_path, network, tiny_cases(2), CPU).write()
    content = json.loads((tmp_path / ENDING_FILE).read_text())
    assert content["training_seconds"] == 3.25
    assert content["test_cases"] == 2
    assert set(content["test"]) == set(MEASURES)
    scores = score_cases(lambda image: mask_logits(network, image, "mask"), tiny_cases(2), CPU)
    assert content["test"] == pytest.approx(dict(scores.values))
    assert sum(content["test_bins"]["counts"]) == 2 * 80
    assert content["peak_host_mib"] > 0


def test_without_test_cases_there_is_no_score(tmp_path) -> None:
    StudyEnding(tmp_path, TinyNetwork(), [], CPU).write()
    content = json.loads((tmp_path / ENDING_FILE).read_text())
    assert (content["test_cases"], content["test"], content["training_seconds"]) == (0, None, None)
