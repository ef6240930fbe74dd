"""A run that was interrupted, in any way and at any moment, ends as one that was not: bit for bit, on CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.engines import DualTaskTrainer
from tests.bundles.killed_training import on_call
from tests.pipelines.tiny_training import command_line, digests, make_tiny_cohort, resumption, rows, train
from tests.test_layering import ROOT

FAST = ("between_checkpoints", "while_writing")
SLOW = (
    "before_the_first_checkpoint",
    "after_the_last_checkpoint",
    "after_the_last_iteration",
    "while_concluding",
    "while_validating",
    *FAST,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_tiny_cohort(tmp_path_factory.mktemp("cohort") / "data")


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("straight") / "run"
    assert train(command_line(data, run)) == 0
    return run


def last(run: Path) -> dict[str, str]:
    return digests(run / "checkpoints" / "last.pt")


def child_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_killed_runs_end_alike(data: Path, output: Path, workers: int, moments: tuple[str, ...]) -> None:
    process = start("tests.bundles.killed_training", str(data), str(output), str(workers), *moments)
    told, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    assert json.loads(told) == {"straight": [0], **{moment: [-signal.SIGKILL, 0] for moment in moments}}
    expected = last(output / "straight")
    assert len(expected) > 400
    for moment in moments:
        assert last(output / moment) == expected, moment
        best = output / moment / "checkpoints" / "best.pt"
        assert digests(best) == digests(output / "straight" / "checkpoints" / "best.pt"), moment
        assert rows(output / moment) == rows(output / "straight"), moment
        assert not list((output / moment / "checkpoints").glob(".part-*")), moment


def test_runs_killed_and_resumed_end_bit_for_bit_as_one_that_was_not(data, tmp_path):
    assert_killed_runs_end_alike(data, tmp_path, workers=0, moments=FAST)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_runs_killed_at_every_moment(data, tmp_path, workers):
    assert_killed_runs_end_alike(data, tmp_path, workers, SLOW)


@pytest.mark.parametrize("iteration", [1, 4, 8])
def test_a_run_that_failed_goes_on_as_if_it_had_not(data, straight, tmp_path, iteration):
    def fail():
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", DualTaskTrainer._iteration)
        on_call(DualTaskTrainer, "_iteration", iteration, fail)
        assert train(command_line(data, tmp_path)) == 1
    assert train(resumption(tmp_path)) == 0
    assert last(tmp_path) == last(straight)
    assert rows(tmp_path) == rows(straight)


def test_the_number_of_workers_changes_nothing_and_may_change_on_the_way(data, straight, tmp_path):
    assert train(command_line(data, tmp_path / "two", settings={"workers": "2"})) == 0
    assert last(tmp_path / "two") == last(straight)

    def stop():
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", DualTaskTrainer._iteration)
        on_call(DualTaskTrainer, "_iteration", 5, stop)
        assert train(command_line(data, tmp_path / "changed", settings={"workers": "1"})) == 130
    assert train(resumption(tmp_path / "changed", "--set", "workers=0")) == 0
    assert last(tmp_path / "changed") == last(straight)


def test_another_seed_gives_another_run(data, straight, tmp_path):
    assert train(command_line(data, tmp_path, "--seed", "1")) == 0
    assert last(tmp_path) != last(straight)


@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_saves_the_iteration_and_the_run_goes_on_from_it(data, straight, tmp_path, number, status, said):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", DualTaskTrainer._iteration)
        on_call(DualTaskTrainer, "_iteration", 5, lambda: os.kill(os.getpid(), number))
        assert train(command_line(data, tmp_path)) == status
    assert checkpoint_iteration(tmp_path) == 5
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert train(resumption(tmp_path)) == 0
    assert last(tmp_path) == last(straight)
    assert rows(tmp_path) == rows(straight)


def test_a_signal_breaks_off_a_validation_which_the_resumed_run_makes_good(data, straight, tmp_path, capsys):
    from monai.engines import SupervisedEvaluator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupervisedEvaluator, "_iteration", SupervisedEvaluator._iteration)
        on_call(SupervisedEvaluator, "_iteration", 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(command_line(data, tmp_path)) == 143
    assert checkpoint_iteration(tmp_path) == 4
    assert [row["iteration"] for row in rows(tmp_path) if row["val_dice"]] == ["2"]
    assert train(resumption(tmp_path)) == 0
    assert "going on from iteration 4 of 8" in capsys.readouterr().out
    assert last(tmp_path) == last(straight)
    assert rows(tmp_path) == rows(straight)


def test_a_run_that_stopped_early_stays_stopped(data, tmp_path):
    def kill_like():
        raise ZeroDivisionError

    from pipelines.runs import record

    settings = {"patience": "1", "validation_every": "1", "learning_rate": "0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "peak_memory", record.peak_memory)
        on_call(record, "peak_memory", 1, kill_like)
        assert train(command_line(data, tmp_path, settings=settings)) == 1
    before = checkpoint_iteration(tmp_path)
    assert before < 8
    assert train(resumption(tmp_path)) == 0
    assert checkpoint_iteration(tmp_path) == before


def checkpoint_iteration(run: Path) -> int:
    import torch

    return int(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["iteration"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_real_process_that_gets_a_signal_goes_on_bit_for_bit(data, tmp_path, number, whole_group):
    settings = {"iterations": "60", "validation_every": "25", "workers": "1"}
    run, straight = tmp_path / "run", tmp_path / "straight"
    assert train(command_line(data, straight, settings=settings | {"workers": "0"})) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.train_dtc", *command_line(data, run, settings=settings)],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and len(rows(run) if (run / "metrics.csv").exists() else []) < 6:
        time.sleep(0.02)
    sent = time.monotonic()
    (os.killpg if whole_group else os.kill)(process.pid, number)
    errors = process.communicate(timeout=60)[1]
    assert time.monotonic() - sent < 10
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number], errors
    assert "Traceback" not in errors
    assert checkpoint_iteration(run) < 60
    assert train(resumption(run)) == 0
    assert last(run) == last(straight)
    assert rows(run) == rows(straight)


def test_another_data_set_is_not_resumed(data, tmp_path, capsys):
    copy = make_tiny_cohort(tmp_path / "data")
    run = interrupted(copy, tmp_path / "run")
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    make_tiny_cohort(copy, seed=6)
    capsys.readouterr()
    assert train(resumption(run)) == 2
    assert_refused(capsys, f"error: {run}: cannot be resumed: the data set has changed since")
    assert before == sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "learning_rate=0.1"), "learning_rate: 0.05 then, 0.1 now"),
        (("--iterations", "9"), "iterations: 8 then, 9 now"),
        (("--seed", "4"), "seed: 0 then, 4 now"),
        (("--set", "network_def::dropout=0.2"), "(network_def)"),
        (("--overlay", "quick"), "iterations: 8 then"),
        (("--method", "supervised"), "consistency"),
    ],
)
def test_another_configuration_is_not_resumed(data, unfinished, capsys, more, said):
    config = (unfinished / "config.yaml").read_text(encoding="utf-8")
    assert train(resumption(unfinished, *more)) == 2
    assert_refused(capsys, f"error: {unfinished}: cannot be resumed: its configuration was another", said)
    assert (unfinished / "config.yaml").read_text(encoding="utf-8") == config


def test_the_same_command_line_and_resume_goes_on(data, straight, tmp_path):
    run = interrupted(data, tmp_path)
    assert train(command_line(data, run, "--resume")) == 0
    assert last(run) == last(straight)


def test_a_damaged_checkpoint_is_refused(data, tmp_path, capsys):
    run = interrupted(data, tmp_path)
    checkpoint = run / "checkpoints" / "last.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    capsys.readouterr()
    assert train(resumption(run)) == 2
    assert_refused(capsys, f"error: {checkpoint}: is no checkpoint of this project, or is damaged")


def test_an_unfinished_run_is_neither_resumed_nor_replaced_unasked(data, tmp_path, capsys):
    run = interrupted(data, tmp_path)
    (run / "checkpoints" / "best.pt").write_bytes(b"old")
    capsys.readouterr()
    assert train(command_line(data, run)) == 2
    assert_refused(capsys, f"error: {run}: holds an unfinished run; pass --resume to go on with it, or --overwrite")
    assert train(command_line(data, run, "--resume", "--overwrite")) == 2
    assert_refused(capsys, "error: --resume: and --overwrite contradict each other")
    assert train(command_line(data, run, "--overwrite", settings={"validation_every": "100"})) == 0
    assert not (run / "checkpoints" / "best.pt").exists()
    assert [row["iteration"] for row in rows(run)] == ["2", "4", "6", "8"]


def test_a_finished_run_is_not_replaced_unasked_and_has_nothing_to_resume(data, straight, capsys):
    before = last(straight)
    assert train(command_line(data, straight)) == 2
    assert_refused(capsys, f"error: {straight}: holds a finished run; choose another folder or pass --overwrite")
    assert train(resumption(straight)) == 0
    assert capsys.readouterr().out == f"{straight} holds a finished run: nothing to do\n"
    assert last(straight) == before


def test_there_must_be_a_run_to_resume(tmp_path, capsys):
    assert train(resumption(tmp_path)) == 2
    assert_refused(capsys, f"error: {tmp_path}: holds no run to resume (config.yaml is missing)")


def test_the_written_configuration_is_the_whole_run(data, straight, tmp_path):
    """What config.yaml says is enough to repeat the run, as ``monai.bundle run`` would."""
    from pipelines.workflow import run_stage
    from tests.pipelines.tiny_training import quiet

    config = yaml.safe_load((straight / "config.yaml").read_text(encoding="utf-8"))
    assert config["iterations"] == 8
    with quiet(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.runs.conclusion.conclude_run", lambda *arguments: None)
        run_stage([straight / "config.yaml"], {"output_dir": str(tmp_path)}, "train")
    assert last(tmp_path) == last(straight)


def interrupted(data: Path, run: Path) -> Path:
    def stop():
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTaskTrainer, "_iteration", DualTaskTrainer._iteration)
        on_call(DualTaskTrainer, "_iteration", 5, stop)
        assert train(command_line(data, run)) == 130
    return run


@pytest.fixture(scope="module")
def unfinished(data, tmp_path_factory) -> Path:
    return interrupted(data, tmp_path_factory.mktemp("unfinished") / "run")


def assert_refused(capsys, *parts: str) -> None:
    """One line on standard error, holding all ``parts``."""
    errors = capsys.readouterr().err
    told = [line for line in errors.splitlines() if not line.startswith(("loading", "checking"))]
    assert len(told) == 1, errors
    for part in parts:
        assert part in told[0]
