"""A DICOM node in this process, on loopback, that can be told to go wrong."""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SegmentationStorage
from pynetdicom import ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.transport import ThreadedAssociationServer

from pipelines.pacs.instances import encode
from pipelines.pacs.node_association import application_entity
from tests.pacs.orthanc import free_port

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
VERIFICATION = "1.2.840.10008.1.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
_LEVELS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class FakeNode:
    """A node and what it does wrong.

    Attributes:
        port: on 127.0.0.1.
        instances: what it has, by SOP Instance UID.
        move_port: where it sends what is to be moved to ``CONCORD``.
        omitted: instances that it lists and does not send.
        find_status, store_status: what it answers instead of success, when not 0.
        abort_after: instances sent or taken before it breaks the connection; None for never, and only ``aborts`` times.
        delay_s: that it waits before each instance.
        tells_count: whether it knows the number of instances of a series.
        loose: whether it passes over what it is asked for and answers with all it has.
    """

    port: int = field(default_factory=free_port)
    instances: dict[str, Dataset] = field(default_factory=dict)
    move_port: int = field(default_factory=free_port)
    omitted: set[str] = field(default_factory=set)
    find_status: int = 0
    store_status: int = 0
    abort_after: int | None = None
    aborts: int = 1
    delay_s: float = 0.0
    tells_count: bool = True
    loose: bool = False

    @property
    def address(self) -> str:
        return f"dicom://CONCORD@PACS@127.0.0.1:{self.port}"

    def _breaks(self, event: Any, count: int) -> bool:
        time.sleep(self.delay_s)
        if self.abort_after is None or count < self.abort_after or self.aborts < 1:
            return False
        self.aborts -= 1
        event.assoc.abort()
        return True

    def matches(self, asked: Dataset) -> list[Dataset]:
        keys = [*_LEVELS.values(), "AccessionNumber", "Modality"]
        wanted = {key: str(asked.get(key)) for key in keys if asked.get(key)}
        every = self.instances.values()
        return [data for data in every if self.loose or all(str(data.get(key)) == wanted[key] for key in wanted)]

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if self.find_status:
            yield self.find_status, None
            return
        unique = _LEVELS[event.identifier.QueryRetrieveLevel]
        groups: dict[str, list[Dataset]] = {}
        for data in self.matches(event.identifier):
            groups.setdefault(data[unique].value, []).append(data)
        for group in groups.values():
            time.sleep(self.delay_s)
            answer = Dataset()
            for element in event.identifier:
                if element.keyword in group[0]:
                    setattr(answer, element.keyword, group[0].get(element.keyword))
            answer.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
            if "NumberOfSeriesRelatedInstances" in event.identifier and self.tells_count:
                answer.NumberOfSeriesRelatedInstances = len(group)
            yield 0xFF00, answer

    def _sent(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        chosen = [data for data in self.matches(event.identifier) if data.SOPInstanceUID not in self.omitted]
        yield len(chosen)
        for count, data in enumerate(chosen):
            if self._breaks(event, count):
                return
            yield 0xFF00, data

    def get(self, event: Any) -> Iterator[Any]:
        yield from self._sent(event)

    def move(self, event: Any) -> Iterator[Any]:
        if event.move_destination != "CONCORD":
            yield None, None
            return
        yield "127.0.0.1", self.move_port
        yield from self._sent(event)

    def store(self, event: Any) -> int:
        if self.store_status:
            return self.store_status
        if self._breaks(event, len(self.instances)):
            return 0xC000
        data = event.dataset
        data.file_meta = event.file_meta
        self.instances[data.SOPInstanceUID] = data
        return 0


@contextmanager
def fake_node(
    instances: list[Any] | None = None,
    *,
    without: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    answering: bool = True,
) -> Iterator[FakeNode]:
    """Start a node, called ``PACS`` and by nothing else, that takes calls from ``CONCORD`` alone.

    Args:
        instances: what it has.
        without: SOP classes of services that it does not offer.
        tls: what its connections are wrapped with.
        answering: whether it answers a request for an association.
    """
    # Read from bytes, as a node has them: pynetdicom encodes a data set from memory as it likes.
    kept = [pydicom.dcmread(io.BytesIO(encode(data))) for data in instances or []]
    node = FakeNode(instances={data.SOPInstanceUID: data for data in kept})
    entity = application_entity("PACS")
    entity.require_called_aet = True
    entity.require_calling_aet = ["CONCORD"]
    for service in {VERIFICATION, FIND, MOVE, GET} - set(without):
        entity.add_supported_context(service)
    for service in {CTImageStorage, SegmentationStorage, LABEL_MAP} - set(without):
        entity.add_supported_context(service, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True)
        entity.add_requested_context(service)
    handlers = [
        (evt.EVT_C_ECHO, lambda event: 0),
        (evt.EVT_C_FIND, node.find),
        (evt.EVT_C_GET, node.get),
        (evt.EVT_C_MOVE, node.move),
        (evt.EVT_C_STORE, node.store),
    ]
    if not answering:
        handlers.append((evt.EVT_REQUESTED, lambda event: time.sleep(2)))
    # As start_server does it, but quicker to stop.
    server = entity.make_server(
        ("127.0.0.1", node.port), evt_handlers=handlers, ssl_context=tls, server_class=ThreadedAssociationServer
    )
    entity._servers.append(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield node
    finally:
        server.shutdown()
