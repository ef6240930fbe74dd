"""What is written is read again; what is damaged is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.loss_study.recording import (
    Moment,
    PicturedCase,
    moment_file,
    read_cases,
    read_moment,
    read_recording,
    recorded_iterations,
    write_cases,
    write_moment,
)
from pipelines.loss_study.scoring import Scores
from pipelines.metrics.calibration import compute_reliability
from transforms.io.input_error import InputError


def moment(iteration: int) -> Moment:
    bins = compute_reliability([0.5, 0.7, 0.95], [1, 0, 1])
    maps = {"confidence": [np.full((2, 3), 0.25, np.float32), np.zeros((4, 1), np.float32)]}
    return Moment(iteration, Scores({"iou": 0.5, "ece": None}, bins, bins), 1.5, maps, np.arange(3, dtype=np.float16))


def test_moments_come_back_in_order(tmp_path) -> None:
    for iteration in (20, 0, 100):
        write_moment(tmp_path, moment(iteration))
    assert recorded_iterations(tmp_path) == [0, 20, 100]
    found = read_recording(tmp_path)
    assert [one.iteration for one in found] == [0, 20, 100]
    assert found[1].scores.values == {"iou": 0.5, "ece": None}
    assert found[1].scores.bins.counts.sum() == 3
    assert [part.shape for part in found[1].maps["confidence"]] == [(2, 3), (4, 1)]
    assert "loss" not in found[1].maps
    assert not len(found[1].weights)
    assert read_moment(tmp_path, 20, with_weights=True).weights.tolist() == [0, 1, 2]


def test_cases_come_back(tmp_path) -> None:
    write_cases(tmp_path, [PicturedCase("a/b", np.ones((3, 2, 2), np.float32), np.eye(2, dtype=np.uint8))])
    (case,) = read_cases(tmp_path)
    assert (case.case_id, case.image.shape, case.label.tolist()) == ("a/b", (3, 2, 2), [[1, 0], [0, 1]])


def test_what_is_damaged_or_missing_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="holds no recording"):
        read_recording(tmp_path)
    with pytest.raises(InputError, match=r"cases\.npz: is missing"):
        read_cases(tmp_path)
    write_moment(tmp_path, moment(5))
    path = moment_file(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"iteration_0000005\.npz: is missing or damaged"):
        read_recording(tmp_path)
