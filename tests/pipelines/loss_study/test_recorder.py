"""A recorded training is the one that is not recorded, and a resumed recording has no moment of another time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from networks.losses.catalogue import make_loss
from pipelines.loss_study.recorder import LossRecorder
from pipelines.loss_study.recording import moment_file, read_cases, read_recording, recorded_iterations
from tests.pipelines.loss_study.tiny_losses import CPU, TinyNetwork, tiny_cases, train_tiny
from transforms.io.input_error import InputError


def test_start_every_so_many_and_the_end_are_kept(tmp_path) -> None:
    recorder = train_tiny(tmp_path, "ce", iterations=12, every=5)
    moments = read_recording(tmp_path / "recording")
    assert [moment.iteration for moment in moments] == [0, 5, 10, 12]
    losses = [moment.loss for moment in moments]
    assert all(loss is not None for loss in losses)
    assert losses[0] > losses[-1]
    # The last moment is of the last weights.
    cases = tiny_cases()
    recorder.network.eval()
    with torch.no_grad():
        values = [
            recorder.loss(
                recorder.predict(torch.from_numpy(case["image"][None])), torch.from_numpy(case["label"][None])
            )
            for case in cases
        ]
    assert losses[-1] == pytest.approx(float(np.mean(values)), rel=1e-6)
    assert [case.case_id for case in read_cases(tmp_path / "recording")] == ["case <0>", "case <1>"]
    assert len(moments[-1].maps["gradient"]) == 2


def test_recording_changes_nothing(tmp_path) -> None:
    often, seldom = TinyNetwork(), TinyNetwork()
    train_tiny(tmp_path / "often", "dice", iterations=6, every=1, network=often)
    train_tiny(tmp_path / "seldom", "dice", iterations=6, every=6, network=seldom)
    for one, other in zip(often.parameters(), seldom.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_resumed_run_drops_what_it_computes_again(tmp_path) -> None:
    recorder = train_tiny(tmp_path, "focal:gamma=1", iterations=20, every=5)
    folder = tmp_path / "recording"
    kept = moment_file(folder, 10).read_bytes()
    engine: Any = SimpleNamespace(state=SimpleNamespace(iteration=10))
    recorder._start(engine)
    assert recorded_iterations(folder) == [0, 5, 10]
    assert moment_file(folder, 10).read_bytes() == kept
    engine.state.iteration = 0
    recorder._start(engine)
    assert recorded_iterations(folder) == [0]


def test_what_cannot_be_watched_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no validation case"):
        LossRecorder(tmp_path, TinyNetwork(), [], make_loss("ce"), 5, 10, CPU)
    with pytest.raises(InputError, match="must be at least 1"):
        LossRecorder(tmp_path, TinyNetwork(), tiny_cases(), make_loss("ce"), 0, 10, CPU)
