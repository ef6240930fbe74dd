"""Associations with a DICOM node: why there is none, and that all of it ends in time."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from pynetdicom import build_context

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.credentials import Tls
from pipelines.pacs.node_association import associated
from pipelines.pacs.patience import Deadline, PassingFault, Patience
from tests.pipelines.pacs.certificates import make_certificate
from tests.pipelines.pacs.fake_node import VERIFICATION, FakeNode, fake_node
from transforms.io.input_error import InputError

QUICK = Patience(connect_s=1, answer_s=0.4, total_s=5, attempts=1)


def _address(port: int, called: str = "PACS", calling: str = "CONCORD", host: str = "127.0.0.1") -> NodeAddress:
    return NodeAddress(host, port, called, calling)


def _echo(address: NodeAddress, tls: Tls | None = None, patience: Patience = QUICK) -> int:
    context = None if tls is None else tls.context()
    deadline = Deadline(str(address), patience)
    with associated(address, [build_context(VERIFICATION)], patience, deadline, tls=context) as association:
        return int(association.send_c_echo().Status)


def _refused(address: NodeAddress, tls: Tls | None = None) -> InputError:
    began = time.monotonic()
    with pytest.raises(InputError) as refusal:
        _echo(address, tls)
    assert time.monotonic() - began < 4
    assert refusal.value.subject == str(address)
    return refusal.value


def test_a_node_that_answers():
    with fake_node() as node:
        for host in ("127.0.0.1", "localhost"):
            assert _echo(_address(node.port, host=host), patience=Patience(answer_s=10)) == 0


def test_wrong_titles_are_told_by_name():
    with fake_node() as node:
        refusal = _refused(_address(node.port, called="WRONG"))
        assert "rejects the called AE title: called ae title not recognised" in str(refusal)
        assert "we called 'WRONG' as 'CONCORD'" in str(refusal)
        assert not isinstance(refusal, PassingFault)
        assert "calling ae title not recognised" in str(_refused(_address(node.port, calling="STRANGER")))


def test_services_that_are_not_offered():
    with fake_node(without=(VERIFICATION,)) as node:
        assert "takes none of the services" in str(_refused(_address(node.port)))


def test_unreachable_nodes():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "refuses connections" in str(_refused(_address(closed.getsockname()[1])))
    assert "name is not known" in str(_refused(_address(104, host="no-such-host.invalid")))


def test_a_node_that_says_nothing():
    with fake_node(answering=False) as node:
        refusal = _refused(_address(node.port))
        assert "said nothing within 0.4 s" in str(refusal)
        assert isinstance(refusal, PassingFault)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x02\x00\x00\x00\x10\x00\x00", b"\x02"])
def test_what_is_no_node(answer):
    """A web server, and peers that stop in the middle of their first answer."""
    over = threading.Event()

    def talk(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)
            over.wait(3)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk, args=(server,), daemon=True)
        thread.start()
        assert "is this a DICOM port?" in str(_refused(_address(server.getsockname()[1])))
        over.set()
        thread.join(5)


def test_the_deadline_cuts_the_connection():
    patience = Patience(answer_s=3, total_s=0.5, attempts=1)

    def slow(node: FakeNode) -> None:
        address = _address(node.port)
        deadline = Deadline(str(address), patience)
        with associated(address, [build_context(VERIFICATION)], patience, deadline) as association:
            end = time.monotonic() + 3
            while association.is_established and time.monotonic() < end:
                time.sleep(0.01)
            deadline.left_s()

    began = time.monotonic()
    with fake_node() as node, pytest.raises(InputError, match="has not finished within 0.5 s"):
        slow(node)
    assert time.monotonic() - began < 2.5


def test_tls_is_checked(tmp_path):
    server, stranger, client = (make_certificate(tmp_path, name) for name in ("server", "stranger", "client"))
    with fake_node(tls=server.server_context(client.certificate)) as node:
        address = NodeAddress("127.0.0.1", node.port, "PACS", secure=True)
        assert _echo(address, Tls(server.certificate, client.certificate, client.key)) == 0
        refusal = _refused(address, Tls(stranger.certificate, client.certificate, client.key))
        assert "certificate is not believed (self" in str(refusal)
        _refused(address, Tls(server.certificate))
    with fake_node() as node:
        address = NodeAddress("127.0.0.1", node.port, "PACS", secure=True)
        _refused(address, Tls(server.certificate))
