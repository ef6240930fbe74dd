"""What every archive can do, whatever it speaks: find series, fetch one, store instances and say what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.pacs.address import Address, FolderAddress, NodeAddress, WebAddress
from pipelines.pacs.credentials import Credentials, Tls
from pipelines.pacs.patience import Patience
from pipelines.pacs.quiet_loggers import quiet_loggers
from transforms.io.input_error import InputError, InputErrors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UID = re.compile(r"[0-9.]{1,64}")
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
# What an accession number (value representation SH) cannot hold, and the wildcards, which would match other patients.
_NOT_IN_ACCESSION = re.compile(r"[\\*?\x00-\x1f]")


@dataclass(frozen=True)
class SeriesQuery:
    """Which series an archive is asked for; what is None is not asked. Its ``repr`` names nobody.

    Raises:
        InputError: for values that DICOM does not allow there. They are not repeated.
    """

    study_uid: str | None = field(default=None, repr=False)
    series_uid: str | None = field(default=None, repr=False)
    accession: str | None = field(default=None, repr=False)
    modality: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("StudyInstanceUID", self.study_uid), ("SeriesInstanceUID", self.series_uid)):
            if value is not None and not _UID.fullmatch(value):
                raise InputError(name, "is no UID: up to 64 digits and dots")
        if self.accession is not None and (not self.accession.strip() or _NOT_IN_ACCESSION.search(self.accession)):
            raise InputError("AccessionNumber", "is empty or holds a wildcard, a backslash or a control character")
        if self.modality is not None and not _MODALITY.fullmatch(self.modality):
            raise InputError("Modality", "is a code such as CT, MR or PT")

    def require_narrow(self, subject: str) -> None:
        """Refuse to search a whole archive.

        Raises:
            InputError: when neither study, series nor accession number is given.
        """
        if self.study_uid is None and self.series_uid is None and self.accession is None:
            raise InputError(subject, "holds many patients; say which study, series or accession number is meant")


@dataclass(frozen=True)
class SeriesFound:
    """A series that an archive has; nothing in it says whose it is, if one leaves out what its ``repr`` leaves out.

    Attributes:
        instances: how many the archive says there are; None when it does not say.
        description: free text, in which people have written names.
        made: date and time of the series, as text that sorts; to find the newest.
    """

    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str = ""
    number: str = ""
    body_part: str = ""
    instances: int | None = None
    description: str = field(default="", repr=False)
    made: str = field(default="", repr=False)


@dataclass(frozen=True)
class StoreReport:
    """What became of instances that were to be stored, by their SOP Instance UIDs.

    Attributes:
        stored: accepted by the archive now.
        already: there before, with the same content.
    """

    stored: tuple[str, ...] = ()
    already: tuple[str, ...] = ()


class NotStored(InputErrors):
    """Some instances are not in the archive; storing all of them again is safe.

    Args:
        report: what is there.
        refused: a reason for each instance that is not, by SOP Instance UID.
        faults: the same as lines for the user.
    """

    def __init__(self, report: StoreReport, refused: dict[str, str], faults: Sequence[InputError]) -> None:
        self.report, self.refused = report, refused
        super().__init__(faults)

    def __reduce__(self) -> tuple[type, tuple[StoreReport, dict[str, str], tuple[InputError, ...]]]:
        return type(self), (self.report, self.refused, self.faults)


class Archive(Protocol):
    """A folder, a DICOMweb server or a DICOM node. Each call ends within the patience that it was opened with."""

    def find_series(self, query: SeriesQuery) -> list[SeriesFound]:
        """Give the series that match, in the order of their UIDs.

        Raises:
            InputError: when the archive cannot be asked, or does not answer as it should.
        """

    def fetch_series(self, found: SeriesFound, folder: Path) -> list[Path]:
        """Write every instance of a series into ``folder``, which must be empty or not be there yet.

        Returns:
            The files; their names tell nothing. ``folder`` appears when all of them are there, else not at all.

        Raises:
            InputError: when fewer instances come than there are, when one is no DICOM or of another series, when the
                archive fails, or ``folder`` cannot be written.
        """

    def store(self, datasets: Sequence[Dataset]) -> StoreReport:
        """Store instances, each as it is encoded; those that are there with the same content are left alone.

        Raises:
            NotStored: when some are refused, or are there already with another content.
            InputError: when the archive cannot be reached at all.
        """

    def missing(self, datasets: Sequence[Dataset]) -> list[str]:
        """Ask the archive, and give the SOP Instance UIDs of those that it does not have.

        Raises:
            InputError: when the archive cannot be asked.
        """

    def close(self) -> None:
        """Let go of connections. The archive is not used any more."""


@dataclass(frozen=True)
class MoveDestination:
    """Where a DICOM node shall send what we fetch by C-MOVE. The node must know our AE title and this place.

    Args:
        port: that we listen on while a series is fetched.
        host: address that we listen on; None for the one from which the node is reached.
    """

    port: int
    host: str | None = None


def open_archive(
    address: Address,
    *,
    credentials: Credentials | None = None,
    tls: Tls | None = None,
    patience: Patience | None = None,
    move: MoveDestination | None = None,
    allow_plain: bool = False,
) -> Archive:
    """Make the archive that speaks what ``address`` says. Nothing is sent yet.

    Args:
        address: from ``parse_address``.
        credentials: for DICOMweb. A DICOM node knows its callers by AE title and certificate.
        tls: certificates for ``https`` and ``dicoms``; the machine's authorities when None.
        patience: limits of time; the defaults when None.
        move: fetch from a DICOM node by C-MOVE, not by C-GET.
        allow_plain: send credentials to another machine without TLS, where anybody on the way can read them.

    Raises:
        InputError: for options that do not go with the address.
    """
    quiet_loggers()
    patience = Patience() if patience is None else patience
    if isinstance(address, FolderAddress):
        from pipelines.pacs.folder_archive import FolderArchive

        return FolderArchive(address)
    if isinstance(address, WebAddress):
        from pipelines.pacs.web_archive import WebArchive

        return WebArchive(address, credentials, tls, patience, allow_plain=allow_plain)
    if isinstance(address, NodeAddress):
        from pipelines.pacs.node_archive import NodeArchive

        return NodeArchive(address, tls, patience, move)
    raise TypeError(f"{type(address).__name__} is no address")
