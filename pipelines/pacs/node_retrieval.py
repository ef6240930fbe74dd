"""Fetching from a DICOM node: over the association itself (C-GET), or to a listener of ours (C-MOVE)."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.archive import MoveDestination
from pipelines.pacs.node_association import MAXIMUM_PDU, accepted_context, application_entity, associated, lost
from pipelines.pacs.patience import Deadline, PassingFault, Patience
from pipelines.pacs.storage_status import is_passing, status_meaning
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext

Take = Callable[[bytes], None]

_STUDY_ROOT_MOVE, _STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING, _DONE, _SOME_FAILED = (0xFF00, 0xFF01), 0x0000, 0xB000
_OUT_OF_RESOURCES, _NOT_WANTED = 0xA700, 0x0124
_MOST_CONTEXTS = 128
# Asked for when a node does not say which classes a series has; the first are the likely ones.
_LIKELY_CLASSES = (
    "CTImageStorage",
    "MRImageStorage",
    "PositronEmissionTomographyImageStorage",
    "EnhancedCTImageStorage",
    "EnhancedMRImageStorage",
    "SecondaryCaptureImageStorage",
    "SegmentationStorage",
    "Comprehensive3DSRStorage",
)


def question(level: str, asked: dict[str, str]) -> Dataset:
    """Make what a node is asked: the level, and elements with what they must be, empty when that does not matter."""
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in asked.items():
        setattr(identifier, name, value or None)
    return identifier


class Retrieval:
    """Fetches from one node.

    Args:
        address: of the node.
        patience: limits of time.
        deadline: of the call that this belongs to.
        tls: what connections to the node are wrapped with, or None.
    """

    def __init__(
        self, address: NodeAddress, patience: Patience, deadline: Deadline, tls: ssl.SSLContext | None
    ) -> None:
        self._address, self._patience, self._deadline, self._tls = address, patience, deadline, tls
        self._subject = str(address)

    def get(self, level: str, asked: dict[str, str], classes: Iterable[str], take: Take) -> None:
        """Fetch by C-GET.

        Args:
            level: ``SERIES`` or ``IMAGE``.
            asked: the UIDs down to that level.
            classes: SOP classes of what will come; likely ones are asked for where the node did not say.
            take: is given each instance; what it raises ends the fetch and is raised here.

        Raises:
            PassingFault: when the connection breaks, or the node is out of resources.
            InputError: when the node does not offer C-GET or refuses it, and what ``take`` raises.
        """
        from pynetdicom import build_context, build_role, evt

        wanted = _storage_contexts(classes)
        arrivals = _Arrivals(take, self._deadline)
        roles = [build_role(uid, scp_role=True) for uid in sorted({str(each.abstract_syntax) for each in wanted})]
        with associated(
            self._address,
            [build_context(_STUDY_ROOT_GET), *wanted],
            self._patience,
            self._deadline,
            tls=self._tls,
            roles=roles,
            handlers=[(evt.EVT_C_STORE, arrivals.take)],
        ) as association:
            if not accepted_context(association, _STUDY_ROOT_GET):
                raise InputError(self._subject, "does not offer C-GET; fetch by C-MOVE, which needs a port of ours")
            self._follow(association.send_c_get(question(level, asked), _STUDY_ROOT_GET), arrivals, "C-GET")

    def move(
        self, level: str, asked: dict[str, str], destination: MoveDestination, listed: Iterable[str], take: Take
    ) -> None:
        """Fetch by C-MOVE to a listener that is there meanwhile, under our own AE title.

        Args:
            level: ``SERIES`` or ``IMAGE``.
            asked: the UIDs down to that level.
            destination: where we listen; the node must know it by our AE title.
            listed: SOP Instance UIDs that may come; nothing else is taken. When empty, anything is.
            take: as for ``get``; it is called in other threads, one call at a time.

        Raises:
            PassingFault: as ``get``.
            InputError: as ``get``, and when we cannot listen.
        """
        from pynetdicom import build_context

        arrivals = _Arrivals(take, self._deadline, frozenset(listed))
        with self._listening(destination, arrivals) as listener:
            contexts = [build_context(_STUDY_ROOT_MOVE)]
            with associated(self._address, contexts, self._patience, self._deadline, tls=self._tls) as association:
                responses = association.send_c_move(question(level, asked), self._address.calling, _STUDY_ROOT_MOVE)
                self._follow(responses, arrivals, "C-MOVE")
            # The node may tell the end before its own association with us has come to its end.
            end = time.monotonic() + min(self._patience.answer_s, self._deadline.left_s())
            while listener.active_associations and time.monotonic() < end:
                time.sleep(0.01)
        arrivals.raise_fault()

    def _follow(self, responses: Iterable[tuple[Dataset, Any]], arrivals: _Arrivals, how: str) -> None:
        """Wait for the end of a fetch, and raise what went wrong."""
        for status, _ in responses:
            arrivals.raise_fault()
            self._deadline.left_s()
            if "Status" not in status:
                raise lost(self._address, self._patience, self._deadline)
            if status.Status in _PENDING or status.Status == _DONE:
                continue
            failed = status.get("NumberOfFailedSuboperations") or 0
            told = f"{how} ends with {status_meaning(status.Status)}" + (
                f", {failed} instances failed" if failed else ""
            )
            if status.Status == _SOME_FAILED:
                told = f"{how} failed for {failed or 'some'} instances"
            raise (PassingFault if is_passing(status.Status) else InputError)(self._subject, told)

    @contextmanager
    def _listening(self, destination: MoveDestination, arrivals: _Arrivals) -> Iterator[Any]:
        from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

        entity = application_entity(self._address.calling)
        entity.require_called_aet = True
        entity.require_calling_aet = [self._address.called]
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = self._patience.answer_s
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        host = destination.host or self._own_host()
        try:
            listener = entity.start_server(
                (host, destination.port), block=False, evt_handlers=[(evt.EVT_C_STORE, arrivals.take)]
            )
        except OSError as fault:
            raise InputError(f"port {destination.port}", f"cannot be listened on: {fault.strerror}") from None
        if listener is None:
            raise RuntimeError("pynetdicom gave no server.")
        try:
            yield listener
        finally:
            listener.shutdown()

    def _own_host(self) -> str:
        """Give our address on the way to the node; nothing is sent."""
        family, kind, protocol, _, place = socket.getaddrinfo(
            self._address.host, self._address.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])


class _Arrivals:
    """Hands arriving instances on, and keeps the first fault, which pynetdicom would swallow."""

    def __init__(self, take: Take, deadline: Deadline, listed: frozenset[str] = frozenset()) -> None:
        import threading

        self._take, self._deadline, self._listed = take, deadline, listed
        self._one_at_a_time = threading.Lock()
        self._fault: InputError | None = None

    def take(self, event: Event) -> int:
        if self._listed and str(getattr(event.request, "AffectedSOPInstanceUID", "")) not in self._listed:
            return _NOT_WANTED
        with self._one_at_a_time:
            if self._fault is None:
                try:
                    self._deadline.left_s()
                    self._take(event.encoded_dataset())
                    return _DONE
                except InputError as fault:
                    self._fault = fault
        return _OUT_OF_RESOURCES

    def raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


def _storage_contexts(classes: Iterable[str]) -> list[PresentationContext]:
    """Give a context for each class and transfer syntax, so that a node need not decode what it has compressed."""
    from pynetdicom import ALL_TRANSFER_SYNTAXES, build_context, sop_class

    known = sorted({each for each in classes if each})
    if not known:
        known = [str(getattr(sop_class, name)) for name in _LIKELY_CLASSES]
    # The uncompressed ones first: they are never missing, however many classes there are.
    syntaxes = sorted((str(each) for each in ALL_TRANSFER_SYNTAXES), key=_rarity)
    contexts = [build_context(each, syntax) for syntax in syntaxes for each in known]
    return contexts[: _MOST_CONTEXTS - 1]


def _rarity(syntax: str) -> tuple[int, str]:
    usual = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90")
    return (usual.index(syntax) if syntax in usual else len(usual), syntax)
