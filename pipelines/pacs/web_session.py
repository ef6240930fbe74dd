"""HTTP as an archive needs it: bounded in time, tried again when it may help, every fault one line without a URL.

``dicomweb-client`` is not used for this: it reads a message that was cut off as if it were whole, keeps a series in
memory, leaves the port out of the Host header, and logs queries.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import WebAddress, is_loopback
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.multipart import BrokenMessage, boundary_of, encode_parts, iterate_parts
from pipelines.pacs.patience import Deadline, PassingFault, Patience, persist
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import requests

JSON = "application/dicom+json"
# As they are stored, in whatever transfer syntax: nothing is decoded and encoded again on the way.
INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_CHUNK = 1 << 18
_PASSING_STATUSES = (408, 429, 500, 502, 503, 504)
_MEANINGS = {
    401: "it wants other credentials, or any (status 401)",
    403: "these credentials may not do this (status 403)",
    404: "it has nothing there; is the path of the address right? (status 404)",
}


class NotThere(InputError):  # noqa: N818  InputError, whose kind it is
    """The server has nothing under this path."""


class _AsItComes:
    """A response's body that is handed on as it arrives, so that a trickle cannot outlast the deadline."""

    def __init__(self, raw: Any, deadline: Deadline) -> None:
        self._raw, self._deadline = raw, deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        while data := self._raw.read1(amount, decode_content=decode_content):
            self._deadline.left_s()
            yield data


