"""Storing so that it can be repeated."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipelines.pacs.archive import NotStored
from pipelines.pacs.storing import Outgoing, Tell, prepare, store_instances
from tests.pipelines.pacs.small_series import make_series
from transforms.io.input_error import InputError

SERIES = make_series(3)
UIDS = [data.SOPInstanceUID for data in SERIES]


class _Memory:
    """Keeps instances; those in ``hidden`` it has and does not hand out, it stops when asked to take ``stop_at``."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.hidden: set[str] = set()
        self.stop_at = ""
        self.sent: list[str] = []

    def present(self, outgoing: Sequence[Outgoing]) -> set[str]:
        return set(self.kept)

    def read_back(self, outgoing: Outgoing) -> bytes | None:
        return None if outgoing.names.uid in self.hidden else self.kept[outgoing.names.uid]

    def send(self, outgoing: Sequence[Outgoing], tell: Tell) -> None:
        for item in outgoing:
            if item.names.uid == self.stop_at:
                raise InputError("memory", "is gone")
            self.sent.append(item.names.uid)
            self.kept[item.names.uid] = item.content
            tell(item.names.uid, None)


def test_what_is_there_is_not_sent_again_unless_it_cannot_be_compared():
    memory = _Memory()
    assert store_instances("pacs", SERIES[:2], memory).stored == tuple(UIDS[:2])
    memory.hidden = {UIDS[1]}
    report = store_instances("pacs", SERIES, memory)
    assert (report.stored, report.already) == (tuple(UIDS[1:]), (UIDS[0],))
    assert memory.sent == [*UIDS[:2], *UIDS[1:]]


def test_where_it_stopped_is_told():
    memory = _Memory()
    memory.stop_at = UIDS[1]
    with pytest.raises(NotStored, match="pacs: 1 of 3 instances are stored, then: is gone") as refusal:
        store_instances("pacs", SERIES, memory)
    assert refusal.value.report.stored == (UIDS[0],)
    assert refusal.value.refused == dict.fromkeys(UIDS[1:], "is gone")


def test_the_same_instance_twice_is_a_fault_of_ours():
    with pytest.raises(ValueError, match="same SOP Instance UID") as fault:
        prepare([SERIES[0], SERIES[0]])
    assert not isinstance(fault.value, InputError)
    lacking = make_series(1)
    del lacking[0].SeriesInstanceUID
    with pytest.raises(ValueError, match="SeriesInstanceUID"):
        prepare(lacking)
