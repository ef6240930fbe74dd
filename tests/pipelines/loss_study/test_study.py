"""What a study says of recordings whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.loss_study.ending import ENDING_FILE
from pipelines.loss_study.landscape import Surface, write_surface
from pipelines.loss_study.recording import Moment, write_moment
from pipelines.loss_study.scoring import MEASURES, Scores
from pipelines.loss_study.study import StudiedRun, findings, gather_study, tell_study
from pipelines.metrics.calibration import compute_reliability
from transforms.io.input_error import InputError

BINS = compute_reliability([0.9, 0.9], [1, 0])


def write_run(folder: Path, text: str, seed: int, ious: list[float], ece: float, start: float = 0.0) -> StudiedRun:
    """A run with one moment every 10 iterations."""
    run = StudiedRun(text, seed, folder / f"{len(list(folder.glob('*')))}")
    for index, iou in enumerate(ious):
        values = {name: 0.5 for name in MEASURES} | {"iou": iou, "ece": ece}
        weights = np.full(3, start if index == 0 else index, np.float16)
        write_moment(run.recording, Moment(10 * index, Scores(values, BINS, BINS), 1.0, {}, weights))
    test = {name: iou / 2 for name in MEASURES}
    (run.folder / ENDING_FILE).write_text(
        json.dumps({"test": test, "test_cases": 2, "test_bins": None, "training_seconds": 7.0})
    )
    return run


def test_fastest_and_best_calibrated(tmp_path) -> None:
    runs = [
        write_run(tmp_path, "ce", 0, [0.0, 0.2, 0.5, 0.8], 0.05),
        write_run(tmp_path, "dice", 0, [0.0, 0.45, 0.5, 0.6], 0.2),
        write_run(tmp_path, "focal:gamma=5", 0, [0.9, 0.1, 0.1, 0.1], 0.02),
    ]
    study = gather_study(runs, reach=0.5)
    assert study["threshold"] == {"iou": pytest.approx(0.4), "share": 0.5, "best_final_iou": 0.8}
    # What a network scores before it has learnt anything is no learning.
    assert [loss["reached_iteration"] for loss in study["losses"]] == [20, 10, None]
    assert study["fastest"] == {"text": "dice", "measure": "reached_iteration", "value": 10}
    assert study["best_calibrated"] == {"text": "focal:gamma=5", "measure": "ece", "value": 0.02}
    json.dumps(study, allow_nan=False)
    lines = tell_study(study)
    assert lines[3].startswith("focal:gamma=5  never")
    assert "Fastest to an IoU of 0.400 (0.5 of the best final one): dice, after 10 iterations." in lines


def test_several_seeds_are_averaged_and_all_must_reach(tmp_path) -> None:
    runs = [
        write_run(tmp_path, "ce", 0, [0.0, 0.5, 0.6], 0.1),
        write_run(tmp_path, "ce", 1, [0.0, 0.1, 0.8], 0.3),
        write_run(tmp_path, "bce", 0, [0.0, 0.5, 0.1], 0.1),
        write_run(tmp_path, "bce", 1, [0.0, 0.1, 0.1], 0.1),
    ]
    study = gather_study(runs, reach=0.5)
    ce, bce = study["losses"]
    assert ce["final"]["iou"] == {"mean": pytest.approx(0.7), "sd": pytest.approx(np.std([0.6, 0.8], ddof=1))}
    assert ce["reached_iteration"] == 15
    assert bce["reached_iteration"] is None
    assert [run["reached_iteration"] for run in bce["runs"]] == [10, None]
    assert study["seeds"] == [0, 1]


def test_formulas_curves_and_surfaces_are_told(tmp_path) -> None:
    run = write_run(tmp_path, "0.5*dice + focal:gamma=2", 0, [0.0, 0.5], 0.1)
    axis = np.linspace(-1, 1, 5)
    loss = np.hypot(*np.meshgrid(axis, axis))
    loss[0, 0] = np.inf
    write_surface(run.folder / "landscape_random.npz", Surface(axis, axis, loss, loss))
    study = gather_study([run, write_run(tmp_path, "focal:gamma=2", 0, [0.0, 0.5], 0.1)], reach=0.5)
    summed, focal = study["losses"]
    assert "Lin et al." in summed["paper"]
    assert summed["curve"] is None
    assert len(focal["curve"]["p"]) == len(focal["curve"]["foreground_gradient"])
    random = summed["runs"][0]["landscape"]["random"]
    assert random["loss"][0][0] is None
    assert random["mean_rise"] == pytest.approx((4 * 0.5 + 4 * np.hypot(0.5, 0.5)) / 8)
    json.dumps(study, allow_nan=False)


def test_nothing_learnt_is_said_so(tmp_path) -> None:
    study = gather_study([write_run(tmp_path, "ce", 0, [0.0, 0.0], 0.1)], reach=0.5)
    assert study["fastest"] is None
    assert findings(study, 0.5, 0.0)[0].startswith("No loss reached")


def test_runs_that_did_not_start_alike_are_no_study(tmp_path) -> None:
    runs = [write_run(tmp_path, "ce", 0, [0.0, 0.5], 0.1), write_run(tmp_path, "dice", 0, [0.0, 0.5], 0.1, start=1.0)]
    with pytest.raises(InputError, match="started with other weights than"):
        gather_study(runs, reach=0.5)


def test_an_unfinished_run_is_refused(tmp_path) -> None:
    run = write_run(tmp_path, "ce", 0, [0.0, 0.5], 0.1)
    (run.folder / ENDING_FILE).unlink()
    with pytest.raises(InputError, match="the training is not finished"):
        gather_study([run], reach=0.5)
