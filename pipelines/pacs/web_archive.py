"""A DICOMweb server as an archive: QIDO-RS to find, WADO-RS to fetch, STOW-RS to store (PS3.18)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import WebAddress
from pipelines.pacs.archive import SeriesFound, SeriesQuery, StoreReport
from pipelines.pacs.arriving_series import ArrivingSeries
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.patience import Deadline, PassingFault, Patience, persist
from pipelines.pacs.storage_status import is_stored, status_meaning
from pipelines.pacs.storing import Outgoing, Tell, store_instances
from pipelines.pacs.web_session import NotThere, WebSession
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Elements of the answers, as DICOM JSON names them.
_STUDY, _SERIES, _INSTANCE, _ACCESSION = "0020000D", "0020000E", "00080018", "00080050"
_FIELDS = {
    "modality": "00080060",
    "number": "00200011",
    "body_part": "00180015",
    "description": "0008103E",
}
_DATE, _TIME, _COUNT = "00080021", "00080031", "00201209"
_FAILED, _FAILURE = "00081198", "00081197"
_PAGE = 500
_UID = re.compile(r"[0-9.]{1,64}")


class WebArchive:
    """A DICOMweb server.

    Args:
        address: its root.
        credentials: for it, or None.
        tls: certificates for https, or None.
        patience: limits of time.
        allow_plain: send credentials to another machine over http.

    Raises:
        InputError: as ``WebSession``.
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
        self._subject, self._patience = str(address), patience
        self._session = WebSession(address, credentials, tls, patience, allow_plain=allow_plain)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def find_series(self, query: SeriesQuery) -> list[SeriesFound]:
        """Give the series that match; see ``Archive``."""
        query.require_narrow(self._subject)
        deadline = Deadline(self._subject, self._patience)
        studies = [query.study_uid or ""]
        if query.accession:
            wanted = {"AccessionNumber": query.accession.strip()}
            if query.study_uid:
                wanted["StudyInstanceUID"] = query.study_uid
            answer = self._search("/studies", wanted, _STUDY, deadline)
            # A server that cannot search by it would give the studies of others.
            studies = [_text(item, _STUDY) for item in answer if _text(item, _ACCESSION) == wanted["AccessionNumber"]]
        asked = {"SeriesInstanceUID": query.series_uid or "", "Modality": query.modality or ""}
        asked = {name: value for name, value in asked.items() if value}
        found: dict[str, SeriesFound] = {}
        for study in studies:
            path = f"/studies/{study}/series" if study else "/series"
            for item in self._search(path, asked, _SERIES, deadline, (_DATE, _TIME, _COUNT, *_FIELDS.values())):
                series = _series(item, study)
                if not _UID.fullmatch(series.study_uid):
                    raise InputError(self._subject, "its answer to a search names no study; is this a DICOMweb server?")
                # A server may pass over what it cannot search by.
                if query.series_uid in (None, series.series_uid) and query.modality in (None, series.modality):
                    found[series.series_uid] = series
        return [found[uid] for uid in sorted(found)]

    def fetch_series(self, found: SeriesFound, folder: Path) -> list[Path]:
        """Fetch the series in one request, then what did not come one by one; see ``Archive``."""
        deadline = Deadline(self._subject, self._patience)
        root = f"/studies/{found.study_uid}/series/{found.series_uid}"
        with ArrivingSeries(self._subject, found, folder) as arriving:
            listed = self._listed(found.study_uid, found.series_uid, deadline)
            try:
                self._session.get_instances(root, arriving.take, deadline)
            except PassingFault:
                if not listed:
                    persist(
                        partial(self._session.get_instances, root, arriving.take, deadline), self._patience, deadline
                    )
            try:
                for uid in sorted(listed - arriving.received):
                    path = f"{root}/instances/{uid}"
                    persist(
                        partial(self._session.get_instances, path, arriving.take, deadline), self._patience, deadline
                    )
            except PassingFault as fault:
                told = f"{fault.reason}; {arriving.told()} instances had come"
                raise InputError(self._subject, told) from None
            return arriving.finish(listed)

    def store(self, datasets: Sequence[Dataset]) -> StoreReport:
        """Store instances one by one; see ``Archive``."""
        return store_instances(self._subject, datasets, _WebChannel(self._subject, self._patience, self))

    def missing(self, datasets: Sequence[Dataset]) -> list[str]:
        """Give the SOP Instance UIDs that the server does not list; see ``Archive``."""
        deadline = Deadline(self._subject, self._patience)
        there = self.listed_of(
            ((str(data.StudyInstanceUID), str(data.SeriesInstanceUID)) for data in datasets), deadline
        )
        return [str(data.SOPInstanceUID) for data in datasets if str(data.SOPInstanceUID) not in there]

    def listed_of(self, series: Iterable[tuple[str, str]], deadline: Deadline) -> set[str]:
        """Give the SOP Instance UIDs in several series, each given by the UIDs of its study and its own."""
        found: set[str] = set()
        for study_uid, series_uid in sorted(set(series)):
            found |= self._listed(study_uid, series_uid, deadline)
        return found

    def _listed(self, study_uid: str, series_uid: str, deadline: Deadline) -> set[str]:
        path = f"/studies/{study_uid}/series/{series_uid}/instances"
        try:
            return {_text(item, _INSTANCE) for item in self._search(path, {}, _INSTANCE, deadline)}
        except NotThere:
            return set()

    def _search(
        self, path: str, query: dict[str, str], unique: str, deadline: Deadline, fields: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Search page by page until nothing new comes; a server may send fewer than it was asked for, or all."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = [("limit", str(_PAGE)), ("offset", str(len(found))), *(("includefield", field) for field in fields)]
            answer = self._session.get_json(path, [*query.items(), *page], deadline)
            known = len(found)
            for item in answer:
                uid = _text(item, unique)
                # It goes into paths.
                if not _UID.fullmatch(uid):
                    raise InputError(self._subject, "its answer to a search names no UID; is this a DICOMweb server?")
                found[uid] = item
            if len(found) == known:
                return list(found.values())

    def retrieve(self, study_uid: str, series_uid: str, uid: str, deadline: Deadline) -> list[bytes]:
        """Retrieve one instance, once; a list of what came."""
        came: list[bytes] = []
        path = f"/studies/{study_uid}/series/{series_uid}/instances/{uid}"
        self._session.get_instances(path, came.append, deadline)
        return came

    def post(self, study_uid: str, content: bytes, deadline: Deadline) -> tuple[int, bytes]:
        """Store one instance of a study; the status and the body of the answer."""
        return self._session.post_instance(f"/studies/{study_uid}", content, deadline)


class _WebChannel:
    """Storing to a DICOMweb server, within one deadline."""

    def __init__(self, subject: str, patience: Patience, archive: WebArchive) -> None:
        self._archive = archive
        self._patience = patience
        self._deadline = Deadline(subject, patience)

    def present(self, outgoing: Sequence[Outgoing]) -> set[str]:
        series = ((item.names.study_uid, item.names.series_uid) for item in outgoing)
        return self._archive.listed_of(series, self._deadline)

    def read_back(self, outgoing: Outgoing) -> bytes | None:
        names = outgoing.names
        try:
            came = persist(
                lambda: self._archive.retrieve(names.study_uid, names.series_uid, names.uid, self._deadline),
                self._patience,
                self._deadline,
            )
        except NotThere:
            return None
        return came[0] if len(came) == 1 else None

    def send(self, outgoing: Sequence[Outgoing], tell: Tell) -> None:
        for item in outgoing:
            status, body = self._archive.post(item.names.study_uid, item.content, self._deadline)
            tell(item.names.uid, _refusal(status, body))


def _refusal(status: int, body: bytes) -> str | None:
    """Give why a store was refused; None when it was not, as far as the answer tells."""
    try:
        answer = json.loads(body) if body.strip() else {}
        answer = answer[0] if isinstance(answer, list) and answer else answer
        failed = answer.get(_FAILED, {}).get("Value", []) if isinstance(answer, dict) else []
        codes = [int(item[_FAILURE]["Value"][0]) for item in failed if _FAILURE in item]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        failed, codes = [], []
    codes = [code for code in codes if not is_stored(code)]
    if codes:
        return f"it is refused: {status_meaning(codes[0])}"
    if failed or status == 409:
        return "it is refused for a reason that the server does not give"
    return None


def _text(item: dict[str, Any], tag: str) -> str:
    """Give an element of a data set in the DICOM JSON model as text; empty when it is not there."""
    try:
        value = item[tag]["Value"][0]
    except (KeyError, IndexError, TypeError):
        return ""
    return "" if value is None or isinstance(value, dict) else str(value).strip()


def _series(item: dict[str, Any], study_uid: str) -> SeriesFound:
    count = _text(item, _COUNT)
    return SeriesFound(
        study_uid=study_uid or _text(item, _STUDY),
        series_uid=_text(item, _SERIES),
        instances=int(count) if count.isdecimal() else None,
        made=f"{_text(item, _DATE)}{_text(item, _TIME)}",
        **{name: _text(item, tag) for name, tag in _FIELDS.items()},
    )
