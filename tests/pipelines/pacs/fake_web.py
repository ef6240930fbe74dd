"""A DICOMweb server in this process, on loopback, that can be told to go wrong."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.filebase import DicomBytesIO

from pipelines.pacs.instances import encode
from pipelines.pacs.multipart import boundary_of, encode_parts, iterate_parts

# What the next request gets instead of its answer: a status, or a way to go wrong.
STALL, CUT, TRICKLE, JUNK, HALF_PART = "stall", "cut", "trickle", "junk", "half part"
Fault = int | str | None


class FakeWeb(ThreadingHTTPServer):
    """Attributes: ``instances`` by UID; ``faults`` of the coming requests, None for a good one, the last one stays
    when ``for_ever``; ``demands``, the Authorization header that it wants; ``requests``, what was asked for;
    ``omitted``, instances that it lists and does not give; ``refusals``, a status of a store by UID.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.instances: dict[str, pydicom.Dataset] = {}
        self.faults: list[Fault] = []
        self.for_ever = False
        self.demands = ""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.omitted: set[str] = set()
        self.refusals: dict[str, int] = {}
        self.scheme = "http"
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/dw"

    def fault(self) -> Fault:
        if not self.faults:
            return None
        return self.faults[0] if self.for_ever and len(self.faults) == 1 else self.faults.pop(0)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: broken connections are what the tests are about."""


@contextmanager
def fake_web(instances: list[pydicom.Dataset] | None = None, tls: ssl.SSLContext | None = None) -> Iterator[FakeWeb]:
    server = FakeWeb()
    server.instances = {data.SOPInstanceUID: data for data in instances or []}
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    server: FakeWeb

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self._goes_well():
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            path = parts.path.removeprefix("/dw")
            if "dicom+json" in self.headers["Accept"]:
                self._search(path, query)
            else:
                self._retrieve(path)

    def do_POST(self) -> None:
        if self.headers.get("Content-Length"):
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._goes_well():
            return
        failed, stored = [], 0
        for part in iterate_parts([body], boundary_of(self.headers["Content-Type"]) or b""):
            data = pydicom.dcmread(DicomBytesIO(part))
            status = self.server.refusals.get(data.SOPInstanceUID, 0)
            if status:
                failed.append({"00081155": _value("UI", data.SOPInstanceUID), "00081197": _value("US", status)})
            else:
                stored += 1
                self.server.instances[data.SOPInstanceUID] = data
        answer = {"00081198": {"vr": "SQ", "Value": failed}} if failed else {}
        self._answer(409 if failed and not stored else 200, json.dumps(answer).encode(), "application/dicom+json")

    def _goes_well(self) -> bool:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        if self.server.demands and self.headers.get("Authorization") != self.server.demands:
            self._answer(401, b"", "text/plain")
            return False
        fault = self.server.fault()
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Location", "http://elsewhere.example/CANARY")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault == JUNK:
            self._answer(200, b"<html>CANARY</html>", "text/html")
        elif fault == STALL:
            self.server.over.wait(20)
        elif fault in (CUT, TRICKLE):
            search = "dicom+json" in self.headers["Accept"]
            self._head(200, 1000, "application/dicom+json" if search else "multipart/related; boundary=b")
            self.wfile.write(b"[")
            while fault == TRICKLE and not self.server.over.is_set():
                time.sleep(0.02)
                self.wfile.write(b" ")
                self.wfile.flush()
        elif fault == HALF_PART:
            # No length and no closing boundary: only the message itself tells that something is missing.
            data = next(iter(self.server.instances.values()))
            message, kind = encode_parts([encode(data)])
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(message[: len(message) // 2])
        return fault is None

    def _head(self, status: int, length: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, len(body), kind)
        self.wfile.write(body)

    def _search(self, path: str, query: dict[str, str]) -> None:
        level = path.rpartition("/")[2]
        wanted = dict(zip(("StudyInstanceUID", "SeriesInstanceUID"), re.findall(r"/([0-9.]+)/", path), strict=False))
        wanted |= {name: value for name, value in query.items() if name[0].isupper()}
        unique = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}[level]
        found: dict[str, dict] = {}
        for data in self.server.instances.values():
            if all(str(data.get(name)) == value for name, value in wanted.items()):
                header = {element.tag: element for element in data if element.tag.group != 0x7FE0}
                item = pydicom.Dataset(header).to_json_dict()
                count = 1 + found.get(data[unique].value, {}).get("00201209", {"Value": [0]})["Value"][0]
                found[data[unique].value] = item | {"00201209": _value("IS", count)}
        start, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
        # Never more than two at a time, whatever was asked for: clients have to ask on.
        page = list(found.values())[start : start + min(limit, 2)]
        self._answer(200, json.dumps(page).encode(), "application/dicom+json")

    def _retrieve(self, path: str) -> None:
        found = re.fullmatch(r"/studies/([0-9.]+)/series/([0-9.]+)(?:/instances/([0-9.]+))?", path)
        series, uid = (found[2], found[3]) if found else ("", None)
        chosen = [
            encode(data)
            for data in self.server.instances.values()
            if data.SeriesInstanceUID == series
            and uid in (None, data.SOPInstanceUID)
            and data.SOPInstanceUID not in self.server.omitted
        ]
        if not chosen:
            self._answer(404, b"", "text/plain")
        else:
            self._answer(200, *encode_parts(chosen))


def _value(kind: str, value: object) -> dict[str, object]:
    return {"vr": kind, "Value": [value]}
