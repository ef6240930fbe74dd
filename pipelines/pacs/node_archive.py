"""A DICOM node as an archive: C-FIND to find, C-GET or C-MOVE to fetch, C-STORE to store (PS3.4, PS3.7)."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.archive import MoveDestination, SeriesFound, SeriesQuery, StoreReport
from pipelines.pacs.arriving_series import ArrivingSeries
from pipelines.pacs.credentials import Tls
from pipelines.pacs.node_association import associated, lost
from pipelines.pacs.node_retrieval import Retrieval, question
from pipelines.pacs.node_storage import NodeChannel
from pipelines.pacs.patience import Deadline, Patience, persist
from pipelines.pacs.storage_status import status_meaning
from pipelines.pacs.storing import store_instances
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_VERIFICATION, _STUDY_ROOT_FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING = (0xFF00, 0xFF01)
# What is asked of a series, and so comes back when the node knows it.
_ASKED = ("Modality", "SeriesNumber", "SeriesDescription", "BodyPartExamined", "NumberOfSeriesRelatedInstances")
_WHEN = ("SeriesDate", "SeriesTime")


class NodeArchive:
    """A DICOM node.

    Args:
        address: host, port and AE titles.
        tls: certificates for ``dicoms``, or None for the machine's authorities.
        patience: limits of time.
        move: fetch by C-MOVE; None for C-GET.

    Raises:
        InputError: for certificates that cannot be read, or that an address without TLS has no use for.
    """

    def __init__(
        self, address: NodeAddress, tls: Tls | None, patience: Patience, move: MoveDestination | None = None
    ) -> None:
        if tls is not None and not address.secure:
            raise InputError(str(address), "has no use for certificates; write dicoms:// for TLS")
        self._address, self._patience, self._move = address, patience, move
        self._tls: ssl.SSLContext | None = (tls or Tls()).context() if address.secure else None

    def close(self) -> None:
        """Do nothing: each call has an association of its own."""

    def echo(self) -> None:
        """Ask the node whether it is there (C-ECHO).

        Raises:
            InputError: when it is not, or answers otherwise.
        """
        from pynetdicom import build_context

        deadline = self._deadline()

        def ask() -> None:
            with associated(
                self._address, [build_context(_VERIFICATION)], self._patience, deadline, tls=self._tls
            ) as association:
                status = association.send_c_echo()
                if "Status" not in status:
                    raise lost(self._address, self._patience, deadline)
                if status.Status != 0:
                    raise InputError(str(self._address), f"answers an echo with {status_meaning(status.Status)}")

        persist(ask, self._patience, deadline)

    def find_series(self, query: SeriesQuery) -> list[SeriesFound]:
        """Give the series that match; see ``Archive``."""
        query.require_narrow(str(self._address))
        deadline = self._deadline()
        studies = [query.study_uid or ""]
        if query.accession:
            accession = query.accession.strip()
            asked = {"StudyInstanceUID": query.study_uid or "", "AccessionNumber": accession}
            answers = self._find("STUDY", asked, deadline)
            # A node that does not match by it would give the studies of others.
            studies = [
                _text(each, "StudyInstanceUID") for each in answers if _text(each, "AccessionNumber") == accession
            ]
        found: dict[str, SeriesFound] = {}
        for study in studies:
            asked = {name: "" for name in (*_ASKED, *_WHEN)}
            asked |= {"StudyInstanceUID": study, "SeriesInstanceUID": query.series_uid or ""}
            asked["Modality"] = query.modality or ""
            for answer in self._find("SERIES", asked, deadline):
                series = _series(answer, study)
                if not series.series_uid:
                    raise InputError(str(self._address), "its answer to a search names no series")
                if query.series_uid in (None, series.series_uid) and query.modality in (None, series.modality):
                    found[series.series_uid] = series
        return [found[uid] for uid in sorted(found)]

    def fetch_series(self, found: SeriesFound, folder: Path) -> list[Path]:
        """Fetch the series by C-GET, or by C-MOVE when a destination was given; see ``Archive``."""
        deadline = self._deadline()
        with ArrivingSeries(str(self._address), found, folder) as arriving:
            listed = self._listed(found.study_uid, found.series_uid, deadline)
            retrieval = Retrieval(self._address, self._patience, deadline, self._tls)
            asked = {"StudyInstanceUID": found.study_uid, "SeriesInstanceUID": found.series_uid}

            def fetch() -> None:
                if self._move is None:
                    retrieval.get("SERIES", asked, set(listed.values()), arriving.take)
                else:
                    retrieval.move("SERIES", asked, self._move, set(listed), arriving.take)

            try:
                persist(fetch, self._patience, deadline)
            except InputError as fault:
                if fault.subject != str(self._address):
                    raise
                raise InputError(fault.subject, f"{fault.reason}; {arriving.told()} instances had come") from None
            return arriving.finish(listed)

    def store(self, datasets: Sequence[Dataset]) -> StoreReport:
        """Store instances in one association; see ``Archive``."""
        deadline = self._deadline()
        channel = NodeChannel(
            self._address, self._patience, deadline, self._tls, partial(self._listed, deadline=deadline)
        )
        return store_instances(str(self._address), datasets, channel)

    def missing(self, datasets: Sequence[Dataset]) -> list[str]:
        """Give the SOP Instance UIDs that the node does not list; see ``Archive``."""
        deadline = self._deadline()
        there: set[str] = set()
        for study_uid, series_uid in sorted(
            {(str(data.StudyInstanceUID), str(data.SeriesInstanceUID)) for data in datasets}
        ):
            there |= set(self._listed(study_uid, series_uid, deadline))
        return [str(data.SOPInstanceUID) for data in datasets if str(data.SOPInstanceUID) not in there]

    def _deadline(self) -> Deadline:
        return Deadline(str(self._address), self._patience)

    def _listed(self, study_uid: str, series_uid: str, deadline: Deadline) -> dict[str, str]:
        """Give the SOP class of each instance of a series, empty when the node does not tell, by its UID."""
        asked = {
            "StudyInstanceUID": study_uid,
            "SeriesInstanceUID": series_uid,
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        answers = self._find("IMAGE", asked, deadline)
        return {_text(answer, "SOPInstanceUID"): _text(answer, "SOPClassUID") for answer in answers}

    def _find(self, level: str, asked: dict[str, str], deadline: Deadline) -> list[Dataset]:
        return persist(lambda: list(self._matches(level, asked, deadline)), self._patience, deadline)

    def _matches(self, level: str, asked: dict[str, str], deadline: Deadline) -> Iterator[Dataset]:
        from pynetdicom import build_context

        contexts = [build_context(_STUDY_ROOT_FIND)]
        with associated(self._address, contexts, self._patience, deadline, tls=self._tls) as association:
            for status, answer in association.send_c_find(question(level, asked), _STUDY_ROOT_FIND):
                deadline.left_s()
                if "Status" not in status:
                    raise lost(self._address, self._patience, deadline)
                if status.Status in _PENDING:
                    if answer is None:
                        raise InputError(str(self._address), "its answer to a search is no DICOM")
                    yield answer
                elif status.Status != 0:
                    raise InputError(str(self._address), f"refuses the search: {status_meaning(status.Status)}")


def _text(answer: Dataset, keyword: str) -> str:
    with warnings.catch_warnings():
        # pydicom repeats a value that it finds invalid.
        warnings.simplefilter("ignore")
        try:
            value: Any = answer.get(keyword)
        except (ValueError, TypeError):
            return ""
    return "" if value is None else str(value).strip("\0 ")


def _series(answer: Dataset, study_uid: str) -> SeriesFound:
    count = _text(answer, "NumberOfSeriesRelatedInstances")
    return SeriesFound(
        study_uid=study_uid or _text(answer, "StudyInstanceUID"),
        series_uid=_text(answer, "SeriesInstanceUID"),
        modality=_text(answer, "Modality"),
        number=_text(answer, "SeriesNumber"),
        body_part=_text(answer, "BodyPartExamined"),
        instances=int(count) if count.isdecimal() else None,
        description=_text(answer, "SeriesDescription"),
        made="".join(_text(answer, name) for name in _WHEN),
    )