class WebSession:
    """Requests to one DICOMweb server.

    Args:
        address: its root.
        credentials: a user and a password (basic authentication) or a bearer token; None for neither.
        tls: certificates for https.
        patience: limits of time.
        allow_plain: send credentials to another machine over http.

    Raises:
        InputError: for credentials that would travel unencrypted, and certificates that cannot be read.
    """

    def __init__(
        self,
        address: WebAddress,
        credentials: Credentials | None,
        tls: Tls | None,
        patience: Patience,
        *,
        allow_plain: bool = False,
    ) -> None:
        import requests

        self.subject, self._patience = str(address), patience
        if credentials and not (address.secure or is_loopback(address.host) or allow_plain):
            raise InputError(self.subject, "credentials would travel unencrypted; use https, or allow it explicitly")
        self._session = requests.Session()
        # Else proxies, and passwords from .netrc, would be taken from the surroundings.
        self._session.trust_env = False
        self._session.headers["Accept-Encoding"] = "identity"
        if credentials and credentials.token:
            self._session.headers["Authorization"] = f"Bearer {credentials.token}"
        elif credentials:
            pair = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
            self._session.headers["Authorization"] = f"Basic {pair}"
        if address.secure and tls is not None:
            tls.context()
            if tls.authority is not None:
                self._session.verify = str(tls.authority)
            if tls.certificate is not None:
                certificate = str(tls.certificate)
                self._session.cert = certificate if tls.key is None else (certificate, str(tls.key))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get_json(self, path: str, query: Sequence[tuple[str, str]], deadline: Deadline) -> list[dict[str, Any]]:
        """Search.

        Args:
            path: under the root, ``/studies``.
            query: pairs of a name and a value.
            deadline: of the call that this belongs to.

        Returns:
            Data sets in the DICOM JSON model.

        Raises:
            NotThere: for status 404.
            InputError: when the server cannot be asked or answers something else.
        """
        import json

        def ask() -> bytes:
            with self._answer("GET", path, deadline, params=list(query), headers={"Accept": JSON}) as response:
                return b"".join(response.iter_content(_CHUNK))

        body = persist(ask, self._patience, deadline)
        if not body.strip():
            return []
        try:
            answer = json.loads(body)
        except ValueError:
            raise InputError(self.subject, "its answer to a search is no JSON; is this a DICOMweb server?") from None
        answer = [answer] if isinstance(answer, dict) else answer
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise InputError(self.subject, "its answer to a search is no DICOM JSON; is this a DICOMweb server?")
        return answer

    def get_instances(self, path: str, take: Callable[[bytes], None], deadline: Deadline) -> None:
        """Retrieve what is under ``path``, once; ``take`` is given each instance as soon as it is whole.

        Raises:
            NotThere: for status 404.
            PassingFault: when the connection breaks, or the message ends too early; ``take`` may have been called.
            InputError: for other faults, and those of ``take``.
        """
        with self._answer("GET", path, deadline, headers={"Accept": INSTANCES}) as response:
            kind = response.headers.get("Content-Type", "")
            boundary = boundary_of(kind)
            chunks = response.iter_content(_CHUNK)
            if boundary is not None:
                for part in iterate_parts(chunks, boundary):
                    take(part)
            elif kind.strip().lower().startswith("application/dicom") and "json" not in kind and "xml" not in kind:
                take(b"".join(chunks))
            else:
                raise InputError(self.subject, "sent an answer that is no DICOM; is this a DICOMweb server?")

    def post_instance(self, path: str, content: bytes, deadline: Deadline) -> tuple[int, bytes]:
        """Store one instance. To repeat it does no harm, so it is tried again like a question.

        Returns:
            The status, 200 to 299 or 409, and the body.

        Raises:
            InputError: when the server cannot be asked or gives another status.
        """
        message, kind = encode_parts([content])
        headers = {"Accept": JSON, "Content-Type": kind}

        def ask() -> tuple[int, bytes]:
            with self._answer("POST", path, deadline, allowed=(409,), data=message, headers=headers) as response:
                return response.status_code, b"".join(response.iter_content(_CHUNK))

        return persist(ask, self._patience, deadline)

    @contextmanager
    def _answer(
        self, method: str, path: str, deadline: Deadline, allowed: tuple[int, ...] = (), **request: Any
    ) -> Iterator[requests.Response]:
        """Send a request and give the answer while it comes; turn what goes wrong meanwhile into one line."""
        import requests

        left = deadline.left_s()
        limits = (min(self._patience.connect_s, left), min(self._patience.answer_s, left))
        try:
            with self._session.request(
                method, self.subject + path, timeout=limits, allow_redirects=False, stream=True, **request
            ) as response:
                self._require_good(response.status_code, allowed)
                response.raw = _AsItComes(response.raw, deadline)
                yield response
        # What these say holds the URL, and so the query: it is not chained, or a traceback would show it.
        except requests.RequestException as fault:
            deadline.left_s()
            raise self._fault(fault) from None
        except BrokenMessage as fault:
            raise PassingFault(self.subject, f"its answer {fault}") from None

    def _require_good(self, status: int, allowed: tuple[int, ...]) -> None:
        if 200 <= status < 300 or status in allowed:
            return
        if 300 <= status < 400:
            raise InputError(self.subject, f"sends us to another address (status {status}); give that one")
        reason = _MEANINGS.get(status, f"it fails with status {status}")
        if status == 404:
            raise NotThere(self.subject, reason)
        raise (PassingFault if status in _PASSING_STATUSES else InputError)(self.subject, reason)

    def _fault(self, fault: Exception) -> InputError:
        """Say in one line what broke a connection."""
        import requests

        causes = _causes(fault)
        names = {type(cause).__name__ for cause in causes}
        waited = f"within {self._patience.answer_s:g} s"
        if isinstance(fault, requests.exceptions.SSLError):
            return InputError(self.subject, f"TLS failed: {_tls_reason(causes)}")
        if isinstance(fault, requests.ConnectTimeout):
            return PassingFault(self.subject, f"no connection within {self._patience.connect_s:g} s")
        if isinstance(fault, requests.Timeout) or names & {"ReadTimeoutError", "TimeoutError"}:
            return PassingFault(self.subject, f"has said nothing {waited}")
        if "gaierror" in names or "NameResolutionError" in names:
            return PassingFault(self.subject, "its host's name is not known")
        if "ConnectionRefusedError" in names:
            return PassingFault(self.subject, "refuses connections; is it running, and is the port right?")
        if names & {"NewConnectionError", "OSError"} and not names & {"ProtocolError"}:
            return PassingFault(self.subject, "cannot be reached")
        if isinstance(fault, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return PassingFault(self.subject, "broke the connection before its answer was whole")
        return InputError(self.subject, f"cannot be talked to ({type(fault).__name__})")


def _causes(fault: BaseException) -> list[BaseException]:
    """Give an exception and all that lie behind it: causes, contexts and what urllib3 keeps in ``reason``."""
    found: list[BaseException] = []
    waiting: list[Any] = [fault]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found


def _tls_reason(causes: list[BaseException]) -> str:
    """Give OpenSSL's own words, which name no one but the host."""
    for cause in causes:
        message = getattr(cause, "verify_message", "")
        if message:
            return f"its certificate is not believed ({message})"
    reasons = [getattr(cause, "reason", None) for cause in causes]
    told = next((reason for reason in reasons if isinstance(reason, str) and reason), "no agreement with the server")
    return told.lower().replace("_", " ")
