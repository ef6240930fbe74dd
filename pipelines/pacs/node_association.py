"""An association with a DICOM node that ends in bounded time and says in one line why it could not be, or was lost."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.patience import Deadline, PassingFault, Patience
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext
    from pynetdicom.transport import AssociationSocket

# A node reads PDUs of this many bytes at least as fast as smaller ones; larger ones are not taken from anybody.
MAXIMUM_PDU = 1 << 17


@contextmanager
def associated(
    address: NodeAddress,
    contexts: Sequence[PresentationContext],
    patience: Patience,
    deadline: Deadline,
    *,
    tls: ssl.SSLContext | None = None,
    roles: Sequence[Any] = (),
    handlers: Sequence[tuple[Any, Any]] = (),
) -> Iterator[Association]:
    """Associate with a node, and release the association at the end, or abort it after an exception.

    Args:
        address: of the node.
        contexts: 1 to 128 presentation contexts.
        patience: limits of time.
        deadline: when the connection is cut, whatever is going on.
        tls: what the connection is wrapped with, or None.
        roles: SCP/SCU role selections.
        handlers: pairs of an event of pynetdicom and a function.

    Raises:
        PassingFault: when the node cannot be reached or does not answer.
        InputError: when it rejects the association, or TLS fails.
    """
    from pynetdicom import evt

    entity = application_entity(address.calling)
    entity.maximum_pdu_size = MAXIMUM_PDU
    entity.connection_timeout = min(patience.connect_s, deadline.left_s())
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = min(patience.answer_s, deadline.left_s())
    host = _resolve(address)
    opened: list[socket.socket] = []

    def open_bounded(event: Event) -> None:
        # pynetdicom lets a connection block for ever: a peer that stops in the middle of a PDU would hold us.
        transport = event.assoc.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.settimeout(patience.answer_s)
            opened.append(transport.socket)

    association = entity.associate(
        host,
        address.port,
        contexts=list(contexts),
        ae_title=address.called,
        max_pdu=MAXIMUM_PDU,
        ext_neg=list(roles),
        tls_args=None if tls is None else (tls, address.host),
        evt_handlers=[(evt.EVT_CONN_OPEN, open_bounded), *handlers],
    )
    watchdog = threading.Timer(deadline.left_s(), _cut, opened)
    watchdog.daemon = True
    watchdog.start()
    try:
        if not association.is_established:
            raise _refusal(association, address, patience, tls, connected=bool(opened))
        yield association
        if association.is_established:
            association.release()
    except BaseException:
        _cut(*opened)
        if association.is_established:
            association.abort()
        raise
    finally:
        watchdog.cancel()
        for connection in opened:
            connection.close()


def accepted_context(association: Association, class_uid: str, syntax: str | None = None) -> bool:
    """Say whether the node takes this SOP class (in this transfer syntax) in this association."""
    return any(
        context.abstract_syntax == class_uid and (syntax is None or syntax in context.transfer_syntax)
        for context in association.accepted_contexts
    )


def lost(address: NodeAddress, patience: Patience, deadline: Deadline) -> InputError:
    """Say why no answer came within an association."""
    deadline.left_s()
    return PassingFault(str(address), f"broke the connection, or said nothing within {patience.answer_s:g} s")


def application_entity(title: str) -> ApplicationEntity:
    """Make an application entity whose connections are closed at their end.

    pynetdicom 3.0 leaves a socket open when its peer is gone, or was never there: it shuts it down first, and when that
    fails goes no further. So that is replaced, for the whole process.
    """
    from pynetdicom import AE
    from pynetdicom.transport import AssociationSocket

    AssociationSocket._shutdown_socket = _shut_down  # type: ignore[method-assign, assignment]
    return AE(title)


def _shut_down(transport: AssociationSocket) -> None:
    if transport.socket is not None:
        _cut(transport.socket)
        transport.socket.close()


def _resolve(address: NodeAddress) -> str:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise PassingFault(str(address), "its host's name is not known") from None
    return str(found[0][4][0])


def _cut(*connections: socket.socket) -> None:
    """End connections so that whoever waits for them wakes up."""
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _refusal(
    association: Association, address: NodeAddress, patience: Patience, tls: ssl.SSLContext | None, *, connected: bool
) -> InputError:
    """Say why there is no association."""
    subject = str(address)
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        who = "called AE title" if "called" in answer.reason_str.lower() else "association"
        reason = " ".join(answer.reason_str.lower().split())
        return InputError(
            subject,
            f"rejects the {who}: {reason} (we called {address.called!r} as {address.calling!r}; {answer.result_str},"
            f" by the {answer.source_str})",
        )
    if association.is_established or (connected and association.is_released):
        return InputError(subject, "released the association at once")
    if connected and not association.accepted_contexts and association.rejected_contexts:
        return InputError(subject, "takes none of the services that were proposed; is it another kind of node?")
    if connected:
        return PassingFault(
            subject, f"broke the connection, or said nothing within {patience.answer_s:g} s; is this a DICOM port?"
        )
    return _why_unconnected(address, patience, tls)


def _why_unconnected(address: NodeAddress, patience: Patience, tls: ssl.SSLContext | None) -> InputError:
    """Connect once more without pynetdicom, which keeps the reason to itself."""
    subject = str(address)
    try:
        with socket.create_connection((address.host, address.port), timeout=patience.connect_s) as connection:
            if tls is not None:
                with tls.wrap_socket(connection, server_hostname=address.host):
                    pass
    except ssl.SSLCertVerificationError as fault:
        return InputError(subject, f"TLS failed: its certificate is not believed ({fault.verify_message})")
    except ssl.SSLError as fault:
        return InputError(subject, f"TLS failed: {(fault.reason or 'no agreement').lower().replace('_', ' ')}")
    except ConnectionRefusedError:
        return PassingFault(subject, "refuses connections; is it running, and is the port right?")
    except TimeoutError:
        return PassingFault(subject, f"no connection within {patience.connect_s:g} s")
    except OSError as fault:
        return PassingFault(subject, f"cannot be reached: {fault.strerror or 'the connection broke'}")
    return PassingFault(subject, "cannot be reached")
