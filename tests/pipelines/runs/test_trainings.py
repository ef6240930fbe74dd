"""Trainings side by side, with a stand-in for the training command that takes no time."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path

import pytest

from pipelines.runs import trainings
from pipelines.runs.trainings import Training, read_scores, run_all, settings_words
from transforms.io.input_error import InputError

# Writes what a run leaves; stops before it has finished when there is a file of that name; fails when told to.
STAND_IN = """
import json, os, sys, time
from pathlib import Path

words = sys.argv[1:]
run = Path(words[words.index("--output") + 1])
run.mkdir(exist_ok=True)
if "fail" in words:
    sys.exit("some lines before\\nerror: spacing_mm: is no spacing")
finished = None if "half" in words and "--resume" not in words else "now"
old = json.loads((run / "run.json").read_text()) if "--resume" in words else {}
(run / "config.yaml").write_text("{}")
threads = os.environ["OMP_NUM_THREADS"]
told = {"command": old.get("command", sys.argv), "finished": finished, "threads": threads}
(run / "run.json").write_text(json.dumps(told))
if "slow" in words:
    time.sleep(60)
sys.exit(143 if finished is None else 0)
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    return lambda name, *words: Training("stand_in", ["--seed", name[-1], *words], tmp_path / "runs" / name)


def record(training: Training) -> dict:
    return dict(json.loads((training.folder / "run.json").read_text()))


def test_each_is_done_once(plan, capsys) -> None:
    both = [plan("single_0"), plan("single_1")]
    run_all(both, jobs=2)
    assert record(both[1])["command"][1:3] == ["--seed", "1"]
    before = [(each.folder / "run.json").stat().st_mtime_ns for each in both]
    capsys.readouterr()
    run_all(both, jobs=1)
    assert sorted(capsys.readouterr().out.split("\n")) == ["", "single_0: finished before", "single_1: finished before"]
    assert [(each.folder / "run.json").stat().st_mtime_ns for each in both] == before
    run_all(both[:1], jobs=1, anew=True)
    assert (both[0].folder / "run.json").stat().st_mtime_ns > before[0]


@pytest.mark.parametrize(("allowed", "threads"), [("1", "1"), ("64", "4"), ("", "4"), ("0", "4"), ("2,1", "4")])
def test_each_takes_its_share_of_the_cores_but_no_more_than_the_user_allows(plan, monkeypatch, allowed, threads):
    monkeypatch.setattr(trainings.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    run_all([plan("single_0")], jobs=2)
    assert record(plan("single_0"))["threads"] == threads


def test_one_that_was_stopped_goes_on(plan, capsys) -> None:
    half = plan("alpha_0", "half")
    with pytest.raises(InputError, match=r"alpha_0.log: the training ended with status 143$"):
        run_all([half], jobs=1)
    run_all([half], jobs=1)
    assert "alpha_0: goes on" in capsys.readouterr().out
    assert "--resume" not in record(half)["command"]  # the record is that of the start
    run_all([half], jobs=1)  # and so it is known for the same training


def test_a_finished_run_of_other_settings_is_refused(plan) -> None:
    run_all([plan("single_0")], jobs=1)
    with pytest.raises(InputError, match="was trained with other settings: --seed 0 "):
        run_all([plan("single_0", "--set", "filters=4")], jobs=1)


def test_the_reason_of_a_refusal_is_told(plan) -> None:
    with pytest.raises(InputError, match="status 1; error: spacing_mm: is no spacing"):
        run_all([plan("single_0", "fail")], jobs=1)


def test_none_goes_on_when_one_fails(plan) -> None:
    ended: list[BaseException] = []

    def run() -> None:
        try:
            run_all([plan("single_0", "fail"), plan("single_1", "slow"), plan("single_2", "slow")], jobs=2)
        except InputError as fault:
            ended.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=40)  # the slow ones take a minute, each
    assert not thread.is_alive()
    assert len(ended) == 1
    assert not plan("single_2").folder.exists()


def test_jobs_must_be_some(plan) -> None:
    with pytest.raises(InputError, match="--jobs: must be 1 or more, got 0"):
        run_all([plan("single_0")], jobs=0)


def test_words_and_scores(tmp_path) -> None:
    args = argparse.Namespace(overlay=["quick"], set=["a=1", "b=2"])
    assert settings_words(args) == ["--overlay", "quick", "--set", "a=1", "--set", "b=2"]
    values = {"dice": 0.5, "hd95_mm": None, "state": "both_present", "betti0_error": 3, "found": True}
    (tmp_path / "summary.json").write_text(json.dumps({"cases": [{"case_id": "a", "classes": {"vessel": values}}]}))
    assert read_scores(tmp_path) == {"vessel": {"a": {"dice": 0.5, "betti0_error": 3.0}}}


def test_the_same_python_runs_them(plan, monkeypatch) -> None:
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **more: object) -> None:
            started.append(command)
            Path(plan("single_0").folder).mkdir(parents=True, exist_ok=True)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(trainings.subprocess, "Popen", Process)
    run_all([plan("single_0")], jobs=10_000)
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "stand_in"]
    assert command[-2:] == trainings.ONE_PROCESS  # one thread each: no worker beside it
