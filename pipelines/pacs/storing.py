"""Storing so that it can be repeated: what is there is compared, what is refused is told, nothing is lost silently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipelines.pacs.archive import NotStored, StoreReport
from pipelines.pacs.instances import InstanceNames, encode, names_of, same_content
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OTHER_CONTENT = "the archive has another content under the same SOP Instance UID, which was left as it is"

# Told of each instance that was sent, by its UID: the reason why it is not in the archive, or None when it is.
Tell = Callable[[str, str | None], None]


@dataclass(frozen=True)
class Outgoing:
    """An instance to be stored: its UIDs, its bytes in the DICOM file format, and the data set that they encode."""

    names: InstanceNames
    content: bytes = field(repr=False)
    dataset: Dataset = field(repr=False)


class Channel(Protocol):
    """What ``store_instances`` needs of an archive."""

    def present(self, outgoing: Sequence[Outgoing]) -> set[str]:
        """Give the SOP Instance UIDs of those that the archive has."""

    def read_back(self, outgoing: Outgoing) -> bytes | None:
        """Give what the archive has under the UIDs of an instance; None when it does not hand it out."""

    def send(self, outgoing: Sequence[Outgoing], tell: Tell) -> None:
        """Send instances, telling of each when it is known what became of it; raises InputError when it has to stop."""


def prepare(datasets: Sequence[Dataset]) -> list[Outgoing]:
    """Encode data sets.

    Raises:
        ValueError: when one lacks a UID or cannot be encoded, or when two are the same instance: faults of ours.
    """
    outgoing = [Outgoing(names_of(dataset), encode(dataset), dataset) for dataset in datasets]
    if len({item.names.uid for item in outgoing}) < len(outgoing):
        raise ValueError("Two of the instances to be stored have the same SOP Instance UID.")
    return outgoing


def store_instances(subject: str, datasets: Sequence[Dataset], channel: Channel) -> StoreReport:
    """Store what is not there yet.

    Args:
        subject: the archive's address, for messages.
        datasets: the instances.
        channel: to the archive.

    Raises:
        NotStored: when some are refused, differ from what is there, or could not be sent.
        InputError: when the archive cannot be asked what it has.
        ValueError: as ``prepare``.
    """
    outgoing = prepare(datasets)
    place = {item.names.uid: number for number, item in enumerate(outgoing, start=1)}
    present = channel.present(outgoing)
    already: list[str] = []
    stored: list[str] = []
    refused: dict[str, str] = {}
    waiting = []
    for item in outgoing:
        there = channel.read_back(item) if item.names.uid in present else None
        # What an archive has but does not hand out is sent again: it knows what to do with a duplicate.
        if there is None:
            waiting.append(item)
        elif same_content(item.content, there):
            already.append(item.names.uid)
        else:
            refused[item.names.uid] = OTHER_CONTENT

    def tell(uid: str, reason: str | None) -> None:
        if reason is None:
            stored.append(uid)
        else:
            refused[uid] = reason

    stopped: InputError | None = None
    try:
        if waiting:
            channel.send(waiting, tell)
    except InputError as fault:
        stopped = fault
    report = StoreReport(tuple(stored), tuple(already))
    faults = [
        InputError(subject, f"instance {place[uid]} of {len(outgoing)} is not stored: {reason}")
        for uid, reason in refused.items()
    ]
    if stopped is not None:
        done = len(stored) + len(already)
        faults.append(InputError(subject, f"{done} of {len(outgoing)} instances are stored, then: {stopped.reason}"))
        refused |= {uid: stopped.reason for uid in place if uid not in {*stored, *already, *refused}}
    if faults:
        raise NotStored(report, refused, faults)
    return report
