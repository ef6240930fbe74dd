"""HTTP to an archive: who we are, how long we wait, and one line for each thing that goes wrong."""

from __future__ import annotations

import base64
import logging
import socket
import time
import traceback

import pytest

from pipelines.pacs.address import parse_address
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.patience import Deadline, PassingFault, Patience
from pipelines.pacs.web_session import NotThere, WebSession
from tests.pipelines.pacs.certificates import make_certificate
from tests.pipelines.pacs.fake_web import CUT, HALF_PART, JUNK, STALL, TRICKLE, fake_web
from tests.pipelines.pacs.small_series import PRIVATE, make_series
from transforms.io.input_error import InputError

QUICK = Patience(connect_s=1, answer_s=0.3, total_s=5, attempts=2, pause_s=0.01)
QUERY = [("AccessionNumber", "ACC-CANARY-9")]


def _session(address: str, patience: Patience = QUICK, **options) -> WebSession:
    options = {"credentials": None, "tls": None} | options
    return WebSession(parse_address(address), patience=patience, **options)


def _ask(session: WebSession, patience: Patience = QUICK) -> list:
    try:
        return session.get_json("/studies", QUERY, Deadline(session.subject, patience))
    finally:
        session.close()


def _refused(address: str, patience: Patience = QUICK, **options) -> InputError:
    began = time.monotonic()
    with pytest.raises(InputError) as refusal:
        _ask(_session(address, patience, **options), patience)
    assert time.monotonic() - began < 4
    trace = "".join(traceback.format_exception(refusal.value))
    assert not [secret for secret in (*PRIVATE, "hunter2") if secret in trace]
    assert refusal.value.subject == address
    return refusal.value


def test_credentials_travel_in_the_header_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    pair = "Basic " + base64.b64encode("ann:pä:ss".encode()).decode()
    for credentials, header in ((Credentials("ann", "pä:ss"), pair), (Credentials(token="t0k"), "Bearer t0k")):
        with fake_web() as server:
            server.demands = header
            assert _ask(_session(server.address, credentials=credentials)) == []
            assert "401" in str(_refused(server.address))
            assert "401" in str(_refused(server.address, credentials=Credentials(token="hunter2")))
            assert not [path for _, path, _ in server.requests if "t0k" in path or "ann" in path]


def test_credentials_do_not_leave_the_machine_unencrypted():
    with pytest.raises(InputError, match="unencrypted"):
        _session("http://pacs.example/dw", credentials=Credentials(token="x"))
    _session("http://pacs.example/dw", credentials=Credentials(token="x"), allow_plain=True).close()
    _session("https://pacs.example/dw", credentials=Credentials(token="x")).close()
    _session("http://pacs.example/dw").close()


@pytest.mark.parametrize(
    ("fault", "reason", "tries"),
    [
        (401, "other credentials", 1),
        (403, "may not do this", 1),
        (400, "status 400", 1),
        (302, "another address", 1),
        (500, r"status 500 \(tried 2 times\)", 2),
        (503, r"status 503 \(tried 2 times\)", 2),
        (429, "status 429", 2),
        (JUNK, "no JSON; is this a DICOMweb server", 1),
        (STALL, r"has said nothing within 0.3 s \(tried 2 times\)", 2),
        (CUT, "broke the connection before its answer was whole", 2),
    ],
)
def test_each_fault_is_one_line_and_tried_again_when_it_may_pass(fault, reason, tries):
    with fake_web() as server:
        server.faults, server.for_ever = [fault], True
        refusal = _refused(server.address)
        assert len(server.requests) == tries
    with pytest.raises(InputError, match=reason):
        raise refusal


def test_a_fault_that_passes_is_not_told():
    with fake_web(make_series(2)) as server:
        server.faults = [503]
        assert len(_ask(_session(server.address))) == 1
        server.faults = [CUT]
        assert len(_ask(_session(server.address))) == 1


def test_a_trickle_does_not_outlast_the_deadline():
    patience = Patience(answer_s=0.3, total_s=0.6, attempts=1)
    with fake_web() as server:
        server.faults = [TRICKLE]
        began = time.monotonic()
        assert "has not finished within 0.6 s" in str(_refused(server.address, patience))
        assert 0.5 < time.monotonic() - began < 2


def test_nothing_there():
    with fake_web() as server:
        server.faults = [404]
        assert isinstance(_refused(server.address), NotThere)


def test_unreachable_servers():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert "refuses connections" in str(_refused(f"http://127.0.0.1:{port}/dw"))
    assert "name is not known" in str(_refused("http://no-such-host.invalid/dw"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "has said nothing" in str(_refused(f"http://127.0.0.1:{silent.getsockname()[1]}/dw"))


def test_a_cut_off_message_is_no_instance():
    came: list[bytes] = []
    with fake_web(make_series(1)) as server:
        server.faults = [HALF_PART]
        session = _session(server.address)
        with pytest.raises(PassingFault, match="ends before its last part"):
            session.get_instances("/studies/1", came.append, Deadline("x", QUICK))
        server.faults = [JUNK]
        with pytest.raises(InputError, match="no DICOM"):
            session.get_instances("/studies/1", came.append, Deadline("x", QUICK))
        session.close()
    assert came == []


def test_tls_is_checked(tmp_path):
    server_side, stranger, client = (make_certificate(tmp_path, name) for name in ("server", "stranger", "client"))
    with fake_web(tls=server_side.server_context()) as server:
        assert _ask(_session(server.address, tls=Tls(server_side.certificate))) == []
        for tls in (None, Tls(stranger.certificate)):
            refusal = _refused(server.address, tls=tls)
            assert "certificate is not believed" in str(refusal)
            assert not isinstance(refusal, PassingFault)
        assert "TLS failed" not in str(_refused(server.address.replace("https", "http")))
    with fake_web(tls=server_side.server_context(client.certificate)) as server:
        mine = Tls(server_side.certificate, client.certificate, client.key)
        assert _ask(_session(server.address, tls=mine)) == []
        _refused(server.address, tls=Tls(server_side.certificate))
    with fake_web() as server:
        refusal = _refused(server.address.replace("http", "https"), tls=Tls(server_side.certificate))
        assert "TLS failed" in str(refusal)


def test_queries_are_not_logged(caplog):
    from pipelines.pacs.archive import open_archive

    with fake_web() as server, caplog.at_level(logging.DEBUG):
        open_archive(parse_address(server.address)).close()
        _ask(_session(server.address))
    assert "CANARY" not in caplog.text
