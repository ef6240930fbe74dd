"""Trainings that are killed at chosen moments, each in a process of its own, forked after the slow imports.

``python -m tests.bundles.killed_training DATA OUTPUT WORKERS MOMENT...`` trains once straight through into
``OUTPUT/straight``, then for each moment into ``OUTPUT/MOMENT``: killed there (kill -9), and resumed. It prints one
JSON object: exit statuses by moment, minus the number of the signal where one ended the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pipelines.tiny_training import command_line, resumption, train

NTH = 5


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(owner: Any, name: str, count: int, act: Callable[[], Any]) -> None:
    """Let ``act`` happen when ``owner.name`` is called for the ``count``-th time, before its own work."""
    original, calls = getattr(owner, name), []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            act()
        return original(*arguments, **options)

    setattr(owner, name, counted)


def half_a_checkpoint(count: int) -> None:
    """Let the ``count``-th checkpoint be written by half when the process is killed."""
    import torch

    original, calls = torch.save, []

    def save(content: Any, path: Path) -> None:
        calls.append(1)
        original(content, path)
        if len(calls) == count:
            os.truncate(path, path.stat().st_size // 2)
            kill()

    torch.save = save


def sabotage(moment: str) -> None:
    from monai.engines import SupervisedEvaluator

    from pipelines.engines import DualTaskTrainer
    from pipelines.handlers.norm_recalibration import NormRecalibration
    from pipelines.runs import record

    moments: dict[str, Callable[[], Any]] = {
        "before_the_first_checkpoint": lambda: on_call(DualTaskTrainer, "_iteration", 2, kill),
        "between_checkpoints": lambda: on_call(DualTaskTrainer, "_iteration", NTH, kill),
        "after_the_last_checkpoint": lambda: on_call(DualTaskTrainer, "_iteration", 8, kill),
        "while_validating": lambda: on_call(SupervisedEvaluator, "_iteration", 2, kill),
        "while_writing": lambda: half_a_checkpoint(4),
        "after_the_last_iteration": lambda: on_call(NormRecalibration, "recompute", 5, kill),
        "while_concluding": lambda: on_call(record, "peak_memory", 1, kill),
    }
    moments[moment]()


def in_a_process(work: Callable[[], int]) -> int:
    """Give the exit status of ``work`` in a forked process."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            status = work()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(moment: str, arguments: list[str]) -> int:
    def work() -> int:
        sabotage(moment)
        return train(arguments)

    return in_a_process(work)


def main(data: str, output: str, workers: str, *moments: str) -> dict[str, list[int]]:
    import monai.bundle
    import monai.engines  # noqa: F401
    import torch

    torch.set_num_threads(1)
    settings = {"workers": workers, "patience": "3"}

    def started(name: str) -> list[str]:
        return command_line(Path(data), Path(output) / name, "--validation", "1", settings=settings)

    statuses = {"straight": [in_a_process(lambda: train(started("straight")))]}
    for moment in moments:
        first = killed(moment, started(moment))
        statuses[moment] = [first, in_a_process(lambda: train(resumption(Path(output) / moment)))]  # noqa: B023
    return statuses


if __name__ == "__main__":
    found = main(*sys.argv[1:])
    sys.stdout.write(json.dumps(found) + "\n")
