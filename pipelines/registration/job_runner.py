"""Runs the pairs that are not done yet, over processes of one thread each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from pipelines.registration.pair_job import PairJob, run_job


def run_jobs(jobs: Sequence[PairJob], processes: int) -> Iterator[dict[str, Any]]:
    """Register pairs; yield each one's record when it is complete, in any order.

    Every process computes with one thread, so that results do not depend on how many there are. What was completed
    before a failure or an interruption stays complete.

    Args:
        jobs: what to do.
        processes: how many at a time; 1 works in this process.

    Raises:
        InputError: what the first failing pair raised.
    """
    if processes <= 1 or len(jobs) <= 1:
        with_one_thread = _one_thread()
        try:
            yield from map(run_job, jobs)
        finally:
            with_one_thread()
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _prepare_process) as pool:
        waiting = [pool.submit(run_job, job) for job in jobs]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepare_process() -> None:
    """The terminal's Ctrl-C is heard by the parent, which lets the pairs at work finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _one_thread()


def _one_thread() -> Callable[[], None]:
    """Let torch compute with one thread; give what restores the number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)
