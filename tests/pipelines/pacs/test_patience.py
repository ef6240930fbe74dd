"""Time limits and repeated tries."""

from __future__ import annotations

import time

import pytest

from pipelines.pacs.patience import Deadline, PassingFault, Patience, persist
from transforms.io.input_error import InputError


@pytest.mark.parametrize(
    "wrong", [{"connect_s": 0}, {"answer_s": -1}, {"total_s": float("inf")}, {"attempts": 0}, {"pause_s": -1}]
)
def test_limits_that_limit_nothing_are_refused(wrong):
    with pytest.raises(InputError):
        Patience(**wrong)


def test_a_passing_fault_is_tried_again_with_longer_pauses():
    patience = Patience(attempts=4, pause_s=0.02)
    times = []

    def work() -> str:
        times.append(time.monotonic())
        if len(times) < 4:
            raise PassingFault("here", "busy")
        return "done"

    assert persist(work, patience, Deadline("here", patience)) == "done"
    pauses = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert pauses[0] >= 0.02
    assert pauses[1] >= 0.04
    assert pauses[2] >= 0.08


def test_the_last_fault_says_how_often_it_was_tried():
    calls = []

    def work() -> None:
        calls.append(1)
        raise PassingFault("here", "busy")

    patience = Patience(attempts=3, pause_s=0)
    with pytest.raises(PassingFault, match=r"here: busy \(tried 3 times\)"):
        persist(work, patience, Deadline("here", patience))
    assert len(calls) == 3


def test_other_faults_are_not_tried_again():
    calls = []

    def work() -> None:
        calls.append(1)
        raise InputError("here", "wrong")

    with pytest.raises(InputError, match="here: wrong$"):
        persist(work, Patience(), Deadline("here", Patience()))
    assert len(calls) == 1


def test_the_deadline_ends_the_tries():
    patience = Patience(total_s=0.15, attempts=1000, pause_s=0.02)
    began = time.monotonic()

    def work() -> None:
        raise PassingFault("here", "busy")

    with pytest.raises(InputError, match="has not finished within 0.15 s"):
        persist(work, patience, Deadline("here", patience))
    assert time.monotonic() - began < 1
