"""A real archive for the tests: Orthanc with DICOMweb, in a folder of its own, listening on loopback alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

PLUGINS = ("libOrthancDicomWeb.so", "libOrthancGdcm.so")
PLUGIN_FOLDERS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
START_S, STOP_S = 30.0, 10.0
OUR_TITLE, ITS_TITLE = "CONCORD", "ORTHANC"

# Orthanc 1.10 listens on every address, whatever its configuration says.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    if (address->sa_family == AF_INET) {
        struct sockaddr_in changed;
        memcpy(&changed, address, sizeof changed);
        changed.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return real(descriptor, (struct sockaddr *)&changed, length);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 changed;
        memcpy(&changed, address, sizeof changed);
        changed.sin6_addr = in6addr_loopback;
        return real(descriptor, (struct sockaddr *)&changed, length);
    }
    return real(descriptor, address, length);
}
"""


def why_absent() -> str:
    """Say what is not installed, for a test's skip; empty when all of it is."""
    lacking = [command for command in ("Orthanc", "gcc", "ss") if shutil.which(command, path=PATH) is None]
    lacking += [name for name in PLUGINS if _plugin(name) is None]
    return f"not installed: {', '.join(lacking)} (make test-pacs installs them)" if lacking else ""


def free_port() -> int:
    """Give a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Orthanc:
    """One server. Ports and storage stay the same when it is stopped and started again.

    Attributes:
        folder: for its configuration, storage and log.
        users: names and passwords that it demands over HTTP; none when empty.
        web_port, dicom_port: on 127.0.0.1.
        move_port: where it believes that we, ``CONCORD``, listen for what it sends by C-MOVE.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    web_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    move_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def web_address(self) -> str:
        """Of its DICOMweb service, as ``parse_address`` takes it."""
        return f"http://127.0.0.1:{self.web_port}/dicom-web"

    @property
    def dicom_address(self) -> str:
        """Of its DICOM node, as ``parse_address`` takes it."""
        return f"dicom://{OUR_TITLE}@{ITS_TITLE}@127.0.0.1:{self.dicom_port}"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "orthanc.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until both of its ports answer.

        Raises:
            RuntimeError: when it does not, or when it listens on anything but loopback; it is killed then.
        """
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        shim = self._shim()
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration()), encoding="utf-8")
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [shutil.which("Orthanc", path=PATH) or "Orthanc", str(configuration)],
                env={**os.environ, "LD_PRELOAD": str(shim), "LC_ALL": "C"},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
            self._require_loopback()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill it at once, as a power cut would; also when it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def clear(self) -> None:
        """Delete every patient."""
        for patient in self.get("/patients"):
            requests.delete(self._url(f"/patients/{patient}"), auth=self._login(), timeout=10).raise_for_status()

    def get(self, path: str) -> list:
        """Ask its own interface, which is neither DICOMweb nor DICOM: ``/instances`` lists what it has."""
        answer = requests.get(self._url(path), auth=self._login(), timeout=10)
        answer.raise_for_status()
        return answer.json()

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.web_port}{path}"

    def _login(self) -> tuple[str, str] | None:
        return next(iter(self.users.items()), None)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _shim(self) -> Path:
        source, library = self.folder / "loopback.c", self.folder / "loopback.so"
        if not library.exists():
            source.write_text(SHIM, encoding="utf-8")
            command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        return library

    def _configuration(self) -> dict[str, object]:
        return {
            "Name": "tests",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(_plugin(name)) for name in PLUGINS],
            "HttpPort": self.web_port,
            "DicomPort": self.dicom_port,
            "DicomAet": ITS_TITLE,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": False,
            "DicomModalities": {"concord": [OUR_TITLE, "127.0.0.1", self.move_port]},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(self.users),
            "RegisteredUsers": self.users,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        }

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                self.get("/system")
                socket.create_connection(("127.0.0.1", self.dicom_port), timeout=1).close()
                return
            except (requests.RequestException, OSError):
                time.sleep(0.05)
        raise RuntimeError(f"Orthanc does not start:\n{self.log[-2000:]}")

    def _require_loopback(self) -> None:
        """Ask the system, not Orthanc, on which addresses it listens."""
        ss = shutil.which("ss", path=PATH) or "ss"
        lines = subprocess.run([ss, "-H", "-ltnp"], check=True, capture_output=True, text=True, timeout=10).stdout
        pid = self._process.pid if self._process else -1
        places = [line.split()[3] for line in lines.splitlines() if re.search(rf"\bpid={pid},", line)]
        ports = {place.rpartition(":")[2] for place in places}
        if not {str(self.web_port), str(self.dicom_port)} <= ports:
            raise RuntimeError(f"Orthanc's ports are not among those that ss tells of: {places}")
        open_ones = [place for place in places if place.rpartition(":")[0] not in ("127.0.0.1", "[::1]")]
        if open_ones:
            raise RuntimeError(f"Orthanc listens on {', '.join(open_ones)}, which others can reach")


def _plugin(name: str) -> Path | None:
    return next((folder / name for folder in PLUGIN_FOLDERS if (folder / name).exists()), None)


def start_or_skip(folder: Path, users: dict[str, str] | None = None) -> Orthanc:
    """Start a server, or skip the test where Orthanc is not installed. Whoever calls this stops it."""
    absent = why_absent()
    if absent:
        pytest.skip(absent)
    server = Orthanc(folder, users or {})
    server.start()
    return server
