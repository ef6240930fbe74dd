"""Trainings that are compared: each a command in a process and folder of its own, done once, resumed if stopped."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.console import say
from pipelines.runs.record import CONFIG_FILE, RUN_FILE, is_finished
from transforms.io.input_error import InputError

# One thread computes and draws in turn: a worker beside it would take another training's core.
ONE_PROCESS = ["--set", "workers=0"]
OVERWRITE, RESUME = ["--overwrite"], ["--resume"]
Scores = dict[str, dict[str, dict[str, float]]]


class Training(NamedTuple):
    """One of the trainings that are compared.

    Attributes:
        module: of its command.
        words: the command's, without ``--output``.
        folder: its run folder.
    """

    module: str
    words: list[str]
    folder: Path


def settings_words(args: argparse.Namespace) -> list[str]:
    """Give ``--overlay`` and ``--set`` as words of a command."""
    overlays = [word for name in args.overlay for word in ("--overlay", name)]
    return overlays + [word for setting in args.set for word in ("--set", setting)]


def run_all(trainings: Sequence[Training], jobs: int, *, anew: bool = False) -> None:
    """Run those that are not finished, ``jobs`` side by side, each with its share of the cores.

    Where ``OMP_NUM_THREADS`` is less than that share, each takes as many threads as it says.

    One that was stopped goes on from its last checkpoint. When one of them fails, or this process is interrupted, those
    that are running are told to save their state and stop.

    Args:
        trainings: what is wanted.
        jobs: how many at a time.
        anew: train all of them, those that are finished too.

    Raises:
        InputError: when ``jobs`` is none, a finished folder is of other settings, or a training ends with a fault; what
            it said lies beside its folder.
    """
    if jobs < 1:
        raise InputError("--jobs", f"must be 1 or more, got {jobs}")
    for training in trainings:
        if not anew:
            _refuse_other_settings(training)
        training.folder.parent.mkdir(parents=True, exist_ok=True)
    crew = _Crew(_threads(jobs), anew)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(crew.run, training) for training in trainings]
        try:
            for future in waiting:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise


def _threads(jobs: int) -> int:
    """Give each training its share of the cores, and no more than the user allows: others may need the rest."""
    share = max(1, len(os.sched_getaffinity(0)) // jobs)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdecimal() and int(allowed) > 0 else share


class _Crew:
    """Runs trainings, each in a process, and can stop them all."""

    def __init__(self, threads: int, anew: bool) -> None:
        self.threads = threads
        self.anew = anew
        self.running: set[subprocess.Popen[bytes]] = set()
        self.lock = threading.Lock()
        self.is_stopped = False

    def run(self, training: Training) -> None:
        name = training.folder.name
        if is_finished(training.folder) and not self.anew:
            say(f"{name}: finished before")
            return
        log_file = training.folder.with_suffix(".log")
        with log_file.open("w") as log:
            process = self._start(training, log)
            if process is None:
                return
            status = process.wait()
        with self.lock:
            self.running.discard(process)
        if status and not self.is_stopped:
            told = [line for line in log_file.read_text(errors="replace").splitlines() if line.startswith("error: ")]
            raise InputError(log_file, "; ".join([f"the training ended with status {status}", *told[-1:]]))
        say(f"{name}: {'stopped' if status else 'done'}")

    def _start(self, training: Training, log: Any) -> subprocess.Popen[bytes] | None:
        goes_on = not self.anew and all((training.folder / name).is_file() for name in (CONFIG_FILE, RUN_FILE))
        command = [sys.executable, "-m", training.module, *_words(training, RESUME if goes_on else OVERWRITE)]
        command += ONE_PROCESS if self.threads == 1 else []
        with self.lock:
            if self.is_stopped:
                return None
            process = subprocess.Popen(
                command, env={**os.environ, "OMP_NUM_THREADS": str(self.threads)}, stdout=log, stderr=log
            )
            self.running.add(process)
        say(f"{training.folder.name}: {'goes on' if goes_on else 'started'}")
        return process

    def stop(self) -> None:
        with self.lock:
            self.is_stopped = True
            for process in self.running:
                process.terminate()


def _words(training: Training, how: Sequence[str]) -> list[str]:
    return [*training.words, "--output", str(training.folder), *how]


def _refuse_other_settings(training: Training) -> None:
    """Keep a finished run of other settings out of the comparison."""
    if not is_finished(training.folder):
        return
    before = read_record(training.folder)["command"][1:]
    if before not in (_words(training, OVERWRITE), _words(training, OVERWRITE) + ONE_PROCESS):
        raise InputError(training.folder, f"was trained with other settings: {' '.join(before)}; choose another folder")


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run's record."""
    return dict(json.loads((folder / RUN_FILE).read_text(encoding="utf-8")))


def read_scores(folder: Path) -> Scores:
    """Class -> case -> metric -> value of the ``summary.json`` in a folder; a case has no metric that is undefined."""
    scores: Scores = {}
    for case in json.loads((folder / "summary.json").read_text(encoding="utf-8"))["cases"]:
        for name, values in case["classes"].items():
            found = {metric: float(value) for metric, value in values.items() if _is_number(value)}
            scores.setdefault(name, {})[case["case_id"]] = found
    return scores


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
